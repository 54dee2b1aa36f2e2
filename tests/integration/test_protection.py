"""A real build that eats memory, on a host that keeps itself alive; and what measuring costs."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cupel.errors import InfraError
from cupel.host import messages, probe, protection, protocol, transport
from cupel.host.agent import Agent
from cupel.host.messages import (
    BuildFinished,
    BuildSpec,
    Destroy,
    MachineGone,
    Make,
    Metrics,
    Run,
    SourceSpec,
    StepSpec,
    Welcome,
)
from cupel.host.pressure import Load, Sample
from cupel.host.protection import Guard
from cupel.host.providers.namespace import NamespaceProvider
from integration import images, leftovers

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
    try:
        probe.can_isolate(probe.examine(Path.home()))
    except InfraError as error:
        pytest.skip(f"no machines here: {error}")
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


def test_the_build_that_eats_the_memory_goes_and_the_others_stay(tmp_path: Path) -> None:
    source = repository(tmp_path / "repository")
    provider = NamespaceProvider(tmp_path / "state", images=images.cache())
    guard = Guard(tmp_path, look=small)
    agent = Agent("h", 2, provider, tmp_path / "state", guard=guard)
    ours, theirs = transport.pair()
    server = protocol.ServerConnection()
    heard: list[messages.ToServer] = []

    async def hears(kind: type[Any], machine: int) -> Any:
        while True:
            for each in heard:
                if isinstance(each, kind) and each.machine == machine:
                    heard.remove(each)
                    return each
            heard.extend(server.receive(await theirs.read()))

    async def say(*orders: messages.ToHost) -> None:
        for order in orders:
            await theirs.write(server.send(order))

    async def build(machine: int, *argv: str) -> None:
        script = " ".join(argv)
        spec = BuildSpec(
            build=machine, project="p", job="j", source=source,
            steps=(StepSpec(name="s", run=script),),
        )  # fmt: skip
        limits = images.machine_spec(memory=1 << 30)
        await say(Make(machine=machine, spec=limits), Run(machine=machine, build=spec))

    async def scenario() -> None:
        heard.extend(server.receive(await theirs.read()))
        await say(Welcome(version=messages.VERSION, heartbeat=60.0, token="t"))
        await build(1, "python3 - <<'END'\n" + HOG + "\nEND")
        await build(2, "sleep 8; echo still here")
        stopped = await hears(BuildFinished, 1)
        assert stopped.verdict == "protected"
        assert "the host's memory had" in stopped.reason
        assert "this build had most of the builds' memory" in stopped.reason
        assert stopped.memory_peak > ROOM // 2
        assert "its memory has" in (guard.refuses or "")
        good = await hears(BuildFinished, 2)
        assert good.verdict == "success"
        measures = (await hears(Metrics, 2)).measures
        assert max(each.processes or 0 for each in measures) > 0
        assert max(each.disk or 0 for each in measures) < 1 << 30
        for machine in (1, 2):
            await say(Destroy(machine=machine))
            await hears(MachineGone, machine)
        agent.stop()

    async def both() -> None:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(agent.serve(ours))
            await scenario()
        await provider.close()

    asyncio.run(both())
    assert leftovers.of(tmp_path / "state") == {}


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
