"""People and accidents at random: what a simulation lets happen, all of it from the seed."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Callable
from typing import Any

from cupel.core import events, speculation
from cupel.core.cache import JobCache
from cupel.core.model import ChangeState, Job, Landing, MachineState, Step
from cupel.simulate import faults
from cupel.simulate.faults import Faults
from cupel.simulate.findings import Ref
from cupel.simulate.world import World, job, pool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How much happens, and how much of it is bad. `seconds` is how long people are at work."""

    seconds: float = 600.0
    changes: int = 12
    faults: Faults = faults.NONE
    flaky: float = 0.0
    """How often a job of a world fails for no reason, in worlds where it does."""
    host_losses: int = 0
    pushes_around: int = 0
    broken_mains: int = 0
    """How often all states fail a job for a while."""
    holds: int = 3
    """How often somebody wants a machine kept, and looks into one that is."""
    patience: float = 20_000.0
    """Seconds within which each change lands that does so at all."""


CALM = Scenario()
"""People change their minds and some changes are bad, but everything works."""

STORM = Scenario(
    faults=Faults(
        kill=0.01,
        lost_wake=0.1,
        doubled=0.1,
        slow_dispatch=0.1,
        infra=0.05,
        dead=0.01,
        unmade=0.02,
        slow=0.02,
    ),
    flaky=0.05,
    host_losses=3,
    pushes_around=2,
    broken_mains=1,
)
"""Everything that can fail does."""

SCENARIOS = {"calm": CALM, "storm": STORM}

PATHS = ("src/a", "src/b", "docs/c")
CACHES = (
    JobCache(name="compiled", paths=("target",)),
    JobCache(name="fetched", paths=("/root/.cache/x",), files=("lock",), contents="locked"),
)
INPUTS: tuple[tuple[str, ...], ...] = ((), (), ("src/*",), ("docs/*",), ("src/a", "docs/*"))


_PATIENCE = 100.0
"""Seconds after which an operator thinks that a lost host will not come back."""


