"""The pages in a real browser, without and with JavaScript, against a server with a busy world."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvicorn
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from cupel.api import app as api
from cupel.control.auth import Scope
from cupel.core.model import Build, BuildState, Change, Event, Verdict
from cupel.log.append import LogWriter
from cupel.web import app as web
from fakes import busy
from fakes import served as fakes_served
from fakes.served import Served

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium package"),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """A running server with a busy world, and a browser to look at it."""

    told: busy.Busy
    served: Served
    log: LogWriter
    browser: Browser

    async def open(self, path: str, **options: object) -> Page:
        """A page in a browser of its own; what its console complains of fails the test."""
        context: BrowserContext = await self.browser.new_context(
            base_url=self.served.url, **options
        )
        page = await context.new_page()
        page.on("console", lambda message: _refuse(message.type, message.text))
        page.on("pageerror", lambda error: _refuse("error", str(error)))
        await page.goto(path)
        return page

    async def rename(self, change: int, title: str) -> None:
        """Something happens to a change, and whoever looks is told."""
        async with self.served.store.write() as tx:
            row = await tx.get(Change, change)
            assert row is not None
            await tx.put([dataclasses.replace(row, title=title)])
        self.served.feed.publish([Event(id=1, at=0.0, kind="change.pushed", change_id=change)])

    async def finish(self, build: int) -> None:
        self.log.close()
        async with self.served.store.write() as tx:
            row = await tx.get(Build, build)
            assert row is not None
            done = dataclasses.replace(
                row, state=BuildState.FINISHED, verdict=Verdict.SUCCESS, finished_at=time.time()
            )
            await tx.put([done])
        self.served.feed.publish([Event(id=2, at=0.0, kind="build.finished", build_id=build)])


_complaints: list[str] = []


def _refuse(kind: str, text: str) -> None:
    if kind in {"error", "warning"}:
        _complaints.append(text)


def perform(directory: Path, act: Callable[[Stage], Awaitable[None]]) -> None:
    """Run `act` on a stage of its own."""

    async def run(listener: socket.socket) -> None:
        told = busy.busy(time.time())
        served = fakes_served.served(
            await told.world.store(),
            directory,
            time.time,
            url=f"http://127.0.0.1:{listener.getsockname()[1]}",
        )
        log = busy.write_logs(served.logs, told)
        application = api.create(served)
        web.mount(application, served)
        server = uvicorn.Server(uvicorn.Config(application, log_config=None))
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve([listener]))
            try:
                async with async_playwright() as play:
                    browser = await play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                    await act(Stage(told=told, served=served, log=log, browser=browser))
                    await browser.close()
            finally:
                served.feed.close()
                served.logs.close()
                server.should_exit = True

    _complaints.clear()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(run(listener))
    assert _complaints == []


def every_page(told: busy.Busy) -> list[str]:
    return [
        "/", "/queue", "/queue/cachetools", "/changes?state=all", "/machines", "/images", "/events",
        "/login",
        f"/changes/{told.failing_change}", f"/changes/{told.rejected_change}",
        f"/builds/{told.failed_build}", f"/builds/{told.running_build}",
        f"/builds/{told.infra_build}", f"/builds/{told.queued_build}",
    ]  # fmt: skip


def test_nothing_is_wider_than_a_phone_and_everything_has_a_name(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        page = await stage.open("/", viewport={"width": 360, "height": 740})
        for path in every_page(stage.told):
            await page.goto(path)
            excess = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert excess <= 0, path
            nameless = await page.locator("button, a, input").evaluate_all(
                "found => found.filter(e => !(e.ariaLabel || e.textContent.trim() || e.type))"
                ".map(e => e.outerHTML)"
            )
            assert nameless == [], path
            assert await page.locator("h1").count() >= 1
            assert await page.locator("main").count() == 1

    perform(tmp_path, act)


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


def test_the_tail_of_a_log_misses_and_doubles_nothing(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        page = await stage.open(f"/builds/{stage.told.running_build}")
        for number in range(400):
            stage.log.append(1, "out", time.time(), f"live line {number}\n".encode())
            if number % 40 == 0:
                await asyncio.sleep(0.02)
        await page.get_by_text("live line 399", exact=True).wait_for()
        await stage.finish(stage.told.running_build)
        await page.locator("#live .big", has_text="passed").wait_for()
        texts = await page.locator("#log .l > span").all_inner_texts()
        live = [text for text in texts if text.startswith("live line")]
        assert live == [f"live line {number}" for number in range(400)]
        ids = await page.locator("#log .l").evaluate_all("all => all.map(e => e.id)")
        assert ids == [f"L{number}" for number in range(1, len(ids) + 1)]

    perform(tmp_path, act)


def test_buttons_work_from_link_to_redirect(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        link = await stage.served.auth.login_link("ada", scopes=[Scope.WRITE])
        page = await stage.open(f"/login?token={link}")
        await page.goto("/queue/cachetools")
        await page.get_by_role("button", name="Dequeue change 6").click()
        await page.wait_for_url("**/changes/6")
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
