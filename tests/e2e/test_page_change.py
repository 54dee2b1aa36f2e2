"""The pages of a change in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from cupel.control.auth import Scope
from cupel.core.coverage import FileCoverage
from cupel.core.results import Annotation, Level
from cupel.report.results.notes import Notes
from e2e.stage import NEEDS_CHROMIUM, Stage, perform
from fakes import reviewed
from fakes.reviewed import Reviewed

pytestmark = [pytest.mark.e2e, NEEDS_CHROMIUM]

PHONE = {"viewport": {"width": 360, "height": 740}}
NOTES = Notes(
    annotations=(
        Annotation(
            path="src/cache.py", line=6, end_line=6, column=None, level=Level.ERROR,
            title="W1", message="<script>alert(1)</script>", tool="lint",
        ),
    ),
    coverage={"src/cache.py": FileCoverage(covered=((1, 5),), missed=((6, 6),))},
)  # fmt: skip


def test_a_change_says_what_blocks_it_and_lives(tmp_path: Path) -> None:
    made: list[Reviewed] = []

    async def act(stage: Stage) -> None:
        (about,) = made
        link = await stage.served.auth.login_link("ada", scopes=[Scope.WRITE, Scope.ADMIN])
        page = await stage.open(f"/login?token={link}")
        await page.goto(f"/changes/{about.misconfigured}")
        blocks = page.locator(".blocks > li")
        await expect(blocks).to_have_count(4)
        await expect(blocks.last).to_contain_text("configuration")
        source = page.locator(".source")
        await expect(source.locator(".wrong")).to_contain_text("mashine: riscv")
        await expect(source.locator(".caret")).to_have_text('    ^ unknown key "mashine"')
        await expect(page.get_by_text('Did you mean "machine"?')).to_be_visible()
        await expect(page.locator(".chain li")).to_have_count(4)
        await page.locator("#pulse[data-live=yes]").wait_for()
        await stage.rename(about.misconfigured, "Renamed while you look")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Renamed while you look")

        await page.goto(f"/changes/{stage.told.failing_change}")
        await expect(page.get_by_text("3 of 6")).to_be_visible()
        row = page.locator(".tried tr", has_text="tests (python=3.11)")
        await expect(row).to_contain_text("required")
        await page.keyboard.press("f")
        await expect(row.get_by_role("link", name="failed")).to_be_focused()
        await page.get_by_role("button", name="Dequeue").click()
        await page.get_by_role("dialog").get_by_role("button", name="Dequeue").click()
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await page.get_by_role("link", name="Abandon…").click()
        await expect(page.get_by_text(f"#{about.misconfigured}")).to_be_visible()
        await page.get_by_role("button", name="Abandon it").click()
        await page.wait_for_url(f"**/changes/{stage.told.failing_change}")
        asked = [what for what, *_ in stage.served.commands.asked]
        assert asked == ["dequeue", "abandon"]

        await page.get_by_role("link", name="Jobs as frozen").click()
        await expect(page.locator("svg.jobs g")).to_have_count(3)
        await expect(page.get_by_text("was LEVEL=1").first).to_be_visible()
        await page.get_by_role("link", name="Check").click()
        await expect(page.get_by_text("as the patch set has them")).to_be_visible()

    perform(tmp_path, act, prepare=lambda told: made.append(reviewed.make(told, tmp_path)))


def test_changes_are_filtered_on_a_phone_without_scripts(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        page = await stage.open("/changes", java_script_enabled=False, **PHONE)
        await page.get_by_label("Words").fill("keys type")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator(".listed tbody tr")).to_have_count(1)
        await expect(page.get_by_role("link", name="Type the keys module")).to_be_visible()
        await page.get_by_role("link", name="All", exact=True).click()
        assert "text=keys+type" in page.url
        await page.get_by_role("link", name="Clear").click()
        await page.get_by_role("link", name="Grace Hopper").click()
        await expect(page.locator(".listed tbody tr")).to_have_count(1)
        number = stage.told.failing_change
        for path in ("/changes", f"/changes/{number}", f"/changes/{number}/jobs"):
            await page.goto(path)
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
        plain = await stage.open("/changes", **PHONE)
        for path in ("/changes", f"/changes/{number}", f"/changes/{number}/jobs"):
            await plain.goto(path)
            assert await plain.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0

    perform(tmp_path, act, prepare=lambda told: reviewed.make(told, tmp_path))


def test_patch_sets_are_compared(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        stage.served.results.keep_notes(stage.told.failed_build, NOTES)
        page = await stage.open(f"/changes/{stage.told.failing_change}")
        await page.get_by_role("link", name="since patch set 2").click()
        await expect(page.get_by_text("Nothing differs")).to_be_visible()
        await page.get_by_role("link", name="See all that patch set 3 does").click()
        await expect(page.get_by_text("<script>alert(1)</script>")).to_be_visible()
        await expect(page.get_by_text("no test ran this")).to_be_visible()
        await page.get_by_label("From").select_option("patch set 1")
        await page.wait_for_url("**from=1&**", wait_until="load")
        await expect(page.locator(".file")).to_have_count(3)
        await expect(page.get_by_text("Made on different commits")).to_be_visible()
        folded = page.locator("[id='src/%3Cb%3E.txt'] details")
        assert await folded.get_attribute("open") is None
        for _ in range(3):
            await page.keyboard.press("j")
        assert await page.evaluate("document.activeElement.id") == "src/%3Cb%3E.txt"
        await page.keyboard.press("o")
        await expect(folded).to_have_attribute("open", "")
        await page.keyboard.press("f")
        assert await page.evaluate("document.activeElement.className") == "note"
        await page.goto(page.url + "#src/%3Cb%3E.txt:L650")
        await page.wait_for_url("**path=**L650")
        await expect(page.locator("[id='src/%3Cb%3E.txt:L650']")).to_be_in_viewport()

    perform(tmp_path, act, prepare=lambda told: reviewed.make(told, tmp_path))


def test_patch_sets_are_compared_on_a_phone_without_scripts(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        path = f"/changes/{stage.told.failing_change}/diff"
        page = await stage.open(path, java_script_enabled=False, **PHONE)
        await page.get_by_label("As").select_option("side by side")
        await page.get_by_label("Ignore white space").check()
        await page.get_by_role("button", name="Compare").click()
        assert "view=split" in page.url
        await expect(page.locator(".diff.beside td.new").first).to_be_visible()
        plain = await stage.open(f"{path}?view=split", **PHONE)
        for each in (f"{path}?view=split", path):
            await plain.goto(each)
            assert await plain.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0

    perform(tmp_path, act, prepare=lambda told: reviewed.make(told, tmp_path))
