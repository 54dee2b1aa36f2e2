"""Where the contract is tested: places that a store can be opened at, again and again."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

from cupel.store import interface, memory, sql


class Place(Protocol):
    """Somewhere that keeps rows while no store is open."""

    def make(self) -> interface.Store:
        """A store at this place, not open yet."""
        ...


class MemoryPlace:
    def __init__(self) -> None:
        self._disk = memory.Disk()

    def make(self) -> interface.Store:
        return memory.MemoryStore(self._disk)


class SqlPlace:
    def __init__(self, url: str) -> None:
        self.url = url

    def make(self) -> interface.Store:
        return sql.SqlStore(self.url)


@contextlib.asynccontextmanager
async def opened(place: Place) -> AsyncIterator[interface.Store]:
    store = place.make()
    await store.open()
    try:
        yield store
    finally:
        await store.close()
