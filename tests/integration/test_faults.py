"""The server is killed, stopped, started twice and starved of disk: nothing is lost or doubled."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e import server as serving
from e2e.server import Pushed, Server, Work, wait_for
from integration import images

pytestmark = pytest.mark.e2e

QUICK = serving.jobs(tests="sleep 0.3; echo tested")


@pytest.fixture(scope="module", autouse=True)
def _machines() -> None:
    images.need()
    images.ensure()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving.running(tmp_path / "state") as running:
        yield running


def crash(server: Server) -> None:
    server.kill()
    server.start()


def land_all(work: Work, titles: list[str], patience: float = serving.PATIENCE) -> None:
    """Wait until everything has landed, and check that each change did so once, and whole."""
    server = work.server

    def landed() -> bool:
        changes = server.get(f"/api/changes?project={work.project}")["entries"]
        assert sorted(change["title"] for change in changes) == sorted(titles)
        return all(change["state"] == "landed" for change in changes)

    wait_for(landed, seconds=patience, why="the landing of all changes")
    subjects = [re.sub(r"^Merge change \d+: ", "", s) for s in serving.first_parents(work)]
    assert sorted(subjects) == sorted([*titles, "Begin"])
    for title in titles:
        assert work.git("show", f"FETCH_HEAD:{title}") == title
    trees = proved_trees(server, work)
    upto = len(titles)
    for commit in work.git("rev-list", "--first-parent", f"-{upto}", "FETCH_HEAD").split():
        assert work.git("rev-parse", f"{commit}^{{tree}}") == trees[commit]


def proved_trees(server: Server, work: Work) -> dict[str, str]:
    """Landed commit → the tree that its buildset proved."""
    found = {}
    for change in server.get(f"/api/changes?project={work.project}")["entries"]:
        view = server.change(change["id"])
        gate = next(each for each in view["items"] if each["item"]["state"] == "landed")
        current = next(each for each in gate["buildsets"] if each["current"])
        assert all(b["verdict"] == "success" for b in latest(current["builds"]).values())
        found[view["landed_commit"]] = current["tree"]
    return found


def latest(builds: list[Any]) -> dict[str, Any]:
    return {build["job"]: build for build in sorted(builds, key=lambda build: build["attempt"])}


def take(work: Work, title: str, *options: str) -> Pushed:
    """Push until the server has taken the change, as an impatient developer would."""
    pushed = work.push(*options)
    for _ in range(3):
        if pushed.ok or "no new" in pushed.text:
            return pushed
        pushed = work.push(*options)
    raise AssertionError(f"{title} is not taken: {pushed.text}")


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 20))]
)
def test_kills_at_any_moment_lose_and_double_nothing(
    seed: int, server: Server, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    work = serving.project(server, tmp_path, "killed", QUICK)
    titles = [f"change-{n}" for n in range(4)]
    for title in titles:
        work.git("checkout", "--quiet", "--detach", "main")
        work.commit(title, {title: title})
        pushing = work.pushing("land")
        time.sleep(chance.uniform(0.0, 1.2))
        crash(server)
        first = serving.finished(pushing)
        if not first.ok:
            take(work, title, "land")
    land_all(work, titles)


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Server]:
    """A server whose git may kill it: see `kill_at`."""
    real = shutil.which("git")
    programs = tmp_path / "programs"
    programs.mkdir()
    trap = tmp_path / "trap"
    (programs / "git").write_text(
        f"""#!/bin/sh
