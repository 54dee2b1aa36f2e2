"""Pages by keyboard: what the keys do, and when they rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from cupel.control.auth import Scope
from e2e.stage import NEEDS_CHROMIUM, Stage, perform

pytestmark = [pytest.mark.e2e, NEEDS_CHROMIUM]

FIELDS = """() => document.querySelector("main").insertAdjacentHTML("afterbegin", `
  <input data-filter aria-label="Filter" value="old">
  <input data-search type="search" aria-label="Of the page">`)"""

FAILURES = """() => document.querySelector("main").insertAdjacentHTML("beforeend", `
  <p id="first" data-failure>One</p>
  <details id="folded"><summary>Folded</summary><p id="second" data-failure>Two</p></details>`)"""


async def press(page: Page, *keys: str) -> str:
    """The id of what has the focus once these keys are pressed."""
    for key in keys:
        await page.keyboard.press(key)
    return str(await page.evaluate("document.activeElement.id"))


async def rows(page: Page) -> list[str]:
    ids = await page.locator("[data-row]").evaluate_all("all => all.map(each => each.id)")
    return [str(each) for each in ids]


def test_rows_failures_and_fields_are_reached_by_a_key(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        page = await stage.open("/events", viewport={"width": 900, "height": 240})
        all_rows = await rows(page)
        assert len(all_rows) >= 3
        assert await press(page, "j") == all_rows[0]
        assert await press(page, "j", "j") == all_rows[2]
        assert await press(page, "k") == all_rows[1]
        assert await press(page, *"j" * len(all_rows)) == all_rows[-1]
        await expect(page.locator(f"#{all_rows[-1]}")).to_be_in_viewport(ratio=0.95)
        await page.evaluate(FAILURES)
        await page.evaluate(FIELDS)
        assert await press(page, "f") == "first"
        assert await press(page, "f") == "second"
        assert await page.locator("#folded").get_attribute("open") is not None
        assert await press(page, "f") == "first"
        await press(page, "/")
        await page.keyboard.type("jks?")
        assert await page.get_by_label("Filter", exact=True).input_value() == "jks?"
        assert await press(page, "Escape") == ""
        await press(page, "s")
        await expect(page.get_by_label("Of the page")).to_be_focused()
        await page.get_by_label("Of the page").evaluate("field => field.remove()")
        assert await press(page, "Escape", "s") == "search"  # that of everything, in the header

    perform(tmp_path, act)


def test_a_row_keeps_the_focus_when_others_come_before_it(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        page = await stage.open("/events")
        await page.locator("#pulse[data-live=yes]").wait_for()
        at = await press(page, "j", "j")
        await stage.happen("item.enqueued", "entered gate once more")
        await page.get_by_text("entered gate once more").wait_for()
        assert (await rows(page)).index(at) == 2
        assert await page.evaluate("document.activeElement.id") == at

    perform(tmp_path, act)


def test_enter_opens_and_letters_lead_to_sections(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        page = await stage.open("/events")
        row = page.locator("[data-row]", has=page.locator("a")).first
        target = await row.locator("a").first.get_attribute("href")
        await row.evaluate("row => { row.tabIndex = -1; row.focus(); }")
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**{target}")
        await page.keyboard.press("g")
        await page.keyboard.press("m")
        await page.wait_for_url("**/machines")

    perform(tmp_path, act)


def test_the_keys_of_a_page_are_listed(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        page = await stage.open("/events")
        await page.keyboard.press("?")
        dialog = page.get_by_role("dialog", name="Keys")
        await expect(dialog).to_contain_text("Next row")
        await expect(dialog).to_contain_text("Go to Machines")
        await expect(dialog).not_to_contain_text("Next failure")  # it has none
        await page.keyboard.press("j")
        assert await page.locator("[data-row]:focus").count() == 0
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await page.get_by_role("button", name="Keys").click()
        await expect(dialog).to_be_visible()
        without = await stage.open("/events", java_script_enabled=False)
        await expect(without.get_by_role("button", name="Keys")).to_be_hidden()

    perform(tmp_path, act)


def test_what_cannot_be_taken_back_is_asked_first(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        link = await stage.served.auth.login_link("ada", scopes=[Scope.WRITE])
        page = await stage.open(f"/login?token={link}")
        await page.goto("/changes/6")
        button = page.get_by_role("button", name="Approve")
        await button.evaluate("each => each.dataset.confirm = 'Is it good?'")
        await button.click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("Is it good?")
        await dialog.get_by_role("button", name="Close").click()
        assert stage.served.commands.asked == []
        await button.click()
        async with page.expect_navigation():
            await dialog.get_by_role("button", name="Approve").click()
        assert stage.served.commands.asked == [("approve", 6, "ada")]

    perform(tmp_path, act)
