"""People and accidents at random: what a simulation lets happen, all of it from the seed."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Callable

from cupel.core.model import ChangeState
from cupel.simulate import faults
from cupel.simulate.faults import Faults
from cupel.simulate.findings import Ref
from cupel.simulate.world import World, job


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How much happens, and how much of it is bad. `seconds` is how long people are at work."""

    seconds: float = 600.0
    changes: int = 12
    faults: Faults = faults.NONE
    host_losses: int = 0
    pushes_around: int = 0


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
        slow=0.02,
    ),
    host_losses=3,
    pushes_around=2,
)
"""Everything that can fail does."""

SCENARIOS = {"calm": CALM, "storm": STORM}


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
        for number in range(scenario.changes):
            self._some_time(functools.partial(self._push, number))
        for _ in range(scenario.changes):
            self._some_time(self._meddle)
        for number in range(scenario.pushes_around):
            self._some_time(functools.partial(self._push_around, number))
        for _ in range(scenario.host_losses):
            self._some_time(self._lose_host)

    def _some_time(self, happen: Callable[[], None]) -> None:
        self._world.timeline.after(self._chance.uniform(0.0, self._scenario.seconds), happen)

    def _push(self, number: int) -> None:
        chance, world = self._chance, self._world
        name = f"c{number}"
        on = chance.choice(self._refs) if self._refs and chance.random() < 0.4 else None
        others = [f"c{other}" for other in range(self._scenario.changes) if other != number]
        ref = world.push(
            name,
            on=on if on is not None and self._can_build_on(on) else None,
            project=chance.choice(world.project_names),
            land=chance.random() < 0.6,
            breaks={"tests"} if chance.random() < 0.15 else (),
            clashes=chance.sample(others, 1) if chance.random() < 0.15 else (),
            conflicts=chance.sample(others, 1) if chance.random() < 0.15 else (),
            flaky=0.2 if chance.random() < 0.1 else 0.0,
            takes=chance.choice((1.0, 10.0, 100.0)),
            misconfigured=chance.random() < 0.05,
        )
        self._refs.append(ref)
        if chance.random() < 0.7:
            world.timeline.after(chance.uniform(0.0, 60.0), lambda: self._approve(ref))

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
        act = chance.choice(
            (self._amend, self._amend, world.withdraw, world.dequeue, world.abandon, world.land)
        )
        act(ref)

    def _amend(self, ref: Ref) -> None:
        """A better patch set. Git refuses to push to a change that it knows to have landed."""
        change = self._world.find(ref)
        if change is not None and change.state is not ChangeState.LANDED:
            breaks = frozenset({"tests"}) if self._chance.random() < 0.1 else frozenset()
            self._world.amend(ref, land=self._chance.random() < 0.5, breaks=breaks)

    def _push_around(self, number: int) -> None:
        self._world.push_around(f"around{number}", seen=self._chance.random() < 0.5)

    def _lose_host(self) -> None:
        name = self._chance.choice(sorted(self._world.hosts))
        self._world.lose(name, keeping_machines=self._chance.random() < 0.5)
        self._world.restore(name, after=self._chance.choice((1.0, 30.0, 300.0)))


def dice(seed: str) -> random.Random:
    return random.Random(seed)  # noqa: S311 - nothing is secret here


def world(seed: int, scenario: Scenario) -> World:
    """A world of a random shape, before anything has happened in it."""
    chance = dice(f"world {seed}")
    lint = job("lint", voting=chance.random() < 0.7)
    packs = job("package", needs=("tests",), voting=chance.random() < 0.7)
    return World(
        seed=seed,
        slots=chance.choice((1, 2, 4, 16)),
        hosts=("north", "south")[: chance.choice((1, 2))],
        gate=("tests", lint, packs)[: chance.choice((1, 2, 3))],
        check=("tests",)[: chance.choice((0, 1))],
        post=("tests",)[: chance.choice((0, 1))],
        projects=("one", "two")[: chance.choice((1, 2))],
        approvals=chance.choice((0, 1, 1)),
        born=chance.random() < 0.8,
        faults=scenario.faults,
    )