[ -e {trap} ] || exec {real} "$@"
. {trap}
case "$*" in
$pattern) rm {trap}; [ $when = before ] || {real} "$@"; kill -9 $pid; exit 1 ;;
esac
exec {real} "$@"
"""
    )
    (programs / "git").chmod(0o755)
    server = Server(tmp_path / "state")
    server.env["PATH"] = f"{programs}:{server.env['PATH']}"
    with serving.lasting(server):
        yield server


def kill_at(server: Server, when: str, pattern: str) -> None:
    """Let the server die right before or after it runs git with words that match."""
    assert server.process is not None
    trap = server.state.parent / "trap"
    fresh = trap.with_suffix(".new")
    fresh.write_text(f"when={when} pattern='{pattern}' pid={server.process.pid}\n")
    fresh.replace(trap)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_around_the_moving_of_main_lands_once(
    when: str, mortal: Server, tmp_path: Path
) -> None:
    work = serving.project(mortal, tmp_path, "landing", QUICK)
    for title in ("one", "two"):
        work.commit(title, {title: title})
    kill_at(mortal, when, "*update-ref*refs/heads/main*")
    pushed = work.push("land")
    assert len(pushed.changes) == 2, pushed.text
    assert mortal.process is not None
    mortal.process.wait(serving.PATIENCE)
    mortal.start()
    land_all(work, ["one", "two"])
    assert len(mortal.builds(pushed.changes[0])) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_while_a_push_is_recorded_leaves_it_to_be_pushed_again(
    when: str, mortal: Server, tmp_path: Path
) -> None:
    work = serving.project(mortal, tmp_path, "pushed", QUICK)
    work.commit("one", {"one": "one"})
    kill_at(mortal, when, "*update-ref*refs/changes/*")
    broken = work.push("land")
    assert not broken.ok
    assert "Push again" in broken.remote or "unexpected disconnect" in broken.text, broken.text
    mortal.start()
    assert take(work, "one", "land").ok
    land_all(work, ["one"])


def test_what_has_passed_is_not_run_again_after_a_crash(server: Server, tmp_path: Path) -> None:
    jobs = serving.jobs(quick="echo quick", slow="echo begun; sleep 2; echo slow")
    work = serving.project(server, tmp_path, "resumed", jobs)
    number = work.propose("one", {"one": "one"}, "land")
    slow = server.running(number, job="slow")

    def passed() -> Any:
        return next((b for b in server.builds(number) if b["verdict"] == "success"), None)

    before = wait_for(passed, why="the success of the quick build")
    server.printed(slow["id"], "begun")
    crash(server)
    land_all(work, ["one"])
    builds = server.builds(number)
    assert [b["id"] for b in builds if b["job"] == "quick"] == [before["id"]]
    verdicts = [b["verdict"] for b in builds if b["job"] == "slow"]
    assert verdicts == ["infra", "success"]
    assert "begun" in server.log(slow["id"])


def test_after_a_crash_the_machines_are_gone(server: Server, tmp_path: Path) -> None:
    work = serving.project(server, tmp_path, "left", serving.jobs(tests="echo begun; sleep 100"))
    number = work.propose("one", {"one": "one"}, "land")
    build = server.running(number)
    server.printed(build["id"], "begun")
    server.kill()
    server.start()
    server.cli("dequeue", str(number))
    server.cleared()
    machines = server.get("/api/machines?gone=true")["entries"]
    wait_for(
        lambda: all(m["state"] == "gone" for m in server.get("/api/machines")["entries"]),
        why="the end of all machines in the list",
    )
    assert machines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_server_goes_on_where_it_was(
    number: signal.Signals, server: Server, tmp_path: Path
) -> None:
    work = serving.project(server, tmp_path, "stopped", serving.jobs(tests="sleep 1"))
    change = work.propose("one", {"one": "one"}, "land")
    server.running(change)
    assert server.stop(number) == 0
    assert server.leftovers() == {}
    server.start()
    land_all(work, ["one"])


def test_who_waits_at_a_push_is_told_that_the_server_stops(server: Server, tmp_path: Path) -> None:
    work = serving.project(server, tmp_path, "waiting", serving.jobs(tests="sleep 2"))
    work.commit("one", {"one": "one"})
    pushing = work.pushing("land", "wait")
    wait_for(lambda: server.get("/api/changes")["entries"], why="the change")
    server.running(1)
    assert server.stop() == 0
    told = serving.finished(pushing)
    assert f"nothing is lost, and what was taken goes on:\n  {server.url}/changes/1" in told.remote
    server.start()
    land_all(work, ["one"])


def test_pushing_to_a_server_that_is_away_changes_nothing(server: Server, tmp_path: Path) -> None:
    work = serving.project(server, tmp_path, "away", QUICK)
    work.commit("one", {"one": "one"})
    remote = work.remote()
    server.stop()
    refused = work.push("land", remote=remote)
    assert not refused.ok
    assert "unable to access" in refused.text
    server.start()
    assert take(work, "one", "land").ok
    land_all(work, ["one"])


def test_a_second_server_on_the_same_directory_is_refused(server: Server) -> None:
    second = server.cli("up", "--listen", "127.0.0.1:0")
    assert second.returncode == 2
    assert f"cupel: a Cupel already runs on {server.state} (process " in second.stderr
    assert server.process is not None
    assert str(server.process.pid) in second.stderr
    assert server.get("/api/status") is not None


def test_a_port_in_use_is_said(server: Server, tmp_path: Path) -> None:
    address = server.url.removeprefix("http://")
    other = Server(tmp_path / "other")
    second = other.cli("up", "--listen", address)
    assert second.returncode == 2
    assert f"cannot listen on {address}" in second.stderr


@contextlib.contextmanager
def small_disk(directory: Path, megabytes: int) -> Iterator[Path]:
    directory.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "cupel-test", str(directory)],
        check=True,
    )
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(directory: Path) -> Path:
    """Take all space of a file system, of which others may take some meanwhile."""
    path = directory / "ballast"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 20))
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))
    return path


def alive(server: Server) -> bool:
    return server.process is not None and server.process.poll() is None


def test_a_full_disk_costs_time_and_nothing_else(tmp_path: Path) -> None:
    chatty = "for n in $(seq 60); do echo line $n; sleep 0.05; done"
    with (
        small_disk(tmp_path / "disk", 3000) as disk,
        serving.running(disk / "state") as server,
    ):
        work = serving.project(server, tmp_path, "starved", serving.jobs(tests=chatty))
        first = work.propose("one", {"one": "one"}, "land")
        build = server.running(first)
        server.printed(build["id"], "line 5")
        ballast = fill(disk)
        work.git("checkout", "--quiet", "--detach", "main")
        work.commit("two", {"two": "two"})
        refused = work.push("land")
        assert not refused.ok
        assert "disk" in refused.text or "space" in refused.text, refused.text
        time.sleep(4)  # long enough for the build to end on the full disk
        assert alive(server), server.output
        assert server.get("/api/status") is not None
        ballast.unlink()
        assert take(work, "two", "land").ok
        land_all(work, ["one", "two"])
        last = server.builds(first)[-1]
        assert [f"line {n}" for n in range(1, 61)] == server.log(last["id"]).split("\n")[-61:-1]


def test_a_disk_that_is_full_from_the_start_is_said(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 10) as disk:
        server = Server(disk / "state")
        fill(disk)
        refused = server.cli("up", "--listen", "127.0.0.1:0")
        assert refused.returncode == 3, refused.stderr
        assert "bug in Cupel" not in refused.stderr
        assert "disk" in refused.stderr or "space" in refused.stderr
