"""What goes wrong in the world, and the store that a server dies in."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from cupel.core.model import Row
from cupel.store.interface import R, Transaction, Where
from cupel.store.memory import MemoryStore

Change = tuple[Row | None, Row]
"""A row as it was, and as it is now."""


class Killed(BaseException):
    """The server's process has ended, here and now. No `except` in the product catches it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How likely each thing is to go wrong, each time that it could."""

    kill: float = 0.0
    """The server dies: before a transaction, in it or after its commit."""
    lost_wake: float = 0.0
    """A wake-up is lost: only the engine's pulse plans next."""
    doubled: float = 0.0
    """A fact comes a second time, soon or much later."""
    slow_dispatch: float = 0.0
    """What a plan asks for is only asked of the world after more facts have come."""
    infra: float = 0.0
    """A build is failed by its host."""
    dead: float = 0.0
    """A machine hangs until its host gives up on it."""
    unmade: float = 0.0
    """A machine cannot be made."""
    slow: float = 0.0
    """A machine takes a hundred times as long to boot."""


NONE = Faults()


class MortalStore:
    """A store on a disk, in a process that `doom` may end at each point of a transaction.

    `committed` is told what each transaction changed.
    """

    def __init__(
        self,
        inner: MemoryStore,
        doom: Callable[[str], None],
        committed: Callable[[list[Change]], None],
    ) -> None:
        self._inner = inner
        self._doom = doom
        self._committed = committed

    async def open(self) -> None:
        await self._inner.open()

    def read(self) -> contextlib.AbstractAsyncContextManager[Transaction]:
        return self._inner.read()

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        self._doom("before a transaction")
        async with self._inner.write() as transaction:
            watched = _Watched(transaction)
            yield watched
            self._doom("in a transaction")
        self._committed(watched.changes)
        self._doom("after a commit")

    async def lock_planner(self) -> bool:
        return await self._inner.lock_planner()

    async def close(self) -> None:
        await self._inner.close()


class _Watched:
    """A transaction that remembers what it changes."""

    def __init__(self, inner: Transaction) -> None:
        self._inner = inner
        self.changes: list[Change] = []

    async def get(self, kind: type[R], id: int) -> R | None:
        return await self._inner.get(kind, id)

    async def select(
        self,
        kind: type[R],
        where: Where | None = None,
        *,
        order: str = "id",
        descending: bool = False,
        limit: int | None = None,
        after: int | None = None,
        before: int | None = None,
    ) -> list[R]:
        return await self._inner.select(
            kind,
            where,
            order=order,
            descending=descending,
            limit=limit,
            after=after,
            before=before,
        )

    async def values(
        self,
        kind: type[R],
        fields: Sequence[str],
        where: Where | None = None,
        *,
        descending: bool = False,
        limit: int | None = None,
        after: int | None = None,
        before: int | None = None,
    ) -> list[tuple[Any, ...]]:
        return await self._inner.values(
            kind,
            fields,
            where,
            descending=descending,
            limit=limit,
            after=after,
            before=before,
        )

    async def count(self, kind: type[R], where: Where | None = None) -> int:
        return await self._inner.count(kind, where)

    async def put(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self.changes.append((await self._inner.get(type(row), row.id), row))
        await self._inner.put(rows)

    async def delete(self, kind: type[R], ids: Sequence[int]) -> None:
        await self._inner.delete(kind, ids)

    async def reserve(self, counter: str, count: int = 1) -> int:
        return await self._inner.reserve(counter, count)
