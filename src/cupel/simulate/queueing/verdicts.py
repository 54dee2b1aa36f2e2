"""Who says what lands and what leaves: the gate's own judge, or a peer's rules in its place."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from cupel.core.speculation import judge
from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.judge import Rules
from cupel.core.speculation.lattice import Entry, Lattice, State


class Verdicts(Protocol):
    """Asked after every change of the lattice, until neither has an answer."""

    @property
    def landing_set(self) -> bool: ...

    def landable(self, lattice: Lattice, beliefs: Beliefs) -> list[State] | None:
        """The states to land next, from the first above the root on."""
        ...

    def convicted(self, lattice: Lattice, beliefs: Beliefs) -> list[Entry]:
        """The entries to reject."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class ByRules:
    """The gate's own."""

    rules: Rules

    @property
    def landing_set(self) -> bool:
        return self.rules.landing_set

    def landable(self, lattice: Lattice, beliefs: Beliefs) -> list[State] | None:
        return judge.landable(lattice, beliefs, self.rules)

    def convicted(self, lattice: Lattice, beliefs: Beliefs) -> list[Entry]:
        return judge.convicted(lattice, beliefs, self.rules)


def simple(reruns: int, *, landing_set: bool = False) -> ByRules:
    """In order; rejected is what failed once more often than `reruns` on the branch itself."""
    return ByRules(Rules(landing_set=landing_set, reruns=reruns, overtaking=False))
