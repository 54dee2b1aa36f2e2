"""Rows and append-only events, in SQLite, PostgreSQL or memory."""

from __future__ import annotations

from cupel.store.interface import Store


async def open_store(url: str) -> Store:
    """The store at `url`, migrated and ready; to be closed by the caller.

    `sqlite:////absolute/path`, `postgresql://user@host/database`, or `memory:` for one that keeps
    nothing. Raises `UserError` for any other URL and `InfraError` when it cannot be opened.
    """
    if url == "memory:":
        from cupel.store import memory

        return memory.MemoryStore()
    from cupel.store import sql

    store = sql.SqlStore(url)
    await store.open()
    return store
