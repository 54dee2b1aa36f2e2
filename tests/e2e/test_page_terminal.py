"""The terminal in the browser: typed and shown, resized, pasted, hostile output, and its end."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from playwright.async_api import Page, expect
from playwright.sync_api import expect as there
from playwright.sync_api import sync_playwright

from cupel.control.auth import Scope
from cupel.control.engine import Engine
from cupel.control.visits import Visits
from cupel.core import events
from cupel.core.hold import Hold, HoldState
from cupel.core.model import (
    BuildState,
    Host,
    Machine,
    MachineState,
    Pipeline,
    Project,
    Verdict,
)
from cupel.host import messages
from cupel.store.memory import MemoryStore
from e2e import server as serving
from e2e.conftest import Project as Gated
from e2e.server import Server, wait_for
from e2e.stage import CHROMIUM, FLAGS, NEEDS_CHROMIUM, Stage, perform
from e2e.test_sweep import axe
from fakes.busy import Busy

pytestmark = [pytest.mark.e2e, NEEDS_CHROMIUM]

HOSTILE = (
    b"\x1b]0;owned\x07\x1b]2;owned\x07"
    b"\x1b]52;c;b3duZWQ=\x07"
    b"\x1b]8;;https://evil.example/\x07a link\x1b]8;;\x07 "
    b"<script>document.title = 'owned'</script>\x1b[38;2;1;2;3mtrue colour\x1b[0m"
)


class Engineless:
    """Notes what is recorded."""

    def __init__(self) -> None:
        self.facts: list[events.Fact] = []

    async def record(self, *facts: events.Fact) -> None:
        self.facts += facts


class Shells:
    """The host `forge`, with shells that echo, and know a few words."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []
        self.typed = b""
        self._lines: dict[int, bytes] = {}
        self.visits: Visits

    def serve(self, store: MemoryStore) -> Mapping[str, Any]:
        self.visits = Visits(store, cast("Engine", Engineless()))
        self.visits.connect("forge", self.hear)
        return {"visits": self.visits, "holds": Holds()}

    async def hear(self, message: messages.ToHost) -> None:
        match message:
            case messages.Visit():
                self.sizes.append((message.rows or 0, message.columns or 0))
                self._write(message.visit, b"/build/src# ")
            case messages.VisitSize():
                self.sizes.append((message.rows, message.columns))
            case messages.VisitInput():
                self.typed += message.data
                self.visits.hear(messages.VisitTaken(visit=message.visit, count=len(message.data)))
                self._take(message.visit, message.data)

    def _take(self, visit: int, data: bytes) -> None:
        self._write(visit, data.replace(b"\r", b"\r\n"))
        *lines, rest = (self._lines.get(visit, b"") + data).split(b"\r")
        self._lines[visit] = rest
        for line in lines:
            if line == b"exit":
                self.visits.hear(messages.VisitEnded(visit=visit, status=7))
                return
            if line == b"hostile":
                self._write(visit, HOSTILE + b"\r\n")
            if line == b"flood":
                for number in range(40):
                    self._write(visit, b"%07d\r\n" % number * 3000)
            self._write(visit, b"/build/src# ")

    def _write(self, visit: int, data: bytes) -> None:
        self.visits.hear(messages.VisitOutput(visit=visit, stream="out", data=data))


class Holds:
    """What is asked of holds."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def ask(self, wish: Any, principal: Any) -> int:
        self.asked.append(wish)
        return 1


def hold_one(told: Busy) -> None:
    """The failed build's machine is held for Ada."""
    world = told.world
    change = world.change(world.row(Project, 1), "A change to look into")
    item = world.item(change, Pipeline.CHECK, age=700)
    host = world.row(Host, 1)
    machine = world.machine(host, MachineState.HELD, age=600)
    build = world.build(item, "tests", BuildState.FINISHED, Verdict.FAILURE, machine=machine)
    hold = world.put(
        Hold(
            id=world.id(Hold), owner="ada", reason="why?", state=HoldState.FULL, left=0,
            seconds=3600, created_at=world.now - 60, expires_at=world.now + 3540,
            build_id=build.id, project_id=change.project_id,
        )
    )  # fmt: skip
    kept = dataclasses.replace(
        world.row(Machine, machine.id), hold_id=hold.id, held_until=world.now + 754
    )
    world.put(kept)
    HELD.append(build.id)


