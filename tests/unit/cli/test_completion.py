"""Completion: in the real shells, and what words the server and the working tree have."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import httpx2
import pytest
from click.shell_completion import ShellComplete

from cupel.cli import complete, completion, main
from cupel.cli.session import Session
from cupel.directory import Address
from unit.cli import calls

BIN = Path(sys.executable).parent
PATIENCE = 30.0
CONFIG = "jobs:\n  tests: {machine: debian-12, steps: [make]}\ngate: [tests]\n"
ON_TAB = {
    "bash": 'eval "$(cupel completion bash)"',
    "zsh": 'autoload -Uz compinit && compinit -u -D; eval "$(cupel completion zsh)"',
}
START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}


def environment(directory: Path) -> dict[str, str]:
    """That of a shell in a directory of its own, which knows no server."""
    made = {
        **os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "$ ",
        "HOME": str(directory), "XDG_STATE_HOME": str(directory / "state"),
    }  # fmt: skip
    made.pop("CUPEL_URL", None)
    return made


class Terminal:
    """A shell on a terminal, at which somebody types."""

    def __init__(self, command: list[str], directory: Path) -> None:
        self._mine, other = pty.openpty()
        self._process = subprocess.Popen(
            command, stdin=other, stdout=other, stderr=other, cwd=directory,
            env=environment(directory),
            start_new_session=True,
        )  # fmt: skip
        os.close(other)
        self._shown = ""

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._mine)

    def type(self, text: str) -> None:
        os.write(self._mine, text.encode())

    def see(self, wanted: str) -> None:
        """Wait until the text stands there, after what was seen before."""
        end = time.monotonic() + PATIENCE
        while wanted not in self._shown:
            assert time.monotonic() < end, f"{wanted!r} did not come: {self._shown[-2000:]!r}"
            if select.select([self._mine], [], [], 0.5)[0]:
                self._shown += os.read(self._mine, 65_536).decode(errors="replace")
        self._shown = self._shown.partition(wanted)[2]


@pytest.fixture(params=START)
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    """A shell in a working tree with a job, in which completion is set up."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    (tmp_path / ".cupel.yaml").write_text(CONFIG)
    with closing(Terminal(START[request.param], tmp_path)) as made:
        made.type(f"{ON_TAB[request.param]}; echo set''up\n")
        made.see("setup")
        yield made


def test_a_real_shell_completes_commands_and_jobs(terminal: Terminal) -> None:
    terminal.type("cupel expl\t")
    terminal.see("ain")
    terminal.type("\x15cupel explain te\t")
    terminal.see("sts")


def test_without_a_server_a_real_shell_says_nothing(terminal: Terminal) -> None:
    terminal.type("cupel land \t\tx\x15echo do''ne\n")
    terminal.see("done")
    assert "Error" not in terminal._shown


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(
    ("line", "wanted"),
    [("cupel expl", "explain\t"), ("cupel explain te", "tests\tdebian-12\n"), ("cupel land ", "")],
)
def test_real_fish_completes(line: str, wanted: str, tmp_path: Path) -> None:
    """Asked as its users' key does, which needs a terminal that knows more than ours."""
    (tmp_path / ".cupel.yaml").write_text(CONFIG)
    script = f'cupel completion fish | source; complete -C "{line}"'
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], cwd=tmp_path, env=environment(tmp_path),
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(wanted)
    assert bool(done.stdout) == bool(wanted)
    assert done.stderr == ""


Words = Callable[[str], list[str]]


@pytest.fixture
def words(cupel: calls.Command, monkeypatch: pytest.MonkeyPatch) -> Words:
    """What a line's last word may become, in front of a server with a small world."""
    monkeypatch.setenv(main.COMPLETING, "bash_complete")
    session = Session(state=cupel.world.state, url=calls.URL, token=cupel.token)

    def fetch(address: Address, path: str) -> Any:
        http = httpx2.Client(transport=calls.InProcess(cupel.world), base_url=address.url)
        headers = {"Authorization": f"Bearer {address.token}"}
        return http.get(f"/api/{path}", headers=headers).raise_for_status().json()

    monkeypatch.setattr(complete, "fetch", fetch)

    def words(line: str) -> list[str]:
        *before, last = line.split(" ")
        found = ShellComplete(main.cli, {"obj": session}, "cupel", main.COMPLETING)
        return [item.value for item in found.get_completions(before, last)]

    return words


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("approve ", "22"),
        ("approve 2", "22"),
        ("logs ", "223"),
        ("build show 22", "223"),
        ("machine delete ", "1223"),
        ("host drain ", "here"),
        ("project set ", "demo"),
        ("status ", "demo"),
        ("change list --project d", "demo"),
        ("import github --machine debian-12-", "debian-12-net"),
        ("completion z", "zsh"),
    ],
)
def test_words_of_the_server(words: Words, line: str, wanted: str) -> None:
    found = words(line)
    assert wanted in found
    assert all(word.startswith(line.rpartition(" ")[2]) for word in found)


def test_jobs_of_the_working_tree(words: Words, tmp_path: Path) -> None:
    (tmp_path / ".cupel.yaml").write_text(CONFIG)
    assert words(f"explain --path {tmp_path} ") == ["tests"]
    (tmp_path / ".cupel.yaml").write_text("jobs: [")
    assert words(f"explain --path {tmp_path} ") == []


def test_each_shell_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs/reference/cli.md").read_text()
    for shell in completion.SHELLS:
        assert f"cupel completion {shell}" in text
    help_text = completion.completion.get_help(click.Context(completion.completion))
    assert "compinit" in help_text
