"""People in the machines of builds: shells, commands, and what becomes of both."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e import server as serving
from e2e.conftest import Project
from e2e.server import Server, wait_for
from e2e.typing_at import Terminal

pytestmark = pytest.mark.e2e

WAITS = "echo here; while [ ! -e /tmp/go ]; do sleep 0.1; done; cat /tmp/go; test ! -s /tmp/go"
"""A step that goes on once somebody makes that file; with something in it, it fails."""


@contextlib.contextmanager
def at(server: Server, build: int, **size: int) -> Iterator[Terminal]:
    terminal = Terminal(server.state, "shell", str(build), **size)
    try:
        terminal.expect("# ")
        yield terminal
    finally:
        terminal.close()


def inside(server: Server, build: int, *command: str, **options: Any) -> Any:
    words = [sys.executable, "-m", "cupel", "--state", str(server.state), "shell", str(build)]
    return subprocess.run(
        [*words, "--", *command], capture_output=True, timeout=30, check=False, **options
    )


def test_a_shell_in_the_machine_of_a_running_build(server: Server, project: Project) -> None:
    work = project(serving.jobs(tests=WAITS))
    change = work.propose("Wait", {"x": "x"})
    build = server.running(change)["id"]
    with at(server, build, rows=30, columns=100) as terminal:
        terminal.type("stty size; pwd; id -un; echo $TERM $CUPEL_BUILD $CUPEL_JOB; cat x; echo\n")
        terminal.expect(f"30 100\r\n/build/src\r\nroot\r\nxterm-256color {build} tests\r\nx")
        terminal.expect("# ")
        terminal.resize(50, 132)
        wait_for(lambda: _size(terminal).endswith("50 132"), why="the new size")
        terminal.type("sh -c 'echo sle\"\"eps; exec sleep 1000'\n")
        terminal.expect("sleeps")
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.expect("# ")
        terminal.type("fg\n")
        terminal.expect("exec sleep 1000'\r\n")
        terminal.type("\x03")
        terminal.expect("# ")
        terminal.type("echo was $?\n")
        terminal.expect("was 130")
        with at(server, build) as other:
            other.type("tty\n")
            other.expect("/dev/pts/1")
            other.type("\n~.")
            other.expect("left")
            assert other.ended() == 0
        terminal.type("exit 7\n")
        assert terminal.ended() == 7
    done = inside(server, build, "sh", "-c", "cat; echo err >&2; touch /tmp/go; exit 3", input=b"i")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"i", b"err\n")
    server.ended(change, "check")
    again = inside(server, build, "true")
    assert again.returncode == 2
    assert b"is gone: it was not held" in again.stderr


def _size(terminal: Terminal) -> str:
    terminal.type("stty size\n")
    terminal.expect("stty size\r\n")
    terminal.expect("# ")
    lines = terminal.all.split(b"stty size\r\n")[-1].split(b"\r\n")
    return lines[0].decode()


def test_what_somebody_leaves_behind_is_hung_up_on(server: Server, project: Project) -> None:
    work = project(serving.jobs(tests=WAITS))
    build = server.running(work.propose("Wait", {"x": "x"}))["id"]
    with at(server, build) as terminal:
        terminal.type("sh -c 'echo sle\"\"eps; exec sleep 31415'\n")
        terminal.expect("sleeps")
        terminal.process.kill()
        terminal.process.wait()
    look = ["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]
    wait_for(lambda: b"31415" not in inside(server, build, *look).stdout, why="the hang-up")
    machine = server.get(f"/api/builds/{build}")["machine"]
    wait_for(lambda: server.get(f"/api/machines/{machine}")["visitors"] == 0, why="the leaving")
    inside(server, build, "touch", "/tmp/go")


@pytest.mark.slow  # the core's own tests say the same
def test_a_visited_build_of_the_gate_proves_nothing(server: Server, project: Project) -> None:
    work = project(serving.jobs(tests=WAITS))
    change = work.propose("Wait", {"x": "x"}, "land")
    first = server.running(change)["id"]
    assert inside(server, first, "touch", "/tmp/go").returncode == 0
    wait_for(lambda: server.get(f"/api/builds/{first}")["verdict"], why="its end")
    ended = server.get(f"/api/builds/{first}")
    assert ended["verdict"] == "infra"
    assert "somebody was in its machine" in ended["reason"]
    second = server.running(change)["id"]
    assert second != first
    server.post(f"/api/changes/{change}/dequeue")


def test_a_failed_machine_is_held_for_whoever_asked(server: Server, project: Project) -> None:
    work = project(serving.jobs(tests="echo broken > /tmp/left; false"))
    work.start_over()
    work.commit("Break it", {"x": "x"})
    pushed = work.push("hold", "wait")
    change = pushed.change
    [build] = server.builds(change)
    assert f"UTC: cupel shell {build['id']}" in pushed.remote, pushed.text
    held = server.get("/api/holds")
    [hold] = [each for each in held if each["change"] == change]
    assert [each["build"] for each in hold["machines"]] == [build["id"]]
    listed = server.cli("hold", "list").stdout
    assert f"cupel shell {build['id']}" in listed
    assert f"cupel shell {build['id']}" in server.cli("machine", "list").stdout
    assert f"cupel shell {build['id']}" in server.request("GET", "/machines").text
    assert inside(server, build["id"], "cat", "/tmp/left").stdout == b"broken\n"
    with at(server, build["id"]) as terminal:
        terminal.type("cat /tmp/left\n")
        terminal.expect("broken")
        longer = server.cli("hold", build["id"], "--for", "5s", "--reason", "a while")
        assert longer.returncode == 0, longer.stderr
        assert "held until" in longer.stdout
        terminal.type("echo still ty")
        terminal.expect("this machine goes in")
        terminal.expect("the time of its hold is over", seconds=40)
        assert terminal.ended() == 3
    machine = hold["machines"][0]["machine"]
    wait_for(lambda: server.get(f"/api/machines/{machine}")["state"] == "gone", why="its end")
    wait_for(
        lambda: not [e for e in server.get("/api/holds") if e["change"] == change], why="the end"
    )


def _copies(server: Server, build: int, here: Path) -> None:
    (here / "tree/deep").mkdir(parents=True)
    (here / "tree/deep/file").write_text("one")
    (here / "tree/run").write_text("two")
    (here / "tree/run").chmod(0o755)
    for words in (
        (here / "tree", f"{build}:/tmp"),
        (f"{build}:/tmp/tree", here / "back"),
        (f"{build}:/tmp/tree/deep/file", here),
        (here / "file", f"{build}:renamed"),
    ):
        done = server.cli("cp", *words)
        assert (done.returncode, done.stderr) == (0, ""), words
    assert (here / "back/deep/file").read_text() == (here / "file").read_text() == "one"
    assert (here / "back/run").stat().st_mode & 0o777 == 0o755
    assert server.cli("cp", f"{build}:/build/src/renamed", "-").stdout == "one"
    none = server.cli("cp", f"{build}:/tmp/none", here)
    assert none.returncode == 2
    assert "there is no /tmp/none" in none.stderr


def test_a_hold_is_released_and_refused_in_words(
    server: Server, project: Project, tmp_path: Path
) -> None:
    work = project(serving.jobs(tests=WAITS))
    change = work.propose("Wait", {"x": "x"})
    build = server.running(change)["id"]
    assert "--reason" in server.cli("hold", build).stderr
    too_long = server.cli("hold", build, "--for", "9h", "--reason", "long")
    assert "8h at most" in too_long.stderr
    assert server.cli("hold", build, "--reason", "to look").returncode == 0
    inside(server, build, "touch", "/tmp/go")
    server.ended(change, "check")
    [hold] = [each for each in server.get("/api/holds") if each["build"] == build]
    assert hold["state"] == "full"
    _copies(server, build, tmp_path)
    assert server.cli("hold", "release", hold["id"]).returncode == 0
    wait_for(
        lambda: server.get(f"/api/machines/{hold['machines'][0]['machine']}")["state"] == "gone",
        why="its end",
    )
    gone = server.cli("hold", build, "--reason", "late")
    assert gone.returncode == 2
    assert "is gone" in gone.stderr


@pytest.mark.slow
def test_a_server_that_stops_ends_shells_well_and_loses_its_holds_in_words(
    machines: None, tmp_path: Path
) -> None:
    with serving.running(tmp_path / "state") as server:
        work = serving.project(server, tmp_path / "work", "p", serving.jobs(tests="false"))
        work.start_over()
        work.commit("Break it", {"x": "x"})
        change = work.push("hold", "wait").change
        [build] = server.builds(change)
        with at(server, build["id"]) as terminal:
            assert server.stop() == 0
            terminal.expect("the connection to the server is lost")
            assert terminal.ended() == 3
        server.start()
        wait_for(lambda: server.get("/api/holds") == [], why="the end of the hold")
        [over] = server.get("/api/holds?over=true")
        assert over["detail"] == "lost: its host started anew"
        gone = inside(server, build["id"], "true")
        assert b"its host started anew" in gone.stderr, gone.stderr
