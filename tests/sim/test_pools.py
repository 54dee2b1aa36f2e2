"""Pools of ready machines in whole worlds: how long builds wait, and what is never lost by it."""

from __future__ import annotations

from cupel.core import events
from cupel.core.model import Build, BuildState, Host, Machine, MachineState, Verdict
from cupel.simulate.world import World, pool


def count(world: World, state: MachineState) -> int:
    return sum(machine.state is state for machine in world.rows.all(Machine))


def waits(world: World) -> list[float]:
    """How long each build waited for its machine, in the order of builds."""
    machines = {machine.id: machine for machine in world.rows.all(Machine)}
    return [
        (machines[build.machine_id].used_at or 0.0) - build.queued_at
        for build in world.rows.all(Build)
        if build.machine_id is not None
    ]


def test_a_ready_machine_is_handed_over_at_once() -> None:
    cold, warm = World(), World(pools=[pool()])
    for world in (cold, warm):
        world.run_for(60.0)
        a = world.push("A")
        world.approve(a)
        world.settle()
        assert world.landed() == [a]
    assert waits(warm) == [0.0]
    assert waits(cold)[0] > 1.0
    assert (count(warm, MachineState.READY), count(cold, MachineState.READY)) == (1, 0)


def test_more_machines_stand_ready_while_many_builds_come_and_boots_are_long() -> None:
    world = World(pools=[pool()], slots=64)
    for host in world.hosts.values():
        host.boot = 60.0
    world.run_for(120.0)
    for number in range(40):
        world.approve(world.push(f"C{number}"))
        world.run_for(30.0)
    kept = count(world, MachineState.READY) + count(world, MachineState.BUILDING)
    assert kept > 3
    late = waits(world)[-10:]
    assert sum(wait == 0.0 for wait in late) >= 9
    world.settle()
    world.run_for(3600.0)
    assert count(world, MachineState.READY) == 1


def test_what_one_host_cannot_make_is_made_by_another_and_costs_no_attempt() -> None:
    world = World(hosts=("bad", "good"), slots=2, attempts=1)
    world.hosts["bad"].cannot_make = True
    refs = [world.push(f"C{number}") for number in range(6)]
    world.approve(*refs)
    world.settle()
    assert world.landed() == refs
    assert all(build.verdict is not Verdict.INFRA for build in world.rows.all(Build))
    assert len(world.hosts["bad"].made) < 12


def test_with_no_host_that_can_make_any_everything_waits_without_a_rush() -> None:
    world = World(slots=4, attempts=1)
    world.hosts["host"].cannot_make = True
    a = world.push("A")
    world.approve(a)
    world.run_for(3600.0)
    assert world.landed() == []
    assert 3 <= len(world.hosts["host"].made) < 40
    world.hosts["host"].cannot_make = False
    world.settle()
    assert world.landed() == [a]


def test_a_host_is_drained_while_its_builds_end_by_themselves() -> None:
    world = World(hosts=("one", "two"), pools=[pool(ready=2)], slots=4)
    world.run_for(10.0)
    refs = [world.push(f"C{number}") for number in range(4)]
    world.approve(*refs)
    world.until(lambda: any(b.state is BuildState.RUNNING for b in world.rows.all(Build)))
    world.drain("one")
    world.settle()
    assert world.landed() == refs
    assert world.hosts["one"].machines == {}
    assert not any(build.verdict is Verdict.INFRA for build in world.rows.all(Build))
    made = len(world.hosts["one"].made)
    world.approve(world.push("late"))
    world.settle()
    assert len(world.hosts["one"].made) == made
    world.drain("one", draining=False)
    world.settle()
    assert not any(host.draining for host in world.rows.all(Host))


def test_a_machine_that_a_person_deletes_costs_its_build_no_attempt() -> None:
    world = World(pools=[pool()], attempts=1)
    a = world.push("A")
    world.approve(a)
    world.until(lambda: count(world, MachineState.USED))
    used = next(m for m in world.rows.all(Machine) if m.state is MachineState.USED)
    world.say(events.MachineDeleteAsked(machine_id=used.id, user="operator"))
    world.settle()
    assert world.landed() == [a]
    lost = [build for build in world.rows.all(Build) if build.verdict is Verdict.INFRA]
    assert [build.reason for build in lost] == ["its machine was deleted by operator"]


def test_a_new_image_replaces_what_is_ready() -> None:
    world = World(pools=[pool(ready=2, idle=600.0)])
    world.run_for(60.0)
    world.roll_image("sha256:new")
    world.run_for(700.0)
    ready = [m for m in world.rows.all(Machine) if m.state is MachineState.READY]
    assert [machine.image for machine in ready] == ["sha256:new"] * 2


def test_a_project_does_not_starve_another() -> None:
    world = World(projects=("big", "small"), pools=[pool()], slots=2)
    many = [world.push(f"B{number}", project="big") for number in range(12)]
    world.approve(*many)
    world.run_for(15.0)
    few = world.push("S", project="small")
    world.approve(few)
    world.until(lambda: few in world.landed(), limit=60.0)
    world.settle()
    assert set(world.landed()) == {*many, few}
