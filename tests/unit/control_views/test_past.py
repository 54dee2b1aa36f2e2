"""What hosts and machines went through, and what can honestly be said of it."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from cupel.control import views
from cupel.control.views import past, pools
from cupel.core import host as hosts
from cupel.core.model import BuildState, Event, Machine, MachineState, Pipeline, Pool, Verdict
from cupel.log.loads import LoadStore
from fakes.rows import NOW, World

DONE = BuildState.FINISHED


def read(world: World, ask: Any) -> Any:
    async def run() -> Any:
        store = await world.store()
        async with store.read() as tx:
            return await ask(tx)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(0, 10, 0.0, 0.278), (1, 10, 0.018, 0.404), (5, 10, 0.237, 0.763), (10, 10, 0.722, 1.0)],
)
def test_an_interval_is_that_of_the_tables(count: int, total: int, low: float, high: float) -> None:
    """Wilson's, which is sane where nothing, or all, was lost."""
    found = past.rate(count, total)
    assert (round(found.low, 3), round(found.high, 3)) == (low, high)
    assert (found.count, found.builds, found.part) == (count, total, count / total)


def told(bad: int, good: int) -> World:
    """Two hosts with forty builds each; the first has lost `bad` of them, the other `good`."""
    world = World()
    change = world.change(world.project("demo", head="a" * 40), "A change")
    item = world.item(change, Pipeline.CHECK)
    for name, losses in (("bad", bad), ("good", good)):
        host = world.host(name, 4)
        for number in range(40):
            machine = world.machine(host, MachineState.GONE, gone=10)
            verdict = Verdict.INFRA if number < losses else Verdict.SUCCESS
            world.build(item, "tests", DONE, verdict, machine=machine, reason="no disk")
        machine = world.machine(host, MachineState.GONE, gone=10)
        world.build(item, "tests", DONE, Verdict.INFRA, machine=machine, reason=hosts.RESTARTED)
        machine = world.machine(host, MachineState.GONE, gone=10)
        world.build(item, "tests", DONE, Verdict.CANCELLED, machine=machine)
    world.put(
        Event(id=1, at=NOW - 60, kind="host.quarantined", text="it failed 3 builds", host_id=1)
    )
    return world


@pytest.mark.parametrize(
    ("bad", "good", "verdict"),
    [
        (30, 1, "it loses more builds than the other hosts"),
        (1, 30, "it loses fewer builds than the other hosts"),
        (3, 2, "no difference from the other hosts can be told from so many builds"),
    ],
)
def test_a_host_is_compared_with_the_others(bad: int, good: int, verdict: str) -> None:
    found = read(told(bad, good), lambda tx: views.host_past(tx, "bad", now=NOW))
    assert (found.lost.count, found.lost.builds) == (bad, 40)  # a restart is nobody's fault
    assert (found.lost_elsewhere.count, found.lost_elsewhere.builds) == (good, 40)
    assert found.failed.count == 0
    assert found.verdict == verdict
    assert (found.quarantined, [each.kind for each in found.events]) == (1, ["host.quarantined"])
    assert len(found.builds) == 40
    assert found.builds[0].id > found.builds[-1].id


def test_a_host_that_has_done_nothing_is_not_judged() -> None:
    world = World()
    world.host("new", 1)
    found = read(world, lambda tx: views.host_past(tx, "new", now=NOW))
    assert (found.lost, found.verdict) == (None, "no build has ended here yet")


def states(world: World, machine: Machine) -> list[tuple[str, float | None, str | None]]:
    found = read(world, lambda tx: views.machine_past(tx, machine.id, now=NOW))
    return [(each.state, each.seconds, each.why) for each in found.states]


