"""Several hosts, each a process on a network of its own, and what networks and processes do.

Nothing may be lost or doubled, and no machine may stay.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from e2e import networks
from e2e import server as serving
from e2e.networks import Network
from e2e.server import Server, Work, wait_for
from integration import images, leftovers

pytestmark = pytest.mark.e2e

LEASE = 15

TICKS = "for i in $(seq {count}); do echo tick $i; sleep 0.1; done"

_SKEWED = """
import sys, time
real = time.time
time.time = lambda: real() - 7200
from cupel.cli.main import main
main(sys.argv[1:])
"""


class Host:
    """`cupel host run` on a computer of the test's."""

    def __init__(self, network: Network, number: int, state: Path, server: Server) -> None:
        self.number = number
        self.name = f"h{number}"
        self.state = state
        self._network = network
        self._server = server
        self.process: subprocess.Popen[bytes] | None = None
        state.mkdir(mode=0o700, parents=True)
        (state / "images").symlink_to(images.cache())

    @property
    def output(self) -> str:
        return (self.state / "run.log").read_text(errors="replace")

    def start(self, token: str, *, skewed: bool = False, wait: bool = True) -> None:
        port = self._server.url.rpartition(":")[2]
        python = [sys.executable, *(["-c", _SKEWED] if skewed else ["-m", "cupel"])]
        with (self.state / "run.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._network.on(self.number), *python, "host", "run",
                 "--server", f"http://{self._network.server(self.number)}:{port}", "--insecure",
                 "--name", self.name, "--slots", "2", "--state", str(self.state)],
                env={**os.environ, "CUPEL_HOST_TOKEN": token},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        if wait:
            self.is_there()

    def is_there(self, state: str = "connected", seconds: float = 30) -> None:
        def look() -> bool:
            hosts = {each["name"]: each["state"] for each in self._server.get("/api/hosts")}
            return hosts.get(self.name) == state

        wait_for(look, seconds=seconds, why=f"{self.name} being {state}\n{self.output}")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)


class Fleet:
    """A server that makes no machines itself, and hosts."""

    def __init__(self, network: Network, server: Server, hosts: list[Host], token: str) -> None:
        self.network = network
        self.server = server
        self.hosts = hosts
        self.token = token

    def host_of(self, build: Any) -> Host:
        name = self.server.get(f"/api/builds/{build['id']}")["on"]["host"]
        return next(host for host in self.hosts if host.name == name)

    def numbers(self, build: Any) -> list[int]:
        lines = self.server.log(build["id"]).splitlines()
        return [int(line.split()[-1]) for line in lines if "tick " in line]


@contextlib.contextmanager
def fleet(tmp_path: Path, count: int, *, skewed: bool = False) -> Iterator[Fleet]:
    network = Network(count)
    settings = serving.config(slots=0, lease=f"{LEASE}s")
    with network.laid():
        server = Server(tmp_path / "state", settings)
        server._listen = "0.0.0.0:0"
        with serving.lasting(server):
            token = server.post("/api/tokens", {"name": "hosts", "scopes": ["host"]})["secret"]
            hosts = [Host(network, n, tmp_path / f"host{n}", server) for n in range(count)]
            try:
                for host in hosts:
                    host.start(token, skewed=skewed, wait=False)
                for host in hosts:
                    host.is_there()
                yield Fleet(network, server, hosts, token)
            finally:
                for host in hosts:
                    host.stop()
        for host in hosts:
            assert leftovers.of(host.state.resolve()) == {}, host.output
            assert "Traceback" not in host.output, host.output


@pytest.fixture(autouse=True)
def possible(machines: None) -> None:
    if (why := networks.lacking()) is not None:
        pytest.skip(why)


def begin(fleet: Fleet, tmp_path: Path, **jobs: str) -> tuple[Work, int]:
    work = serving.project(fleet.server, tmp_path / "work", "p", serving.jobs(**jobs))
    return work, work.propose("Land me", {"some": "thing\n"}, "land")


def landed_once(fleet: Fleet, work: Work, change: int, *, seconds: float = 60) -> list[Any]:
    """The builds of a change that landed, once, with all its jobs good."""
    assert fleet.server.ended(change, seconds=seconds)["state"] == "landed"
    assert serving.first_parents(work) == ["Land me", "Begin"]
    builds = fleet.server.builds(change)
    good = [each["job"] for each in builds if each["verdict"] == "success"]
    assert sorted(good) == sorted(set(good)) == sorted({each["job"] for each in builds})
    return builds


def test_a_short_partition_costs_nothing_whatever_the_hosts_clock_says(tmp_path: Path) -> None:
    with fleet(tmp_path, 1, skewed=True) as world:
        first = TICKS.format(count=40) + "; echo kept > $CUPEL_ARTIFACTS/file"
        work, change = begin(world, tmp_path, a=first, b="echo tick 1; sleep 1")
        build = world.server.running(change, job="a")
        world.server.printed(build["id"], "tick 3")
        world.network.cut(0)
        wait_for(lambda: "is lost; builds go on" in world.hosts[0].output, seconds=20)
        world.network.mend(0)
        builds = landed_once(world, work, change)
        assert [each["verdict"] for each in builds] == ["success"] * 2
        assert world.numbers(build) == list(range(1, 41))
        kept = world.server.get(f"/api/builds/{build['id']}/artefacts")
        assert [file["path"] for file in kept] == ["file"]


@pytest.mark.slow
def test_a_host_that_is_killed_and_started_again_takes_its_place_at_once(tmp_path: Path) -> None:
    with fleet(tmp_path, 1) as world:
        work, change = begin(world, tmp_path, a=TICKS.format(count=20))
        world.server.printed(world.server.running(change)["id"], "tick 3")
        world.hosts[0].kill()
        world.hosts[0].start(world.token)
        builds = landed_once(world, work, change)
        assert [each["verdict"] for each in builds] == ["infra", "success"]
        assert world.numbers(builds[-1]) == list(range(1, 21))


