"""Builds of several real machines: their network, links, services, and what is left of them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from cupel.errors import UserError
from cupel.host import beside, messages, runner
from cupel.host.messages import BuildSpec, LinkSpec, Output, ServiceSpec, StepSpec
from cupel.host.providers.interface import Machine
from cupel.host.providers.namespace import NamespaceProvider
from integration import images, leftovers
from integration.provider_contract import run

pytestmark = pytest.mark.e2e

SERVE = "python3 -m http.server --bind 0.0.0.0 8000"
ROUND_TRIP = """
import socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(float(sys.argv[2]))
came = []
for number in range(int(sys.argv[1])):
    began = time.monotonic()
    sock.sendto(b"%d" % number, ("server", 9000))
    try:
        while sock.recv(100) != b"%d" % number: pass
        came.append(time.monotonic() - began)
    except TimeoutError: pass
print(len(came), 1000 * sorted(came)[len(came) // 2] if came else -1)
"""
ECHO = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", 9000))
print("listening", flush=True)
while True:
    data, sender = sock.recvfrom(100)
    sock.sendto(data, sender)
"""


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    images.need()
    images.ensure()


@dataclasses.dataclass
class Ran:
    outcome: runner.Outcome
    printed: list[tuple[int, str]]
    """Each piece of output, with the number of the machine that it came from."""

    def of(self, part: int) -> str:
        return "".join(text for number, text in self.printed if number == part)

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.printed)


async def play(
    provider: NamespaceProvider,
    names: list[str],
    steps: list[StepSpec],
    *,
    services: tuple[ServiceSpec, ...] = (),
    links: tuple[LinkSpec, ...] = (),
    first: int = 1,
) -> Ran:
    """Run a build on new machines with these names."""
    spec = images.machine_spec()
    await provider.prepare(spec, print)
    machines: dict[str, Machine] = {}
    printed: list[tuple[int, str]] = []

    async def send(message: messages.ToServer) -> None:
        if isinstance(message, Output):
            printed.append((message.part, message.data.decode()))

    build = BuildSpec(
        build=first,
        project="project",
        job="job",
        source=messages.SourceSpec(url="", ref="", commit="", branch="main"),
        steps=tuple(steps),
        timeout=60.0,
        parts=tuple(
            messages.PartSpec(name=name, machine=first + number)
            for number, name in enumerate(names)
        ),
        services=services,
        links=links,
    )
    try:
        for number, name in enumerate(names):
            machines[name] = await provider.create(first + number, spec)
            assert (await run(machines[name], "mkdir -p /build/src /build/artifacts"))[0] == 0
        async with beside.joined(provider, spec, machines, build) as joined:
            running = runner.Runner(
                machines[names[0]],
                build,
                memory=spec.memory,
                send=send,
                now=asyncio.get_running_loop().time,
                beside=joined,
            )
            return Ran(await running.run(), printed)
    finally:
        for machine in machines.values():
            await machine.destroy()


def on_provider(state: Path, scenario: Callable[[NamespaceProvider], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with _provider(state) as provider:
            await scenario(provider)

    before = _taps()
    asyncio.run(whole())
    assert leftovers.of(state) == {}
    assert _taps() == before


@contextlib.asynccontextmanager
async def _provider(state: Path) -> AsyncIterator[NamespaceProvider]:
    provider = NamespaceProvider(state, images=images.cache())
    try:
        yield provider
    finally:
        for machine in await provider.list():
            await provider.purge(machine)
        await provider.close()


def _taps() -> str:
    return "".join(sorted(path.name for path in Path("/sys/class/net").iterdir()))


def step(run: str, on: str = "") -> StepSpec:
    return StepSpec(name=run[:20], run=run, on=on)


def test_machines_talk_by_name_and_each_line_says_where_it_is_from(tmp_path: Path) -> None:
    async def scenario(provider: NamespaceProvider) -> None:
        ran = await play(
            provider,
            ["client", "server"],
            [
                step("echo hello >index.html; ls; echo $CUPEL_MACHINE", on="server"),
                step(f"({SERVE} >/dev/null 2>&1 &) ; sleep 0.5", on="server"),
                step(
                    "python3 -c 'import urllib.request as u; "
                    'print(u.urlopen("http://server:8000/index.html").read())\'; '
                    "echo $CUPEL_MACHINE; cat /proc/net/route"
                ),
                step("echo kept >/build/artifacts/mine", on="server"),
            ],
        )
        assert ran.outcome == runner.SUCCESS, ran.text
        assert ran.of(1) == "index.html\nserver\n"
        assert "hello" in ran.of(0)
        assert "client" in ran.of(0)
        # One network and no way out of it.
        routes = re.findall(r"^(\w+)\t([0-9A-F]{8})\t", ran.of(0), re.MULTILINE)
        assert routes == [("cupel0", "000013C6")]

    on_provider(tmp_path, scenario)


def test_two_builds_with_the_same_addresses_do_not_meet(tmp_path: Path) -> None:
    async def scenario(provider: NamespaceProvider) -> None:
        def build(mark: str, first: int) -> Awaitable[Ran]:
            look = (
                "for i in 1 2 3 4 5; do sleep 0.2; python3 -c 'import urllib.request as u; "
                'print(u.urlopen("http://server:8000/mark").read())\'; done'
            )
            service = ServiceSpec(
                name="server",
                run=f"echo {mark} >mark; exec {SERVE}",
                health="",
                ports=(8000,),
                timeout=30.0,
            )
            return play(
                provider, ["client", "server"], [step(look)], services=(service,), first=first
            )

        one, two = await asyncio.gather(build("one", 1), build("two", 11))
        assert (one.outcome, two.outcome) == (runner.SUCCESS, runner.SUCCESS), one.text + two.text
        assert one.of(0).count("one") == 5
        assert "two" not in one.of(0)
        assert two.of(0).count("two") == 5

    on_provider(tmp_path, scenario)


def test_delay_loss_partition_and_healing(tmp_path: Path) -> None:
    async def scenario(provider: NamespaceProvider) -> None:
        trip = f"python3 -c '{ROUND_TRIP}'"
        service = ServiceSpec(
            name="server", run=f"exec python3 -c '{ECHO}'", health="", ports=(), timeout=30.0
        )
        ran = await play(
            provider,
            ["client", "server"],
            [
                step(f"sleep 0.5; {trip} 20 1"),
                step(f"cupel-link client server --delay 0; {trip} 20 1"),
                step(f"cupel-link server client --loss 40%; {trip} 100 0.03"),
                step(f"cupel-link client server --down; {trip} 5 0.05"),
                step(f"cupel-link client server --clear; {trip} 20 1", on="client"),
                step(
                    "cupel-link client nobody --down && exit 1; [ $? = 2 ]; "
                    "cupel-link client server --loss lots && exit 1; [ $? = 2 ]"
                ),
            ],
            services=(service,),
            links=(LinkSpec(one="client", other="server", delay=0.05),),
        )
        assert ran.outcome == runner.SUCCESS, ran.text
        came = [
            line.split() for line in ran.of(0).splitlines() if line[0].isdigit() or "-1" in line
        ]
        counts = [int(count) for count, _ in came]
        times = [float(milliseconds) for _, milliseconds in came]
        assert counts[0] == counts[1] == counts[4] == 20
        assert 100 <= times[0] < 140
        assert max(times[1], times[4]) < 30
        assert 15 <= counts[2] <= 57  # 36 of 100 come through and back
        assert counts[3] == 0
        assert "no machine 'nobody'" in ran.text

    on_provider(tmp_path, scenario)


def test_a_service_that_does_not_get_well_ends_the_build_with_its_last_words(
    tmp_path: Path,
) -> None:
    async def scenario(provider: NamespaceProvider) -> None:
        for run_, health, why in (
            ("echo no disk; sleep 60", "false", "was not healthy within 1 s; it printed last:"),
            ("echo no disk; exit 3", "false", "ended with status 3 and was not healthy"),
        ):
            service = ServiceSpec(name="db", run=run_, health=health, ports=(), timeout=1.0)
            ran = await play(provider, ["main", "db"], [step("echo began")], services=(service,))
            assert ran.outcome.verdict == "failure"
            assert f"service 'db' {why}" in str(ran.outcome.reason)
            assert "no disk" in str(ran.outcome.reason)
            assert "began" not in ran.text

    on_provider(tmp_path, scenario)


def test_what_cannot_be_joined_is_refused_in_words(tmp_path: Path) -> None:
    async def scenario(provider: NamespaceProvider) -> None:
        class Other:
            id = 7

        with pytest.raises(UserError, match="virtual machines can't be joined"):
            await provider.join(images.machine_spec(), {"a": Other()}, ())  # type: ignore[dict-item]

    on_provider(tmp_path, scenario)


AGENT = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from integration import test_together as t
async def main():
    async with t._provider(Path(sys.argv[1])) as provider:
        await t.play(provider, ["a", "b"], [t.step("cupel-link a b --down; sleep 98765")])
asyncio.run(main())
"""


def test_nothing_is_left_when_the_agent_is_killed(tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[1])
    agent = subprocess.Popen([sys.executable, "-c", AGENT, str(tmp_path), tests])
    try:
        asyncio.run(_until(lambda: len(_sleepers()) == 1))
        wires = _holding_taps()
        assert wires
        groups = [Path(f"/proc/{pid}/cgroup").read_text() for pid in wires]
        own = re.compile(r"/cupel-\w+/s\w+-\d+/init\n")
        assert all(own.search(each) for each in groups if "cupel-" in each)
    finally:
        os.kill(agent.pid, signal.SIGKILL)
        agent.wait()
    asyncio.run(_until(lambda: not (_holding_taps() & wires)))
    on_provider(tmp_path, _nothing)


async def _nothing(provider: NamespaceProvider) -> None:
    pass


async def _until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not what():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.1)


def _sleepers() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes() == b"sleep\x0098765\x00":
                found.append(path.parent.name)
    return found


def _holding_taps() -> set[str]:
    """The processes that hold the end of an interface of a build's network."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/fdinfo/*"):
        with contextlib.suppress(OSError):
            if "iff:\tcupel0" in path.read_text():
                found.add(path.parts[2])
    return found
