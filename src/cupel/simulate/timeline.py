"""Virtual time: what happens next, without a wall clock."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from cupel.errors import Bug

T = TypeVar("T")


class Timeline:
    """Callbacks in order of their time; equal times keep the order in which they were asked for.

    Calling it tells the time, so it serves as the engine's clock.
    """

    def __init__(self, start: float = 0.0) -> None:
        self.now = start
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def __call__(self) -> float:
        return self.now

    def __len__(self) -> int:
        return len(self._heap)

    def after(self, delay: float, happen: Callable[[], None]) -> None:
        self.at(self.now + delay, happen)

    def at(self, time: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (max(time, self.now), next(self._order), happen))

    def next(self) -> None:
        """Go to the next thing that happens, and let it."""
        self.now, _, happen = heapq.heappop(self._heap)
        happen()


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing to wait for. Raises `Bug` if it waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise Bug("the simulated engine waited for something outside of the simulation")