HELD: list[int] = []


async def enter(stage: Stage, *, scopes: tuple[Scope, ...] = (Scope.WRITE,), **how: object) -> Page:
    link = await stage.served.auth.login_link("ada", scopes=scopes)
    page = await stage.open(f"/login?token={link}", **how)
    await page.goto(f"/builds/{HELD[-1]}/terminal")
    return page


def screen(page: Page) -> Any:
    return page.locator("#terminal-screen .xterm-rows")


def test_a_shell_is_typed_at_resized_and_left(tmp_path: Path) -> None:
    shells = Shells()

    async def act(stage: Stage) -> None:
        page = await enter(stage, viewport={"width": 1200, "height": 800})
        await expect(screen(page)).to_contain_text("/build/src#")
        await expect(page.locator("#live")).to_contain_text("ends in 12 min")
        first = shells.sizes[-1]
        await page.keyboard.type("echo hello there\n")
        await expect(screen(page)).to_contain_text("echo hello there")

        await page.set_viewport_size({"width": 900, "height": 600})
        await page.wait_for_timeout(300)
        rows, columns = shells.sizes[-1]
        assert rows < first[0]
        assert columns < first[1]
        await page.get_by_role("button", name="Larger").click()
        await page.wait_for_timeout(200)
        assert shells.sizes[-1][1] < columns

        other = await enter(stage)
        await expect(page.locator("#terminal-company")).to_have_text("Also here: you")
        await other.close()
        await expect(page.locator("#terminal-company")).to_have_text("")

        await page.locator("#terminal-screen").click()
        await page.keyboard.type("exit\n")
        await expect(page.get_by_text("The shell has ended with status 7.")).to_be_visible()
        await page.get_by_role("button", name="Open a new shell").click()
        await expect(page.locator("#terminal-state")).to_have_text("Connected")

        await page.get_by_role("button", name="from now").click()
        await page.wait_for_timeout(300)
        asked = stage.served.holds.asked
        assert [(each.build, each.seconds) for each in asked] == [(HELD[-1], 3600.0)]
        await expect(page.locator("#terminal-state")).to_have_text("Connected")

        shells.visits.disconnect("forge", "it went away")
        await expect(page.locator("#terminal-over")).to_contain_text("The host forge is lost")

    perform(tmp_path, act, prepare=hold_one, parts=shells.serve)


def test_what_a_machine_prints_harms_nobody_and_several_lines_are_asked_about(
    tmp_path: Path,
) -> None:
    shells = Shells()

    async def act(stage: Stage) -> None:
        page = await enter(stage, color_scheme="dark")
        title = await page.title()
        await expect(screen(page)).to_contain_text("#")
        await page.keyboard.type("hostile\n")
        await expect(screen(page)).to_contain_text("<script>document.title = 'owned'</script>")
        await expect(screen(page)).to_contain_text("a link")
        assert await page.title() == title
        assert await page.locator("#terminal-screen a, #terminal-screen script").count() == 0
        coloured = page.locator(".xterm-rows span", has_text="true colour")
        assert await coloured.evaluate("each => each.style.color") != ""

        await page.keyboard.type("flood\n")
        await page.wait_for_timeout(500)
        await page.keyboard.type("echo still\n")
        await expect(screen(page)).to_contain_text("echo still")

        await paste(page, "one\r\ntwo\x1b[201~\n")
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("heading")).to_have_text("Paste 2 lines?")
        assert await axe(page) == []
        await dialog.get_by_role("button", name="Do not").click()
        assert b"two" not in shells.typed
        await paste(page, "one\r\ntwo\x1b[201~\n")
        await dialog.get_by_role("button", name="Paste", exact=True).click()
        await expect(screen(page)).to_contain_text("two[201~")
        assert b"\x1b" not in shells.typed.partition(b"one")[2]
        await paste(page, "single")
        await expect(screen(page)).to_contain_text("single")

        assert await axe(page) == []
        await page.keyboard.press("Control+Shift+F6")
        await expect(page.get_by_role("button", name="Copy")).to_be_focused()
        await page.get_by_label("For a screen reader").check()
        await expect(page.locator(".xterm-accessibility-tree")).to_have_count(1)
        await page.reload()
        await expect(page.get_by_label("For a screen reader")).to_be_checked()

    perform(tmp_path, act, prepare=hold_one, parts=shells.serve)