@pytest.mark.slow
def test_a_server_that_is_killed_has_its_hosts_back_and_its_builds_again(tmp_path: Path) -> None:
    with fleet(tmp_path, 1) as world:
        work, change = begin(world, tmp_path, a=TICKS.format(count=20))
        world.server.printed(world.server.running(change)["id"], "tick 3")
        world.server.kill()
        world.server._listen = world.server._listen.replace("127.0.0.1", "0.0.0.0")
        world.server.start()
        builds = landed_once(world, work, change)
        assert world.numbers(builds[-1]) == list(range(1, 21))


@pytest.mark.slow
def test_hosts_that_may_not_come_are_told_why(tmp_path: Path) -> None:
    with fleet(tmp_path, 1) as world:
        other = Host(world.network, 0, tmp_path / "other", world.server)
        other.start(world.server.token, wait=False)
        assert other.process is not None
        assert other.process.wait(30) == 2
        assert "this needs a token with the scope host" in other.output
        other.start(world.token, wait=False)
        wait_for(lambda: "a host called h0 is connected already" in other.output)
        other.stop()
        world.hosts[0].is_there()


@pytest.mark.slow
def test_a_long_partition_moves_builds_and_what_comes_late_counts_for_nothing(
    tmp_path: Path,
) -> None:
    with fleet(tmp_path, 2) as world:
        # Longer than the lease: the first attempt would end well, had it not been lost.
        work, change = begin(world, tmp_path, a=TICKS.format(count=250))
        build = world.server.running(change)
        world.server.printed(build["id"], "tick 3")
        lost = world.host_of(build)
        world.network.cut(lost.number)
        lost.is_there("lost", seconds=3 * LEASE)
        wait_for(
            lambda: leftovers.of_machines(lost.state.resolve()) == {}, why="the host's own end"
        )
        world.network.mend(lost.number)
        lost.is_there()
        first, second = landed_once(world, work, change, seconds=90)
        assert (first["verdict"], second["verdict"]) == ("infra", "success")
        assert f"nothing was heard of it for {LEASE} s" in first["reason"]
        assert world.host_of(second) is not lost
        assert world.numbers(second) == list(range(1, 251))


@pytest.mark.slow
def test_a_host_that_dies_for_good_has_its_builds_done_elsewhere(tmp_path: Path) -> None:
    with fleet(tmp_path, 2) as world:
        work, change = begin(world, tmp_path, a=TICKS.format(count=20))
        build = world.server.running(change)
        world.server.printed(build["id"], "tick 3")
        dead = world.host_of(build)
        dead.kill()
        builds = landed_once(world, work, change, seconds=90)
        assert world.host_of(builds[-1]) is not dead
        dead.start(world.token)


@pytest.mark.slow
def test_a_slow_line_slows_the_build_and_fills_no_memory(tmp_path: Path) -> None:
    with fleet(tmp_path, 1) as world:
        world.network.slow(0, "4mbit")
        size = 4 << 20
        script = f"""python3 -c 'print("0123456789abcde\\n" * {size // 16}, end="")'"""
        work, change = begin(world, tmp_path, a=script)
        host = world.hosts[0]
        assert host.process is not None
        process = psutil.Process(host.process.pid)
        before, most = process.memory_info().rss, 0

        def over() -> bool:
            nonlocal most
            most = max(most, process.memory_info().rss)
            return bool(world.server.change(change)["state"] == "landed")

        wait_for(over, seconds=90)
        (build,) = landed_once(world, work, change)
        assert world.server.log(build["id"]).count("0123456789abcde") == size // 16
        assert most - before < 24 << 20
        assert build["finished_at"] - build["started_at"] > size * 8 / 4e6 / 2


@pytest.mark.slow
def test_people_get_into_machines_far_away_which_outlive_the_server(tmp_path: Path) -> None:
    with fleet(tmp_path, 1) as world:
        server = world.server
        jobs = serving.jobs(a="echo mine > /tmp/left; false")
        work = serving.project(server, tmp_path / "work", "p", jobs)
        change = work.propose("Break it", {"some": "thing\n"}, "hold", "wait")
        [build] = server.builds(change)

        def inside(*command: str) -> str:
            done = server.cli("shell", build["id"], "--", *command)
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert inside("cat", "/tmp/left") == "mine\n"
        _flood(world, build["id"])
        server.kill()
        server._listen = server._listen.replace("127.0.0.1", "0.0.0.0")
        server.start()
        world.hosts[0].is_there()
        assert inside("cat", "/tmp/left") == "mine\n"
        assert inside("git", "log", "-1", "--format=%s") == "Break it\n"
        [hold] = server.get("/api/holds")
        assert server.cli("hold", "release", hold["id"]).returncode == 0
        machine = hold["machines"][0]["machine"]
        wait_for(lambda: server.get(f"/api/machines/{machine}")["state"] == "gone")


def _flood(world: Fleet, build: int) -> None:
    """What prints without end, and is read by nobody, waits; all else goes on."""
    state = str(world.server.state)
    words = [sys.executable, "-m", "cupel", "--state", state, "shell", str(build), "--", "yes"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as flood:
        assert flood.stdout is not None
        assert flood.stdout.read(100_000).startswith(b"y\ny\n")
        before = world.server.memory
        done = world.server.cli("shell", build, "--", "sh", "-c", "sleep 3; echo meanwhile")
        assert done.stdout == "meanwhile\n"
        assert world.server.memory - before < 16 << 20
        world.hosts[0].is_there()
        flood.kill()