class Director:
    """Lets a scenario happen in a world."""

    def __init__(self, world: World, scenario: Scenario, chance: random.Random) -> None:
        self._world = world
        self._scenario = scenario
        self._chance = chance
        self._refs: list[Ref] = []

    def schedule(self) -> None:
        """Put everything that people and accidents do on the timeline."""
        scenario = self._scenario
        if scenario.host_losses:
            self._some_time(self._drain_host)
        for number in range(scenario.changes):
            self._some_time(functools.partial(self._push, number))
        for _ in range(scenario.changes):
            self._some_time(self._meddle)
        for _ in range(scenario.changes // 4):
            self._some_time(self._operate)
        for number in range(scenario.pushes_around):
            self._some_time(functools.partial(self._push_around, number))
        for _ in range(scenario.host_losses):
            self._some_time(self._chance.choice((self._lose_host, self._sicken_host)))
        for _ in range(scenario.broken_mains):
            self._some_time(self._break_main)
        for _ in range(scenario.holds):
            self._some_time(self._hold)
            self._some_time(self._enter)

    def _some_time(self, happen: Callable[[], None]) -> None:
        self._world.timeline.after(self._chance.uniform(0.0, self._scenario.seconds), happen)

    # Those who look into machines.

    def _hold(self) -> None:
        chance, world = self._chance, self._world
        ref = chance.choice(self._refs) if self._refs and chance.random() < 0.3 else None
        seconds = chance.uniform(5.0, 300.0)
        number = world.hold(ref=ref, count=chance.choice((1, 1, 2)), seconds=seconds)
        if chance.random() < 0.3:
            world.timeline.after(chance.uniform(0.0, 400.0), lambda: world.release(number))

    def _enter(self) -> None:
        held = [m.id for m in self._world.machines() if m.state is MachineState.HELD]
        if held:
            self._world.enter(self._chance.choice(held), seconds=self._chance.uniform(1.0, 200.0))

    # Authors.

    def _push(self, number: int) -> None:
        chance, world = self._chance, self._world
        name = f"c{number}"
        on = chance.choice(self._refs) if self._refs and chance.random() < 0.3 else None
        ref = world.push(
            name,
            on=on if on is not None and self._can_build_on(on) else None,
            project=chance.choice(sorted(world.project_names().values())),
            land=chance.random() < 0.6,
            depends_on=self._needs(),
            touches=chance.sample(PATHS, chance.choice((1, 2, 3))),
            **self._badness(number),
        )
        self._refs.append(ref)
        if chance.random() < 0.7:
            world.timeline.after(chance.uniform(0.0, 60.0), lambda: self._approve(ref))

    def _needs(self) -> list[Ref]:
        few = self._chance.random() < 0.15 and bool(self._refs)
        return [self._chance.choice(self._refs)] if few else []

    def _badness(self, number: int) -> dict[str, Any]:
        """What is wrong with a new patch, if anything is."""
        chance = self._chance
        others = [f"c{other}" for other in range(self._scenario.changes) if other != number]
        return {
            "breaks": {"tests"} if chance.random() < 0.15 else (),
            "clashes": chance.sample(others, 1) if chance.random() < 0.15 else (),
            "conflicts": chance.sample(others, 1) if chance.random() < 0.1 else (),
            "hangs": {"tests"} if chance.random() < 0.03 else (),
            "flaky": 0.2 if self._scenario.flaky and chance.random() < 0.1 else 0.0,
            "fails_at": chance.choice((0.1, 0.5, 1.0)),
            "misconfigured": chance.random() < 0.05,
        }

    def _can_build_on(self, ref: Ref) -> bool:
        change = self._world.find(ref)
        return change is not None and change.state is ChangeState.OPEN

    def _approve(self, ref: Ref) -> None:
        if self._world.find(ref) is not None:
            self._world.approve(ref)

    def _meddle(self) -> None:
        """Somebody does something to a change, whatever state that is in."""
        world, chance = self._world, self._chance
        ref = chance.choice(self._refs) if self._refs else None
        if ref is None or world.find(ref) is None:
            return
        acts: tuple[Callable[[Ref], None], ...] = (
            self._amend,
            self._amend,
            world.withdraw,
            world.dequeue,
            world.abandon,
            world.land,
            world.promote,
            world.urgent,
            world.retry,
            self._retry_all,
        )
        chance.choice(acts)(ref)

    def _retry_all(self, ref: Ref) -> None:
        self._world.retry(ref, everything=True)

    def _amend(self, ref: Ref) -> None:
        """A better patch set. Git refuses to push to a change that it knows to have landed."""
        change = self._world.find(ref)
        if change is not None and change.state is not ChangeState.LANDED:
            breaks = frozenset({"tests"}) if self._chance.random() < 0.1 else frozenset()
            self._world.amend(ref, land=self._chance.random() < 0.5, breaks=breaks)

    # Operators.

    def _operate(self) -> None:
        """An operator turns a knob, and another one turns it back."""
        world, chance = self._world, self._chance
        chance.choice((self._close, self._narrow, self._switch, self._roll))()
        world.timeline.after(chance.uniform(1.0, 200.0), self._open)

    def _close(self) -> None:
        self._world.close("a release is being made")

    def _open(self) -> None:
        self._world.open()

    def _narrow(self) -> None:
        self._world.set_queue(window=self._chance.choice((1, 2, 4)), window_floor=1)

    def _switch(self) -> None:
        self._world.set_queue(**_rules(self._chance))

    def _roll(self) -> None:
        self._world.roll_image(f"sha256:simulated-{self._chance.randrange(3)}")

    # Accidents.

    def _push_around(self, number: int) -> None:
        self._world.push_around(f"around{number}", seen=self._chance.random() < 0.5)

    def _lose_host(self) -> None:
        name = self._chance.choice(sorted(self._world.hosts))
        self._world.lose(name, keeping_machines=self._chance.random() < 0.5)
        away = self._chance.choice((1.0, 30.0, 300.0))
        self._world.restore(name, after=away)
        if away > _PATIENCE:
            self._world.timeline.after(_PATIENCE, lambda: self._world.forget(name))

    def _sicken_host(self) -> None:
        name = self._chance.choice(sorted(self._world.hosts))
        self._world.sicken(name)
        after = self._chance.choice((10.0, 100.0))
        self._world.timeline.after(after, lambda: self._world.heal(name))

    def _drain_host(self) -> None:
        name = self._chance.choice(sorted(self._world.hosts))
        self._world.drain(name)
        after = self._chance.choice((10.0, 300.0))
        self._world.timeline.after(after, lambda: self._world.drain(name, draining=False))

    def _break_main(self) -> None:
        after = self._chance.choice((10.0, 100.0, 400.0))
        self._world.break_main("tests", until=self._world.timeline.now + after)


def dice(seed: str) -> random.Random:
    return random.Random(seed)  # noqa: S311 - nothing is secret here


def _rules(chance: random.Random) -> dict[str, Any]:
    return {
        "landing": chance.choice(sorted(Landing)),
        "planner": chance.choice(sorted(speculation.POLICIES)),
        "cycles": chance.random() < 0.3,
    }


def world(seed: int, scenario: Scenario) -> World:
    """A world of a random shape, before anything has happened in it."""
    chance = dice(f"world {seed}")
    projects = ("one", "two", "three")[: chance.choice((1, 2, 3))]
    queue, born = chance.choice((None, "shared")), chance.random() < 0.8
    gate = _gate(chance)
    together = (*gate, job("together", projects=("one",)))
    made = World(
        seed=seed,
        slots=chance.choice((1, 2, 4, 16)),
        hosts=("north", "south")[: chance.choice((1, 2))],
        gate=gate,
        gates={"two": together} if queue is not None and born else {},
        check=("tests",)[: chance.choice((0, 1))],
        post=("tests",)[: chance.choice((0, 1))],
        projects=projects,
        queue=queue,
        rules=_rules(chance),
        approvals=chance.choice((0, 1, 1)),
        born=born,
        pools=_pools(dice(f"pools {seed}")),
        flaky={"tests": scenario.flaky} if chance.random() < 0.3 else {},
        faults=scenario.faults,
    )
    for name in ("tests", "lint", "package", "together"):
        made.durations[name] = chance.choice((1.0, 10.0, 100.0)) * chance.uniform(0.8, 1.2)
    return made


def _pools(chance: random.Random) -> tuple[events.PoolSpec, ...]:
    """No pool, or one that keeps some machines ready, perhaps within narrow bounds."""
    kept = pool(
        ready=chance.choice((1, 1, 3)),
        ceiling=chance.choice((None, None, 2)),
        quota=chance.choice((None, None, 1)),
        idle=chance.choice((600.0, 3600.0)),
    )
    return chance.choice(((), (kept,)))


def _alone(chance: random.Random) -> dict[str, Any]:
    """Some jobs leave results, and say how to run the tests alone that have failed."""
    if chance.random() < 0.5:
        return {}
    return {"steps": (Step(name="tests", run="tests", failed_tests=1, rerun_failed="alone"),)}


def _gate(chance: random.Random) -> tuple[Job, ...]:
    """Up to three jobs, which read this and that."""
    locks = (("lock", 1),) if chance.random() < 0.2 else ()
    jobs = (
        job(
            "tests",
            inputs=chance.choice(INPUTS),
            semaphores=locks,
            timeout=300.0,
            caches=CACHES,
            **_alone(chance),
        ),
        job("lint", inputs=chance.choice(INPUTS), voting=chance.random() < 0.7),
        job("package", needs=("tests",), voting=chance.random() < 0.7),
    )
    return jobs[: chance.choice((1, 2, 3))]
