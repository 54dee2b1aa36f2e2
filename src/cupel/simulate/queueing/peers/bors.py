"""Batch and bisect: everything that waits is tried together, and halved where it fails.

Source: bors-ng's documentation ("How it works": bors.tech/documentation) and its batcher. One batch
runs at a time. A batch that fails is split in two; a batch of one that fails is rejected. Here the
halves go before what came later, so that changes land in order; there they queue behind it.
"""

from __future__ import annotations

from cupel.core.speculation import judge
from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.judge import Rules
from cupel.core.speculation.lattice import Entry, Lattice, State, Trial
from cupel.core.speculation.policy import Plan, Want
from cupel.simulate.queueing.peers import chain


class Bors:
    """Policy and verdicts in one. `size` is the most changes in a batch, None for no bound.

    Each batch is run anew: failures from before it began do not count against it.
    """

    landing_set = True

    def __init__(self, *, size: int | None, reruns: int) -> None:
        self._size = size
        self._reruns = reruns
        self._batches: list[list[int]] = []
        self._before: dict[int, int] = {}
        """By the id of a trial of the first batch, its failures when that began."""
        self._trials: list[Trial] = []

    def plan(
        self, lattice: Lattice, beliefs: Beliefs, *, now: float, machines: int, landing_set: bool
    ) -> Plan:
        """Wants the jobs of the first batch as a whole, and nothing else."""
        plan = chain.empty()
        entries = {entry.id: entry for entry in lattice.entries}
        state = self._first(lattice, entries)
        if state is None:
            return plan
        chain.expect(plan, state.path())
        for trial in self._trials:
            if not trial.passed and self._failures(trial) <= self._reruns:
                again = self._failures(trial) > 0
                why = "it failed once" if again else "next in the queue"
                plan.wants.append(Want(state=state, trial=trial, score=1.0, why=why, rerun=again))
        return plan

    def landable(self, lattice: Lattice, beliefs: Beliefs) -> list[State] | None:
        rules = Rules(landing_set=True, reruns=self._reruns, overtaking=False)
        return judge.landable(lattice, beliefs, rules)

    def convicted(self, lattice: Lattice, beliefs: Beliefs) -> list[Entry]:
        """The only one of a batch that failed."""
        if not self._batches or len(self._batches[0]) > 1 or not self._failed():
            return []
        return [entry for entry in lattice.entries if entry.id == self._batches[0][0]]

    def _first(self, lattice: Lattice, entries: dict[int, Entry]) -> State | None:
        """The state of the batch that runs now; one that has failed is halved first."""
        batches = [[n for n in batch if n in entries] for batch in self._batches]
        began = not self._batches or batches[0] != self._batches[0]
        self._batches = [batch for batch in batches if batch]
        if not self._batches:
            if not entries:
                return None
            self._batches = [list(entries)[: self._size]]
        if not began and len(self._batches[0]) > 1 and self._failed():
            self._halve()
            began = True
        state = chain.stack(lattice, (entries[number] for number in self._batches[0]))[-1]
        if began:
            self._trials = list((state.trials or {}).values())
            self._before = {id(trial): len(trial.failed_at) for trial in self._trials}
        return state

    def _failures(self, trial: Trial) -> int:
        return len(trial.failed_at) - self._before[id(trial)]

    def _failed(self) -> bool:
        return any(not t.passed and self._failures(t) > self._reruns for t in self._trials)

    def _halve(self) -> None:
        batch = self._batches.pop(0)
        middle = (len(batch) + 1) // 2
        self._batches[:0] = [batch[:middle], batch[middle:]]
