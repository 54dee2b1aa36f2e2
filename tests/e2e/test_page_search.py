"""The search page in a real browser: by keyboard, without scripts, on a phone."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import expect

from cupel.log import signature
from e2e.stage import NEEDS_CHROMIUM, Stage, perform

pytestmark = NEEDS_CHROMIUM
PHONE = {"width": 360, "height": 740}


def test_search(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await by_keyboard(stage)
        await without_scripts_on_a_phone(stage)
        await a_log_that_grows_and_one_that_goes(stage, tmp_path)
        await hostile(stage)

    perform(tmp_path, act)


async def by_keyboard(stage: Stage) -> None:
    """A question is typed and sent, its rows are walked, and a line is opened where it stands."""
    page = await stage.open("/search", color_scheme="dark")
    await expect(page.get_by_role("searchbox", name="What to look for")).to_be_focused()
    await page.keyboard.type("1 failed, 213 passed")
    await page.keyboard.press("Enter")
    found = page.get_by_role("article")
    await expect(found).to_have_count(1)
    await expect(found.locator("mark")).to_have_text("1 failed, 213 passed")
    await expect(page.get_by_text("1 line in 1 log. All 2 logs were searched")).to_be_visible()
    assert "q=1+failed" in page.url
    await page.locator("h1").click()
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/builds/{stage.told.failed_build}?q=**")
    assert "#L" in page.url


async def without_scripts_on_a_phone(stage: Stage) -> None:
    page = await stage.open(
        "/search?q=popitem", java_script_enabled=False, viewport=PHONE, is_mobile=True
    )
    await expect(page.get_by_role("heading", name="Changes 1")).to_be_visible()
    await page.get_by_label("Regular expression").check()
    await page.get_by_role("searchbox", name="What to look for").fill(r"(\d+) failed, \d+")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator("mark")).to_have_text(["1 failed, 213"])
    await expect(page.get_by_label("Regular expression")).to_be_checked()
    assert await page.locator("html").evaluate("it => it.scrollWidth") <= PHONE["width"]


async def a_log_that_grows_and_one_that_goes(stage: Stage, directory: Path) -> None:
    stage.log.append(1, "out", 1.0, b"a needle that has just been printed\n")
    signature.make(signature.directory(directory / "logs", stage.told.failed_build))
    page = await stage.open("/search?q=needle&kind=logs")
    await expect(page.locator("mark")).to_have_text(["needle"])
    await page.goto("/search?q=AssertionError&kind=logs")
    await expect(page.get_by_role("article")).to_have_count(1)
    stage.served.logs.delete(stage.told.failed_build)
    await page.reload()
    await expect(page.get_by_text("No line of any log has that.")).to_be_visible()


async def hostile(stage: Stage) -> None:
    name = "<script>alert(1)</script> \u202eevil \U0001f600 " + "x" * 10_000
    await stage.rename(stage.told.failing_change, name)
    stage.log.append(1, "out", 1.0, name.encode() + b" needle\n")
    page = await stage.open("/search?q=evil", viewport=PHONE)
    await expect(page.get_by_role("heading", name="Changes 1")).to_be_visible()
    await expect(page.locator("mark")).to_have_text(["evil"])
    assert await page.locator("html").evaluate("it => it.scrollWidth") <= PHONE["width"]
