"""Batch and bisect: everything that waits is tried together, and halved where it fails.

Source: bors-ng's documentation ("How it works": bors.tech/documentation) and its batcher. One batch
runs at a time. A batch that fails is split in two; a batch of one that fails is rejected. Here the
halves go before what came later, so that changes land in order; there they queue behind it.
"""

from __future__ import annotations

from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.lattice import Entry, Lattice
from cupel.core.speculation.policy import Plan
from cupel.simulate.queueing.peers import chain


class Bors:
    """`size` is the most changes in a batch, None for no bound."""

    def __init__(self, *, size: int | None, reruns: int) -> None:
        self._size = size
        self._reruns = reruns
        self._batches: list[list[int]] = []

    def plan(
        self, lattice: Lattice, beliefs: Beliefs, *, now: float, machines: int, landing_set: bool
    ) -> Plan:
        """Wants the jobs of the first batch as a whole, and nothing else."""
        plan = chain.empty()
        entries = {entry.id: entry for entry in lattice.entries}
        if not entries:
            self._batches = []
            return plan
        self._forget(entries)
        if not self._batches:
            self._batches = [list(entries)[: self._size]]
        while True:
            states = chain.stack(lattice, (entries[number] for number in self._batches[0]))
            last = states[-1]
            broken = any(chain.failed(state, self._reruns) for state in states)
            if not broken or len(states) == 1:
                break
            self._halve()
        chain.expect(plan, states)
        chain.add(plan, last, (last.trials or {}).values(), self._reruns, 1.0)
        return plan

    def _forget(self, entries: dict[int, Entry]) -> None:
        """Drop those that have landed or left."""
        left = ([number for number in batch if number in entries] for batch in self._batches)
        self._batches = [batch for batch in left if batch]

    def _halve(self) -> None:
        batch = self._batches.pop(0)
        middle = (len(batch) + 1) // 2
        self._batches[:0] = [batch[:middle], batch[middle:]]
