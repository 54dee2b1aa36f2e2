"""GitHub's merge queue: a group for each of the first pull requests, on all those before it.

Source: GitHub's documentation, "Managing a merge queue". So many groups are built at a time as the
build concurrency says (1 to 100; 5 by default). A group that fails leads nowhere before those ahead
of it are decided; then its pull request is removed, and those behind it get new groups. Until then
they go on with it: there is no nearest non-failing item. With "Only merge non-failing pull
requests" (ALLGREEN) each pull request needs a green group of its own; without it (HEADGREEN) the
last of up to five that are merged together does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.lattice import Entry, Lattice, State
from cupel.core.speculation.policy import Plan
from cupel.simulate.queueing.peers import chain

MERGED = 5
"""The most pull requests that are merged together, by default."""


class GitHub:
    """`concurrency` groups are built at a time."""

    def __init__(self, *, concurrency: int, reruns: int) -> None:
        self._concurrency = concurrency
        self._reruns = reruns

    def plan(
        self, lattice: Lattice, beliefs: Beliefs, *, now: float, machines: int, landing_set: bool
    ) -> Plan:
        """Wants the jobs of the first groups, each on all before it."""
        plan = chain.empty()
        states = chain.stack(lattice, lattice.entries[: self._concurrency])
        chain.expect(plan, states)
        for place, state in enumerate(states):
            chain.add(plan, state, state.own_trials(), self._reruns, -place)
        return plan


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HeadGreen:
    """What the last of a group proves lands whole."""

    reruns: int
    landing_set: bool = True

    def landable(self, lattice: Lattice, beliefs: Beliefs) -> list[State] | None:
        passed = [state for state in _group(lattice) if state.passed]
        return passed[-1].path() if passed else None

    def convicted(self, lattice: Lattice, beliefs: Beliefs) -> list[Entry]:
        """The first in the queue, once it and all others of its group have failed."""
        first: Entry | None = None
        for state in _group(lattice):
            if state.trials is None or not _failed(state, self.reruns):
                return []
            first = first or state.entry
        return [first] if first is not None else []


def _group(lattice: Lattice) -> Iterator[State]:
    """The states of the first entries in order, as far as they exist."""
    at = lattice.root
    for entry in lattice.entries[:MERGED]:
        state = at.children.get(entry.id)
        if state is None:
            return
        yield state
        at = state


def _failed(state: State, reruns: int) -> bool:
    return any(
        not trial.passed and len(trial.failed_at) > reruns
        for trial in (state.trials or {}).values()
    )
