"""What a planner is asked, and what it answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.lattice import Lattice, State, Trial


@dataclasses.dataclass(slots=True)
class Want:
    """A trial that should be under way. Of those with higher `score` more is expected."""

    state: State
    trial: Trial
    score: float
    why: str
    rerun: bool = False
    base: bool = False
    """The job is to be run on the head, without any entry."""


@dataclasses.dataclass(slots=True)
class Plan:
    """What should be so now.

    `states` are all that should exist, each after the one beneath it; `wants` is exactly what
    should run or wait for a machine, best first; `expected` is the state that each entry is
    thought to land on; `waits` says why nothing of an entry is under way.
    """

    states: list[State]
    wants: list[Want]
    expected: dict[int, State]
    waits: dict[int, str]


class Policy(Protocol):
    """Answers after every change of the lattice, always the same to the same question."""

    def plan(
        self, lattice: Lattice, beliefs: Beliefs, *, now: float, machines: int, landing_set: bool
    ) -> Plan:
        """`machines` may be used by the queue at a time, those in use included."""
        ...


Policies = Mapping[str, type[Policy]]


def beyond(window: int) -> str:
    """What an entry waits for that is beyond the window."""
    if window == 1:
        return "waits for the window: 1 change is under way at a time"
    return f"waits for the window: {window} changes are under way at a time"
