"""Whoever looks at very many rows takes turns with others who do, and not with the gate."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator

from cupel.store.interface import Store, Transaction

_LOCKS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
    weakref.WeakKeyDictionary()
)


@contextlib.asynccontextmanager
async def reading(store: Store) -> AsyncIterator[Transaction]:
    """A read transaction for a long look, of which there is one at a time in an event loop.

    Others wait before they take one of the store's few connections, which the gate needs.
    """
    lock = _LOCKS.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    async with lock, store.read() as tx:
        yield tx
