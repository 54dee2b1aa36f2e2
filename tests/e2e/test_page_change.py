"""The pages of a change in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from cupel.core.coverage import FileCoverage
from cupel.core.results import Annotation, Level
from cupel.report.results.notes import Notes
from e2e.stage import NEEDS_CHROMIUM, Stage, perform
from fakes import reviewed

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
        await expect(page.locator(".diff.split td.new").first).to_be_visible()
        plain = await stage.open(f"{path}?view=split", **PHONE)
        for each in (f"{path}?view=split", path):
            await plain.goto(each)
            assert await plain.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0

    perform(tmp_path, act, prepare=lambda told: reviewed.make(told, tmp_path))
