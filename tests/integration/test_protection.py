"""Real builds that eat memory or disk on a host that keeps itself alive; what measuring costs."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cupel.host import messages, protection, protocol, transport
from cupel.host.agent import Agent
from cupel.host.messages import (
    BuildFinished,
    BuildSpec,
    Destroy,
    MachineGone,
    MachineReady,
    Make,
    Metrics,
    PartSpec,
    Progress,
    Run,
    SourceSpec,
    StepSpec,
    Welcome,
)
from cupel.host.pressure import Load, Sample
from cupel.host.protection import Guard
from cupel.host.providers.namespace import NamespaceProvider, cgroups
from cupel.host.providers.vm.machine import VmMachine
from integration import images, leftovers
from integration.test_provider_vm import MISSING, on_machine

MIB = 1 << 20
ROOM = 160 * MIB
"""What the test lets the host believe that it has for its builds."""

HOG = """
import time
held = []
while True:
    held.append(bytearray(8 << 20))
    held[-1][::4096] = b"x" * len(held[-1][::4096])
    time.sleep(0.1)
"""


@pytest.fixture(autouse=True)
def possible() -> None:
    images.need()
    images.ensure()


def small(state: Path, now: float, loads: Sequence[Load]) -> Sample:
    """The computer as it is, but as if it had no more memory than that."""
    left = max(ROOM - sum(load.memory for load in loads), 0)
    return replace(protection.examine(state, now, loads), memory=ROOM, available=left, swap=0)


def repository(path: Path) -> SourceSpec:
    def git(*words: str) -> str:
        named = ["git", "-c", "user.name=n", "-c", "user.email=e@x", *words]
        done = subprocess.run(named, cwd=path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    path.mkdir()
    git("init", "--quiet", "--initial-branch=main")
    git("commit", "--quiet", "--allow-empty", "--message", "one")
    commit = git("rev-parse", "HEAD")
    return SourceSpec(url=str(path), ref="refs/heads/main", commit=commit, branch="main")


class Server:
    """The other end of an agent's transport: says orders, hears what comes back."""

    def __init__(self, end: transport.Transport, source: SourceSpec) -> None:
        self._end = end
        self._source = source
        self._connection = protocol.ServerConnection()
        self.heard: list[messages.ToServer] = []

    async def hears(self, kind: type[Any], machine: int) -> Any:
        while True:
            for each in self.heard:
                if isinstance(each, kind) and each.machine == machine:
                    self.heard.remove(each)
                    return each
            await self.listen()

    async def listen(self) -> None:
        self.heard.extend(self._connection.receive(await self._end.read()))

    async def say(self, *orders: messages.ToHost) -> None:
        for order in orders:
            await self._end.write(self._connection.send(order))

    async def make(self, *machines: int) -> None:
        for machine in machines:
            await self.say(Make(machine=machine, spec=images.machine_spec(memory=1 << 30)))
        for machine in machines:
            await self.hears(MachineReady, machine)

    async def run(self, machine: int, *steps: StepSpec, parts: tuple[PartSpec, ...] = ()) -> None:
        spec = BuildSpec(
            build=machine, project="p", job="j", source=self._source, steps=steps, parts=parts
        )
        await self.say(Run(machine=machine, build=spec))

    async def destroy(self, *machines: int) -> None:
        for machine in machines:
            await self.say(Destroy(machine=machine))
            await self.hears(MachineGone, machine)


def on_host(
    place: Path, guard: Guard, scenario: Callable[[Server], Coroutine[Any, Any, None]]
) -> None:
    """Play a scenario on an agent with three slots and real machines."""
    provider = NamespaceProvider(place / "state", images=images.cache())
    agent = Agent("h", 3, provider, place / "state", guard=guard)
    ours, theirs = transport.pair()
    server = Server(theirs, repository(place / "repository"))

    async def both() -> None:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(agent.serve(ours))
            await server.listen()
            await server.say(Welcome(version=messages.VERSION, heartbeat=60.0, token="t"))
            await scenario(server)
            agent.stop()
        await provider.close()

    asyncio.run(both())
    assert leftovers.of(place / "state") == {}


def step(run: str, on: str = "") -> StepSpec:
    return StepSpec(name="s", run=run, on=on)


EAT = "python3 - <<'END'\n" + HOG + "\nEND"


