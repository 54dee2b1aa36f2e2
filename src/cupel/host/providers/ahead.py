"""What is made ahead of need: the part of a machine that does not depend on whose it will be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from cupel.errors import InfraError

IDLE = 600.0
"""Seconds that a shell waits for its machine."""


class Shell(Protocol):
    """A machine that is laid out and nobody's yet."""

    @property
    def is_there(self) -> bool:
        """Whether a machine can be made of it: it may have ended by itself."""
        ...

    async def end(self) -> None:
        """Remove it and all that it has."""
        ...


K = TypeVar("K")
S = TypeVar("S", bound=Shell)


class Ahead(Generic[K, S]):
    """Keeps one shell ahead of need, of the kind that was needed last.

    A single machine is made sooner by it. One shell, as it takes memory for as long as it waits:
    who wants many at once wants a pool. `make` makes a shell of a kind; two of a kind do for the
    same machines. `pause` are the seconds until the next is begun, in which the last comes up.
    """

    def __init__(self, make: Callable[[K], Awaitable[S]], *, pause: float = 0.0) -> None:
        self._make = make
        self._pause = pause
        self._next: tuple[K, asyncio.Task[S]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        """Until the next is begun, and then until nobody has wanted it for too long."""
        self._given_up: set[asyncio.Task[None]] = set()

    async def take(self, kind: K) -> S:
        """A shell of a kind: the one that is there, or else a new one; InfraError if none can."""
        return await self._taken(kind) or await self._make(kind)

    async def _taken(self, kind: K) -> S | None:
        if self._next is None:
            return None
        known, making = self._next
        if known != kind:
            self._drop()
            return None
        self._forget()
        # What prevented it is said of the next attempt, if it prevents that too.
        with contextlib.suppress(InfraError, OSError):
            shell = await making
            if shell.is_there:
                return shell
            await shell.end()
        return None

    def renew(self, kind: K) -> None:
        """See that there will be one of a kind soon, unless there is any."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._begin, kind)

    def _begin(self, kind: K) -> None:
        self._next = (kind, asyncio.ensure_future(self._make(kind)))
        self._timer = asyncio.get_running_loop().call_later(IDLE, self._drop)

    def _forget(self) -> None:
        self._next = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop(self) -> None:
        if self._next is not None:
            task = asyncio.create_task(_end(self._next[1]))
            self._given_up.add(task)
            task.add_done_callback(self._given_up.discard)
        self._forget()

    async def close(self) -> None:
        """Give up what is there, and wait until it is gone."""
        self._drop()
        await asyncio.gather(*self._given_up)


async def _end(making: asyncio.Task[S]) -> None:
    with contextlib.suppress(InfraError, OSError):
        await (await making).end()
