"""The pages in a real browser, without and with JavaScript, against a server with a busy world."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cupel.control.auth import Scope
from e2e.stage import NEEDS_CHROMIUM, Stage, perform

pytestmark = [pytest.mark.e2e, NEEDS_CHROMIUM]


def test_pages_are_complete_without_scripts(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        page = await stage.open("/queue/cachetools", java_script_enabled=False)
        assert await page.locator(".queue > li").count() == 7
        assert await page.get_by_text("Evict the least recently used").is_visible()
        await page.get_by_role("link", name="tests (python=3.11) failed").click()
        assert await page.get_by_text("Not decided").is_visible()
        assert await page.locator("#log .l").count() == 25 - 1
        await page.locator("#L4 > a").click()
        assert page.url.endswith("#L4")

    perform(tmp_path, act)


def test_the_queue_follows_what_happens(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        page = await stage.open("/queue/cachetools")
        await page.locator("#pulse[data-live=yes]").wait_for()
        await stage.rename(6, "Renamed while you look")
        await page.get_by_text("Renamed while you look").wait_for()
        await stage.rename(6, "And once more")
        await page.get_by_text("And once more").wait_for()

    perform(tmp_path, act)


def test_buttons_work_from_link_to_redirect(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        link = await stage.served.auth.login_link("ada", scopes=[Scope.WRITE])
        page = await stage.open(f"/login?token={link}")
        await page.goto("/queue/cachetools")
        await page.get_by_role("link", name="Dequeue change 6").click()
        await page.get_by_role("button", name="Take it out").click()
        await page.wait_for_url("**/queue/cachetools")
        assert stage.served.commands.asked == [("dequeue", 6, "ada")]
        await page.get_by_role("button", name="Log out").click()
        await page.get_by_role("link", name="Log in").wait_for()

    perform(tmp_path, act)


def test_the_keyboard_reaches_the_content(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        page = await stage.open("/queue/cachetools")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to content"
        await page.keyboard.press("Enter")
        assert re.search("#main$", page.url)
        assert await page.evaluate("document.activeElement.id") == "main"

    perform(tmp_path, act)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(scheme: str, tmp_path: Path) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1 for every tone on every ground that it stands on."""

    async def act(stage: Stage) -> None:
        page = await stage.open("/", color_scheme=scheme)
        for name in ("ink", "muted", "link", "good", "bad", "warn", "infra", "run", "quiet"):
            for ground in ("paper", "panel", "log", f"{name}-bg"):
                ratio = await page.evaluate(CONTRAST, [f"--{name}", f"--{ground}"])
                assert ratio is None or ratio >= 4.5, (name, ground, ratio)

    perform(tmp_path, act)


CONTRAST = """([front, back]) => {
  const style = getComputedStyle(document.documentElement);
  const light = (name) => {
    const hex = style.getPropertyValue(name).trim().slice(1);
    if (!hex) return null;
    const full = hex.length === 3 ? [...hex].map((digit) => digit + digit).join("") : hex;
    const [r, g, b] = [0, 2, 4].map((at) => parseInt(full.slice(at, at + 2), 16) / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [a, b] = [light(front), light(back)];
  if (a === null || b === null) return null;
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""