def test_the_build_that_eats_the_memory_goes_and_the_others_stay(tmp_path: Path) -> None:
    guard = Guard(tmp_path, look=small)

    async def scenario(server: Server) -> None:
        await server.make(1, 2)
        await server.run(1, step(EAT))
        await server.run(2, step("sleep 8; echo still here"))
        stopped = await server.hears(BuildFinished, 1)
        assert stopped.verdict == "protected"
        assert re.search(r"the host's memory had .* left of 160 MiB, and \d+ %", stopped.reason)
        assert re.search(r"most of the builds' memory: .* MiB at its peak", stopped.reason)
        assert stopped.memory_peak > ROOM // 2
        assert stopped.reason in [m.text for m in server.heard if isinstance(m, Progress)]
        assert "its memory has" in (guard.refuses or "")
        good = await server.hears(BuildFinished, 2)
        assert good.verdict == "success"
        measures = (await server.hears(Metrics, 2)).measures
        assert max(each.processes or 0 for each in measures) > 0
        assert max(each.disk or 0 for each in measures) < 1 << 30
        await server.destroy(1, 2)

    on_host(tmp_path, guard, scenario)


def test_a_build_goes_with_all_its_machines_when_the_one_beside_eats(tmp_path: Path) -> None:
    """The machines were ready before anybody ran on them, as those of a pool are."""

    async def scenario(server: Server) -> None:
        await server.make(1, 2, 3)
        pair = (PartSpec(name="own", machine=1), PartSpec(name="beside", machine=2))
        await server.run(1, step(EAT, on="beside"), parts=pair)
        await server.run(3, step("sleep 8; echo still here"))
        stopped = await server.hears(BuildFinished, 1)
        assert stopped.verdict == "protected"
        assert "this build had most of the builds' memory" in stopped.reason
        groups = cgroups.Tree(tmp_path / "state", cgroups.here()).names()
        assert len(groups) == 1  # nothing is left of those two, before anybody asked for that
        assert (await server.hears(BuildFinished, 3)).verdict == "success"
        await server.destroy(1, 2, 3)

    on_host(tmp_path, Guard(tmp_path, look=small), scenario)


def test_the_build_that_fills_the_disk_goes_and_what_nobody_uses_is_removed(tmp_path: Path) -> None:
    def full(state: Path, now: float, loads: Sequence[Load]) -> Sample:
        """The computer as it is, but with a disk of 100 MiB of which 4 are left for builds."""
        left = max(40 * MIB - sum(load.written for load in loads), 0)
        return replace(protection.examine(state, now, loads), disk=100 * MIB, disk_free=left)

    pruned: list[float] = []
    guard = Guard(tmp_path, look=full, prune=lambda: pruned.append(time.monotonic()))
    idle = tmp_path / "state" / "mirrors" / "old.git"
    idle.mkdir(parents=True)

    async def scenario(server: Server) -> None:
        await server.make(1, 2)
        await server.run(1, step("dd if=/dev/zero of=/build/x bs=1M count=60; sync; sleep 60"))
        await server.run(2, step("sleep 5; echo still here"))
        stopped = await server.hears(BuildFinished, 1)
        assert stopped.verdict == "protected"
        assert "the host's disk had 0 bytes left; this build had written most, 6" in stopped.reason
        assert len(pruned) == 1
        assert not idle.exists()
        assert (await server.hears(BuildFinished, 2)).verdict == "success"
        await server.destroy(1, 2)

    on_host(tmp_path, guard, scenario)


def test_measuring_a_machine_costs_next_to_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        provider = NamespaceProvider(tmp_path / "state", images=images.cache())
        machine = await provider.create(1, images.machine_spec())
        try:
            process = await machine.exec(["sleep", "30"], env={}, cwd="/")
            began = time.process_time()
            for _ in range(50):
                machine.usage()
            cost = (time.process_time() - began) / 50
            await process.kill()
            print(f"one measure: {cost * 1e6:.0f} µs")
            assert cost < 0.005  # half a percent of a core for each machine
        finally:
            await machine.destroy()
            await provider.close()

    asyncio.run(scenario())


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"virtual machines need {', '.join(MISSING)}")
def test_what_a_virtual_machine_takes_of_its_host_is_known_while_it_runs(tmp_path: Path) -> None:
    async def scenario(machine: VmMachine) -> None:
        before = machine.usage()
        process = await machine.exec(["/bin/sh", "-c", "while :; do :; done"], env={}, cwd="/")
        await asyncio.sleep(3)
        now = machine.usage()
        await process.kill()
        assert now.cpu_of_host - before.cpu_of_host > 0.2  # type: ignore[operator]
        assert (now.memory or 0) > (before.memory or 0) > 0
        assert now.waits[0] is not None
        assert None not in (now.read, now.written, now.disk)

    on_machine(tmp_path, scenario)
