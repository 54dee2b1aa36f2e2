"""Builds of several machines in whole worlds: none waits for ever, none holds some of its own."""

from __future__ import annotations

import random

import pytest

from cupel.core import events
from cupel.core.model import Build, BuildState, Job, Machine, MachineState, Part, Verdict
from cupel.simulate.faults import Faults
from cupel.simulate.world import World, job, pool


def several(name: str, count: int) -> Job:
    parts = tuple(Part(name=f"m{number}", label="debian-12") for number in range(count))
    return job(name, parts=parts)


@pytest.mark.parametrize("seed", range(6))
def test_builds_of_one_two_and_three_machines_share_few_slots(seed: int) -> None:
    chance = random.Random(seed)
    kept = pool(ready=chance.choice((0, 1, 2)), ceiling=chance.choice((None, 4)))
    world = World(
        seed=seed,
        hosts=("north", "south")[: chance.choice((1, 2))],
        slots=chance.choice((3, 4)),
        gate=(several("pair", 2), several("three", 3), job("tests")),
        pools=chance.choice(((), (kept,))),
        faults=Faults(unmade=0.1) if seed % 2 else Faults(),
    )
    refs = [world.push(f"C{number}", takes=30) for number in range(6)]
    for ref in refs:
        world.approve(ref)
        world.run_for(chance.uniform(1, 60))
    world.settle()
    assert set(world.landed()) == set(refs)


def test_a_build_is_lost_with_any_of_its_machines() -> None:
    world = World(gate=(several("pair", 2),), slots=4, attempts=2)
    a = world.push("A", takes=100)
    world.approve(a)
    world.until(lambda: any(b.state is BuildState.RUNNING for b in world.rows.all(Build)))
    beside = next(
        m for m in world.rows.all(Machine) if m.part == "m1" and m.state is MachineState.USED
    )
    world.say(events.MachineDeleteAsked(machine_id=beside.id, user="operator"))
    world.settle()
    assert world.landed() == [a]
    lost = [b for b in world.rows.all(Build) if b.verdict is Verdict.INFRA]
    assert [b.reason for b in lost] == ["its machine was deleted by operator"]
