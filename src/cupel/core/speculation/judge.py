"""What may land and what must leave: the rules, which no planner can bend."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.lattice import Entry, Lattice, State, Trial

SURE = 0.99
"""An entry is rejected when it is at least so likely to be bad."""

DOUBTFUL = 0.2
"""An entry above this chance may be overtaken."""

FAILS_FAST = 0.5
"""Above this chance of being bad, an entry that fails a job again need not run the others."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a queue decides. `reruns` None: by belief; else an entry is rejected when it has failed
    once more than that on the true state of its branch, as simpler gates do."""

    landing_set: bool = False
    reruns: int | None = None
    overtaking: bool = True


def convicted(lattice: Lattice, beliefs: Beliefs, rules: Rules) -> list[Entry]:
    """Entries that have failed beyond doubt on the branch itself.

    However good the others in a failed state are, they may have failed together: only what has
    landed is left out.
    """
    if rules.reruns is not None:
        return [
            state.entry
            for state in lattice.root.children.values()
            if state.entry is not None and _failed_more_than(state, rules.reruns)
        ]
    suspects = {e.bit: e for e in lattice.entries if beliefs.bad[e.id] >= SURE}
    if not suspects:
        return []
    guilty: dict[int, Entry] = {}
    for trial in lattice.trials.values():
        if trial.failed_at and not trial.passed:
            left = trial.members & ~lattice.landed
            if left in suspects:
                guilty[left] = suspects[left]
    return sorted(guilty.values(), key=lambda e: e.bit)


def _failed_more_than(state: State, reruns: int) -> bool:
    """Whether a job that its entry makes a difference to failed so often."""
    bit = 0 if state.entry is None else state.entry.bit
    return any(
        len(t.failed_at) > reruns and not t.passed and t.members & bit for t in state.own_trials()
    )


def refused(lattice: Lattice) -> Iterator[tuple[Entry, Trial | None]]:
    """Entries that cannot pass on the head itself, for a reason that no rerun changes."""
    for state in lattice.root.children.values():
        if state.entry is None:
            continue
        if state.broken is not None:
            yield state.entry, None
        for trial in (state.trials or {}).values():
            if trial.refused is not None and not trial.passed:
                yield state.entry, trial
                break


def landable(lattice: Lattice, beliefs: Beliefs, rules: Rules) -> list[State] | None:
    """The states to land next, from the first above the root to the one that has passed."""
    overtakable = _overtakable(lattice, beliefs) if rules.overtaking else 0
    order = {entry.id: place for place, entry in enumerate(lattice.entries)}
    best: State | None = None
    found = lattice.states() if rules.landing_set else lattice.root.children.values()
    for state in found:
        if not state.passed or not _needs_met(lattice, state):
            continue
        if not _in_turn(lattice, state, overtakable):
            continue
        if best is None or _before(state, best, order):
            best = state
    return None if best is None else best.path()


def held_up(lattice: Lattice, beliefs: Beliefs, rules: Rules, state: State) -> tuple[int, int]:
    """The bits of what a state that has passed waits for: needs that are not in it, and entries
    that go first."""
    overtakable = _overtakable(lattice, beliefs) if rules.overtaking else 0
    needs = 0
    for step in state.path():
        if step.entry is not None:
            needs |= step.entry.needs & lattice.live & ~step.members
    beneath = 0 if state.entry is None else state.members & ~state.entry.bit
    first = 0 if rules.landing_set else beneath & lattice.live
    last = state.members & lattice.live
    for entry in lattice.entries:
        if not last:
            break
        if state.members & entry.bit:
            last &= ~entry.bit
        elif not overtakable & entry.bit:
            first |= entry.bit
    return needs, first


def is_hopeless(state: State, beliefs: Beliefs) -> bool:
    """Whether its other jobs are of no use: one has failed again, and that is its own fault."""
    entry = state.entry
    again = any(len(t.failed_at) > 1 and not t.passed for t in (state.trials or {}).values())
    return again and entry is not None and beliefs.bad[entry.id] > FAILS_FAST


def _before(state: State, other: State, order: dict[int, int]) -> bool:
    if state.depth != other.depth:
        return state.depth > other.depth
    assert state.entry is not None
    assert other.entry is not None
    return order[state.entry.id] < order[other.entry.id]


def _needs_met(lattice: Lattice, state: State) -> bool:
    return all(
        step.entry is None or not (step.entry.needs & lattice.live & ~step.members)
        for step in state.path()
    )


def _overtakable(lattice: Lattice, beliefs: Beliefs) -> int:
    """Those that may be passed by: suspects, and what cannot be proved without them."""
    mask = 0
    for state in lattice.states():
        if state.entry is not None and state.failing:
            mask |= state.entry.bit
    accused = lattice.accused()
    for entry in lattice.entries:
        suspect = beliefs.bad[entry.id] > DOUBTFUL and accused & entry.bit
        if suspect or entry.needs & mask:
            mask |= entry.bit
    return mask


def _in_turn(lattice: Lattice, state: State, overtakable: int) -> bool:
    """Whether nothing is left behind that still has a good chance to land in its turn."""
    last = state.members & lattice.live
    for entry in lattice.entries:
        if not last:
            return True
        if state.members & entry.bit:
            last &= ~entry.bit
        elif not overtakable & entry.bit:
            return False
    return True
