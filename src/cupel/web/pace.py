"""Who is told when: at once where that is possible, and never so many that it hurts. Pure."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable
from typing import Generic, TypeVar

from cupel.web.budget import Budget

T = TypeVar("T", bound=Hashable)

Waiting = list[tuple[float, int, T]]
"""A heap: when somebody may be told, whose turn it is then, and who."""


class Pace(Generic[T]):
    """Listeners that have something to be told, in the order in which they are told it.

    Nobody is told again within `gap` seconds, and all of them together not more often than the
    budget allows; those who go first do not wait for the others.
    """

    def __init__(self, budget: Budget, *, gap: float) -> None:
        self._budget = budget
        self._gap = gap
        self._turns = itertools.count()
        self._told: dict[T, float] = {}
        self._waits: set[T] = set()
        self._first: Waiting[T] = []
        self._others: Waiting[T] = []

    def ask(self, who: T, now: float, *, first: bool = False) -> None:
        """There is something to tell; what is to be told already becomes one with it."""
        if who in self._waits:
            return
        self._waits.add(who)
        due = max(now, self._told.get(who, float("-inf")) + self._gap)
        heapq.heappush(self._first if first else self._others, (due, next(self._turns), who))

    def forget(self, who: T) -> None:
        self._told.pop(who, None)
        self._waits.discard(who)

    def take(self, now: float) -> list[T]:
        """Those to tell now, who have then been told."""
        taken: list[T] = []
        for heap in (self._first, self._others):
            while _due(heap, now) and self._budget.has(1.0, now):
                who = heapq.heappop(heap)[2]
                if who in self._waits:
                    self._waits.remove(who)
                    self._told[who] = now
                    self._budget.spend(1.0, now)
                    taken.append(who)
        return taken

    def next(self, now: float) -> float | None:
        """When to look again: never, if nobody waits."""
        heads = [heap[0][0] for heap in (self._first, self._others) if heap]
        return max(min(heads), now + self._budget.wait(1.0, now)) if heads else None


def _due(heap: Waiting[T], now: float) -> bool:
    return bool(heap) and heap[0][0] <= now
