"""What a coroutine works itself, without what others do while it waits."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Metered(Generic[T]):
    """Await it in the place of the coroutine; `cost` is then the sum of its steps.

    `spent` tells how much this thread has worked so far.
    """

    def __init__(self, work: Coroutine[Any, Any, T], spent: Callable[[], float]) -> None:
        self._work = work
        self._spent = spent
        self.cost = 0.0

    def __await__(self) -> Generator[Any, Any, T]:
        step: Callable[[Any], Any] = self._work.send
        given: Any = None
        while True:
            began = self._spent()
            try:
                awaited = step(given)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                self.cost += self._spent() - began
            try:
                given = yield awaited
                step = self._work.send
            except BaseException as error:  # such as a cancellation, which is for the coroutine
                given, step = error, self._work.throw
