"""The page of a build in a real browser: what failed, where its time went, what it used."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from cupel.control.auth import Scope
from cupel.core.model import Build, Event
from e2e.stage import NEEDS_CHROMIUM, Stage, perform
from fakes import afternoon, left
from fakes.busy import Busy
from fakes.served import Served

pytestmark = [pytest.mark.e2e, NEEDS_CHROMIUM]

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAYAAACNMs+9AAAAFUlEQVR42mNk+M9Qz0AEYBxVSF+FABJADveWkH6oAAAA"
    "AElFTkSuQmCC"
)
VECTOR = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20">'
    b"<script>parent.ran = true; document.documentElement.setAttribute('data-ran', 1)</script>"
    b'<rect width="40" height="20" fill="teal"/></svg>'
)
OWN = {
    "shots/plot.svg": VECTOR,
    "shots/screen.png": PNG,
    "site/index.html": b"<script>window.ran = true</script>",
}
FILES = {**afternoon.FILES, **OWN}


def on(directory: Path) -> dict[str, Any]:
    """An afternoon, with artefacts of each kind."""
    play = afternoon.on(directory)

    def both(told: Busy) -> None:
        play["prepare"](told)
        left.leave(told.world, told.world.rows_of(Build)[told.failed_build], OWN)

    def written(served: Served, told: Busy) -> None:
        play["fill"](served, told)
        left.keep(served.artefacts, told.failed_build, FILES)

    return {**play, "prepare": both, "fill": written}


async def caption(page: Page, title: str) -> str:
    """What is said of a chart."""
    return await page.locator(f".plots figcaption:has(b:text-is('{title}'))").inner_text()


def test_a_failed_build_says_why_where_and_since_when(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        at = f"/builds/{stage.told.failed_build}"
        link = await stage.served.auth.login_link("ada", scopes=list(Scope))
        page = await stage.open(f"/login?token={link}")
        await page.goto(at)
        await charts_are_joined_to_the_log(page)
        await by_keyboard(page)
        await a_refresh_keeps_what_is_open(stage, page)
        for width in (360, 1300):
            await page.set_viewport_size({"width": width, "height": 800})
            over = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert over <= 0, width
        await expect(page.get_by_role("button", name="Run again")).to_be_visible()
        await expect(page.locator("#reproduce")).to_contain_text("cupel run --commit FETCH_HEAD")
        await page.get_by_role("link", name="Compare the two").click()
        await expect(page.get_by_role("heading", name="How they ran")).to_be_visible()
        await a_comparison_is_asked_for(page)

    perform(tmp_path, act, **on(tmp_path))


async def charts_are_joined_to_the_log(page: Page) -> None:
    """The log moves the charts' cursor, and a click on a chart asks for the log's moment."""
    await expect(page.locator("#used .uplot")).to_have_count(4)
    assert "of 4.00 GiB" in await caption(page, "Memory")
    figures = await page.evaluate("fetch(location.pathname + '/used').then((got) => got.json())")
    times = figures["machines"][0]["at"]
    middle = times[len(times) // 2]
    await page.evaluate(
        "at => document.dispatchEvent(new CustomEvent('cupel:log-moment', { detail: at }))", middle
    )
    assert f"at {round(middle - times[0])} s:" in await caption(page, "Memory")
    await page.evaluate(
        "document.addEventListener('cupel:seek', (event) => { window.sought = event.detail; })"
    )
    over = page.locator("#used .u-over").first
    box = await over.bounding_box()
    assert box is not None
    await over.hover(position={"x": box["width"] * 0.25, "y": box["height"] / 2})
    assert "at 8 s:" in await caption(page, "Disk")  # those beside follow
    await over.click(position={"x": box["width"] * 0.25, "y": box["height"] / 2})
    sought = await page.evaluate("window.sought")
    assert abs(sought - (times[0] + 0.25 * (times[-1] - times[0]))) < 1
    await page.locator("#log .l", has_text="test session starts").hover()
    await expect(page.locator(".plots figcaption").first).to_contain_text("at ")
    await page.emulate_media(color_scheme="dark")  # they are drawn again, without a complaint
    await page.emulate_media(color_scheme="light")


async def a_refresh_keeps_what_is_open(stage: Stage, page: Page) -> None:
    build = stage.told.failed_build
    await page.locator("#beside > summary").click()
    said = page.locator(".failing details").first
    await said.locator("summary").click()
    await expect(said.locator("pre")).to_contain_text("self.assertIn(1, cache)")
    async with stage.served.store.write() as tx:
        row = await tx.get(Build, build)
        assert row is not None
        await tx.put([type(row)(**{**_fields(row), "reason": "seen anew"})])
    stage.served.feed.publish([Event(id=9, at=0.0, kind="build.finished", build_id=build)])
    await expect(page.locator(".why").first).to_contain_text("Seen anew")
    await expect(page.locator("#beside")).to_have_attribute("open", "")
    await expect(said).to_have_attribute("open", "")
    await expect(page.locator("#used .uplot")).to_have_count(4)


def _fields(row: Build) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__slots__}


async def by_keyboard(page: Page) -> None:
    """`f` goes to what failed: the test, then the step."""
    await page.locator("body").press("f")
    assert "test_lru_order" in await page.evaluate("document.activeElement.innerText")
    await page.locator("body").press("f")
    assert "pytest" in await page.evaluate("document.activeElement.innerText")


async def a_comparison_is_asked_for(page: Page) -> None:
    await page.get_by_label("Compare with build").fill("1")
    await page.get_by_role("button", name="Compare", exact=True).click()
    await page.wait_for_url("**/compare?with=1")
    await expect(page.locator(".pair")).to_contain_text("build 1")


def test_a_build_is_complete_without_scripts(tmp_path: Path) -> None:
    """Its charts as well; tests are chosen by a form, and files are led to and shown."""

    async def act(stage: Stage) -> None:
        at = f"/builds/{stage.told.failed_build}"
        page = await stage.open(at, java_script_enabled=False)
        await expect(page.locator("#used .charts path.line").first).to_be_attached()
        await page.get_by_text("As a table").click()
        await expect(page.locator("#used table tbody tr").first).to_be_visible()
        await page.get_by_role("link", name="line 15 of the log").click()
        assert page.url.endswith("#L15")
        await page.goto(f"{at}/tests?order=slowest")
        await page.get_by_label("At least").fill("1")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator(".results tbody tr")).to_have_count(1)
        await page.locator("select[name=group]").select_option("suite")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator("tbody th")).to_have_text(["tests.test_expiry.TTLTest"])
        await page.goto(f"{at}/artefacts")
        await page.get_by_role("link", name="shots/").click()
        await page.get_by_role("link", name="plot.svg").click()
        await expect(page.locator(".picture img")).to_be_visible()

    perform(tmp_path, act, **on(tmp_path))


def test_nothing_that_a_build_left_runs(tmp_path: Path) -> None:
    """A vector is drawn, but its script is not run: not within a page, and not by its address."""

    async def act(stage: Stage) -> None:
        at = f"/builds/{stage.told.failed_build}"
        page = await stage.open(f"{at}/artefacts/shots/plot.svg")
        for path in ("shots/plot.svg", "shots/screen.png"):
            await page.goto(f"{at}/artefacts/{path}")
            drawn = "document.querySelector('.picture img').naturalWidth"
            await page.wait_for_function(f"{drawn} > 0")
            assert await page.evaluate("window.ran") is None
        await page.goto(f"{at}/artefacts/site/index.html")
        await expect(page.get_by_text("A page is not shown here")).to_be_visible()
        assert await page.evaluate("window.ran") is None
        alone = await stage.browser.new_page(
            base_url=stage.served.url
        )  # it complains, as it should
        await alone.goto(f"{at}/picture/shots/plot.svg")
        assert await alone.locator("rect").count() == 1
        assert await alone.evaluate("document.documentElement.getAttribute('data-ran')") is None

    perform(tmp_path, act, **on(tmp_path))