def test_the_states_of_a_machine_in_time() -> None:
    world = World()
    change = world.change(world.project("demo", head="a" * 40), "A change")
    host = world.host("here", 4)
    machine = dataclasses.replace(
        world.machine(host, MachineState.GONE, age=100, gone=10),
        ready_at=NOW - 98, used_at=NOW - 90,
    )  # fmt: skip
    world.put(machine)
    world.build(
        world.item(change, Pipeline.CHECK),
        "tests",
        DONE,
        Verdict.SUCCESS,
        machine=machine,
        ended=12,
    )
    assert states(world, machine) == [
        ("building", 2.0, None),
        ("ready", 8.0, None),
        ("used", 78.0, None),
        ("deleting", 2.0, "its build has ended"),
        ("gone", None, None),
    ]
    held = dataclasses.replace(
        world.row(Machine, machine.id), state=MachineState.HELD, gone_at=None
    )
    world.put(held)
    world.put(Event(id=9, at=NOW - 12, kind="machine.held", text="why?", machine_id=machine.id))
    assert states(world, machine)[-1] == ("held", 12.0, "why?")


def test_a_machine_that_could_not_be_made() -> None:
    world = World()
    machine = world.machine(world.host("here", 4), MachineState.ERROR, age=30, detail="no space")
    world.put(Event(id=9, at=NOW - 5, kind="machine.failed", text="x", machine_id=machine.id))
    assert states(world, machine) == [("building", 25.0, None), ("error", 5.0, "x")]


def test_how_busy_a_host_was(tmp_path: Path) -> None:
    store = LoadStore(tmp_path)
    store.note("here", NOW, (4.0, 1.5, 8e9, 4e9, 1e11, 5e10, 12.5, None, 0.0))
    [then] = views.host_loads(store, "here", seconds=60, now=NOW + 1)
    assert (then.cores, then.runnable, then.waits_cpu, then.waits_memory) == (4, 1.5, 12.5, None)


def waiting(world: World, host_slots: int = 4, **pool: Any) -> views.PoolView:
    world.host("here", host_slots)
    world.put(Pool(id=1, label="debian-12", definition="x", **pool))
    [found] = read(world, lambda tx: pools.pool_list(tx, now=NOW))
    assert isinstance(found, views.PoolView)
    return found


def test_what_a_pool_does_next_and_why() -> None:
    world = World()
    assert waiting(world).next == "nothing to do: it makes machines when builds ask for them"
    kept = waiting(World(), ready=2)
    assert kept.next == "2 wait to be made (2 kept ready): they are asked for next"
    full = waiting(World(), ready=2, ceiling=0)
    assert "its ceiling" in full.next
    assert "all slots are taken" in waiting(World(), host_slots=0, ready=1).next
    busy = World()
    busy.machine(busy.host("there", 4), MachineState.BUILDING)
    assert waiting(busy, ready=1).next == "making 1: 1 kept ready"


def test_waits_and_launches_are_those_of_the_hour_and_the_day() -> None:
    world = World()
    change = world.change(world.project("demo", head="a" * 40), "A change")
    item = world.item(change, Pipeline.CHECK)
    host = world.host("there", 4)
    for age, wait in ((100.0, 1.0), (5000.0, 9.0), (100_000.0, 50.0)):
        machine = world.machine(host, MachineState.GONE, age=age + 5, gone=1)
        build = world.build(item, "tests", DONE, Verdict.SUCCESS, machine=machine)
        used = NOW - age
        world.put(dataclasses.replace(build, queued_at=used - wait))
        given = world.row(Machine, machine.id)
        world.put(dataclasses.replace(given, used_at=used, ready_at=used - 2))
    found = waiting(world)
    assert found.waits_hour == views.SpreadView(count=1, p50=1.0, p95=1.0, p99=1.0)
    assert found.waits_day == views.SpreadView(count=2, p50=1.0, p95=9.0, p99=9.0)
    assert found.launched is not None
    assert (found.launched.count, [each.seconds for each in found.launches]) == (2, [3.0, 3.0])


def test_percentiles_are_values_that_were_there() -> None:
    assert pools.spread([]) is None
    assert pools.spread([float(each) for each in range(1, 101)]) == views.SpreadView(
        count=100, p50=50.0, p95=95.0, p99=99.0
    )