async def paste(page: Page, text: str) -> None:
    await page.locator("#terminal-screen textarea").evaluate(
        """(place, text) => {
            const data = new DataTransfer();
            data.setData("text/plain", text);
            place.dispatchEvent(
                new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
            );
        }""",
        text,
    )


def test_who_may_not_is_told_and_who_would_spoil_a_build_is_asked(tmp_path: Path) -> None:
    shells = Shells()

    async def act(stage: Stage) -> None:
        page = await enter(stage)
        running = stage.told.running_build
        await page.goto(f"/builds/{running}/terminal")
        await expect(page.get_by_text("proves nothing, and runs again")).to_be_visible()
        assert await page.locator("#terminal").count() == 0
        await page.get_by_role("link", name="Go in all the same").click()
        await expect(screen(page)).to_contain_text("#")
        await page.goto(f"/builds/{stage.told.failed_build}/terminal")
        await expect(page.get_by_text(re.compile("is gone: it was not held"))).to_be_visible()

        phone = {"width": 360, "height": 640}
        plain = await enter(stage, java_script_enabled=False, viewport=phone)
        await expect(plain.get_by_text(f"cupel shell {HELD[-1]}").first).to_be_visible()
        wide = "document.documentElement.scrollWidth > innerWidth"
        small = await enter(stage, viewport=phone)
        await expect(screen(small)).to_contain_text("#")
        assert not await small.evaluate(wide)

        for scopes, status in (((Scope.READ,), 403), ((), 401)):
            context = await stage.browser.new_context(base_url=stage.served.url)
            if scopes:
                link = await stage.served.auth.login_link("eve", scopes=scopes)
                await context.request.get(f"/login?token={link}")
            answer = await context.request.get(f"/builds/{HELD[-1]}/terminal")
            assert answer.status == status

    perform(tmp_path, act, prepare=hold_one, parts=shells.serve)


def test_a_held_machine_is_entered_from_a_browser(server: Server, project: Gated) -> None:
    """On a real server, in a real machine: what is typed runs there, and its window follows."""
    work = project(serving.jobs(tests="echo broken > /tmp/left; false"))
    work.start_over()
    work.commit("Break it", {"x": "x"})
    change = work.push("hold", "wait").change
    [build] = server.builds(change)
    login = server.cli("login").stdout.strip()
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        complaints: list[str] = []
        page.on("console", lambda each: each.type == "error" and complaints.append(each.text))
        page.goto(login)
        page.goto(f"{server.url}/builds/{build['id']}/terminal")
        rows = page.locator("#terminal-screen .xterm-rows")
        there(rows).to_contain_text("# ")
        page.keyboard.type("cat /tmp/left; pwd; id -un; tput colors; stty size\n")
        there(rows).to_contain_text("broken")
        there(rows).to_contain_text("/build/src")
        before = wait_for(lambda: sizes(rows.inner_text()), why="the size")[-1]
        page.set_viewport_size({"width": 800, "height": 600})
        page.wait_for_timeout(300)
        page.keyboard.type("clear; stty size\n")
        wait_for(lambda: {*sizes(rows.inner_text())} - {before}, why="the new size")
        page.keyboard.type("exit 3\n")
        there(page.get_by_text("The shell has ended with status 3.")).to_be_visible()
        assert complaints == []
        browser.close()
    told = server.request("GET", f"/api/builds/{build['id']}").json()
    [hold] = [each for each in server.get("/api/holds") if each["change"] == change]
    assert told["on"]["state"] == "held"
    assert server.request("DELETE", f"/api/holds/{hold['id']}").is_success


def sizes(text: str) -> list[tuple[int, int]]:
    """What `stty size` has printed."""
    found = re.findall(r"^\s*(\d+)[^\S\n](\d+)\s*$", text, re.MULTILINE)
    return [(int(rows), int(columns)) for rows, columns in found]
