"""`cupel top` in a real terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import server as serving
from e2e.conftest import Project
from e2e.server import Server

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not here"),
]


class Terminal:
    """A terminal of tmux's, on a server of its own."""

    def __init__(self, directory: Path, command: str, *, width: int, height: int) -> None:
        self._socket = directory / "tmux"
        self._env = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "screen-256color"}
        shell = f"{command}; echo left with $?; stty -a | grep -o -- '-\\?icanon'; sleep 60"
        self.tmux(
            "-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height), shell
        )

    def tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), *words], env=self._env, capture_output=True,
            text=True, timeout=10, check=True,
        )  # fmt: skip
        return done.stdout

    @property
    def text(self) -> str:
        return self.tmux("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def shows(self, text: str) -> str:
        """The screen, once it has the text."""
        try:
            serving.wait_for(lambda: text in self.text, seconds=20, why=f"{text!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.text}") from None
        return self.text


def top(server: Server) -> str:
    return f"{sys.executable} -m cupel --state {server.state} top"


def test_top_in_a_terminal(server: Server, project: Project, tmp_path: Path) -> None:
    work = project(serving.jobs(lint="true", tests="echo it was here") | {"greeting": ""})
    number = work.propose("Look at me in the terminal", {"greeting": "hello\n"}, "land", "wait")
    terminal = Terminal(tmp_path, top(server), width=80, height=20)
    try:
        assert "cpu" in terminal.shows("in the gate")
        terminal.press("/")
        terminal.press("-l", work.project)
        terminal.press("Enter")
        assert f"▸ #{number}" in terminal.shows("Look at me in the terminal")
        terminal.press("Enter")
        terminal.shows("▸ ✓ lint")
        terminal.press("j")
        terminal.shows("it was here")
        terminal.press("Escape")
        terminal.tmux("resize-window", "-x", "40", "-y", "16")
        screen = terminal.shows("…")
        assert all(len(line) <= 40 for line in screen.splitlines())
        terminal.press("q")
        left = terminal.shows("left with 0")
        assert "-icanon" not in left
        assert "Look at me" not in left, "the screen is as it was before"
    finally:
        terminal.tmux("kill-server")


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Server]:
    """A server that makes no machines: what is pushed waits."""
    made = Server(tmp_path / "state", serving.config(slots=0))
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.mark.slow
def test_top_follows_what_happens_and_a_server_that_comes_back(
    machines: None, idle: Server, tmp_path: Path
) -> None:
    work = serving.project(idle, tmp_path, "watched", serving.jobs(lint="true", tests="true"))
    one = work.propose("Wait for a machine", {"one": ""}, "land")
    terminal = Terminal(tmp_path, top(idle), width=80, height=20)
    try:
        screen = terminal.shows("Wait for a machine")
        assert f"▸ #{one}" in screen
        assert "no hosts: nothing makes machines" in screen
        two = work.propose("Come later", {"two": ""}, "land")
        terminal.shows("Come later")  # by an event: nothing was pressed
        terminal.press("j")
        terminal.shows(f"▸ #{two}")
        idle.kill()
        terminal.shows("! ")
        idle.start()
        serving.wait_for(lambda: "! " not in terminal.text, why="the reconnection")
        terminal.press("C-c")
        assert "-icanon" not in terminal.shows("left with 0")
    finally:
        terminal.tmux("kill-server")
