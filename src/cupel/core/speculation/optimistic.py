"""The classical gate: every entry on all those ahead of it that are not failing.

The nearest-non-failing-item algorithm of Zuul (Zuul documentation, "Project Gating"), with no more
than `window` entries under way.
"""

from __future__ import annotations

from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.lattice import Entry, Lattice, State
from cupel.core.speculation.policy import Plan, Want, beyond


class Optimistic:
    """`reruns` is how often a failed trial is run again before its entry counts as failing."""

    def __init__(self, *, window: int | None = None, reruns: int = 1) -> None:
        self.window = window
        self._reruns = reruns

    def plan(
        self, lattice: Lattice, beliefs: Beliefs, *, now: float, machines: int, landing_set: bool
    ) -> Plan:
        plan = Plan(states=[], wants=[], expected={}, waits={})
        at, failing = lattice.root, 0
        for place, entry in enumerate(lattice.entries):
            if self.window is not None and place >= self.window:
                plan.waits[entry.id] = beyond(self.window)
                continue
            if entry.needs & failing:
                failing |= entry.bit
                plan.waits[entry.id] = "a change that it needs is failing"
                continue
            state = lattice.child(at, entry)
            plan.states.append(state)
            plan.expected[entry.id] = state
            if self._fails(state):
                failing |= entry.bit
            else:
                at = state
            self._want(plan, state, entry, place)
        return plan

    def _fails(self, state: State) -> bool:
        if state.broken is not None:
            return True
        return state.trials is not None and any(
            not t.passed and (len(t.failed_at) > self._reruns or t.refused is not None)
            for t in state.trials.values()
        )

    def _want(self, plan: Plan, state: State, entry: Entry, place: int) -> None:
        if self._fails(state):
            return
        for trial in state.own_trials():
            if not trial.passed:
                rerun = bool(trial.failed_at)
                why = "it failed once" if rerun else "next in the queue"
                plan.wants.append(
                    Want(state=state, trial=trial, score=-place, why=why, rerun=rerun)
                )
