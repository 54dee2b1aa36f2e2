"""Trends, tests over builds and flaky tests in a real browser."""

from __future__ import annotations

import time
from pathlib import Path

from playwright.async_api import expect

from cupel.control.auth import Scope
from e2e.stage import NEEDS_CHROMIUM, Stage, perform
from e2e.test_sweep import axe
from fakes import weeks
from fakes.busy import Busy

pytestmark = NEEDS_CHROMIUM
PHONE = {"width": 360, "height": 740}


def test_trends(tmp_path: Path) -> None:
    made = weeks.weeks(time.time())

    def prepare(told: Busy) -> None:
        for row in made.world.rows:
            told.world.put(row)

    async def act(on: Stage) -> None:
        await the_weeks(on)
        await the_grid(on)
        await without_scripts_on_a_phone(on)
        await quarantine(on)

    perform(tmp_path, act, prepare=prepare, fill=lambda served, told: made.write(served.results))


async def the_weeks(on: Stage) -> None:
    page = await on.open("/trends/tests?green=1&group=file", color_scheme="dark")
    assert await axe(page) == []
    await page.goto("/trends?weeks=8")
    assert await axe(page) == []
    await expect(page.get_by_role("heading", name="This week so far")).to_be_visible()
    chart = page.get_by_role("img", name="From approval to landing")
    assert (await chart.bounding_box() or {})["width"] > 200
    await page.get_by_text("The figures of each week").click()
    await expect(page.get_by_role("region", name="The figures of each week")).to_be_visible()
    await page.get_by_role("link", name="tests (python=3.11)").first.click()
    await expect(page.get_by_role("heading", name="Tests of tests (python=3.11)")).to_be_visible()


async def the_grid(on: Stage) -> None:
    """By keyboard; the names and the builds stay where they are while the rest is scrolled."""
    page = await on.open("/trends/tests?green=1", viewport={"width": 700, "height": 500})
    grid = page.get_by_role("region", name="Tests by build")
    name = page.get_by_role("rowheader").nth(1)
    before = await name.bounding_box()
    await grid.evaluate("it => it.scrollBy(300, 200)")
    after = await name.bounding_box()
    assert before is not None
    assert after is not None
    assert after["x"] == before["x"]
    assert after["y"] < before["y"]
    column = await page.get_by_role("columnheader").nth(5).bounding_box()
    box = await grid.bounding_box()
    assert column is not None
    assert box is not None
    assert column["y"] - box["y"] < 3
    await page.keyboard.press("/")
    await page.keyboard.type("test_12")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("rowheader")).to_have_count(1)
    await page.goto("/trends/tests")
    await page.keyboard.press("f")
    await expect(page.locator("[data-failure]:focus-within, [data-failure]:focus")).to_have_count(1)
    cell = page.get_by_role("link", name="failed in build").first
    await cell.click()
    await page.wait_for_url("**/tests/*")


async def without_scripts_on_a_phone(on: Stage) -> None:
    for path in (
        "/trends",
        "/trends/tests?green=1&group=file",
        "/trends/tests?view=times",
        "/flakes",
    ):
        page = await on.open(path, java_script_enabled=False, viewport=PHONE, is_mobile=True)
        assert await page.locator("html").evaluate("it => it.scrollWidth") <= PHONE["width"], path
    await expect(page.get_by_role("img", name="runs failed").first).to_be_visible()


async def quarantine(on: Stage) -> None:
    page = await on.open("/flakes")
    link = await on.served.auth.login_link("ada", scopes=[Scope.ADMIN])
    await page.goto(f"/login?token={link}")
    await page.goto("/flakes")
    await page.get_by_text("Quarantine it").click()
    await page.get_by_label("Why").fill("the clock of the lab")
    await page.get_by_role("button", name="Quarantine", exact=True).click()
    await page.wait_for_url("**/flakes#quarantined")
    await page.get_by_role("button", name="block again").click()
    await page.wait_for_url("**/flakes#quarantined")
    assert [asked[0] for asked in on.served.commands.asked] == ["quarantine", "release"]
