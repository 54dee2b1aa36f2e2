"""What most gates do: the first entries of the queue on each other, in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cupel.core.speculation.lattice import Entry, Lattice, State, Trial
from cupel.core.speculation.policy import Plan, Want


def empty() -> Plan:
    return Plan(states=[], wants=[], expected={}, waits={})


def stack(lattice: Lattice, entries: Iterable[Entry]) -> list[State]:
    """A state for each entry, on all before it."""
    states: list[State] = []
    at = lattice.root
    for entry in entries:
        at = lattice.child(at, entry)
        states.append(at)
    return states


def failed(state: State, reruns: int) -> bool:
    """Whether one of its own jobs has failed once more often than is put down to chance."""
    return any(_believed(trial, reruns) for trial in state.own_trials())


def _believed(trial: Trial, reruns: int) -> bool:
    return not trial.passed and len(trial.failed_at) > reruns


def add(plan: Plan, state: State, trials: Iterable[Trial], reruns: int, score: float) -> None:
    """Want those of the trials that have neither passed nor failed for good."""
    for trial in trials:
        if not trial.passed and not _believed(trial, reruns):
            again = bool(trial.failed_at)
            why = "it failed once" if again else "next in the queue"
            plan.wants.append(Want(state=state, trial=trial, score=score, why=why, rerun=again))


def expect(plan: Plan, states: Sequence[State]) -> None:
    """The states are all that should exist, each entry to land on its own."""
    for state in states:
        plan.states.append(state)
        if state.entry is not None:
            plan.expected[state.entry.id] = state
