"""Where in the order of their ids rows begin that are as old as a time: ids grow with time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from cupel.core.model import Row
from cupel.store.interface import Transaction

R = TypeVar("R", bound=Row)

BATCH = 2_000
"""Rows that are read at once, and others served after: some 10 ms of work."""


async def before(tx: Transaction, kind: type[R], field: str, at: float) -> int:
    """The id after which rows have this time, or a later one, in a field: the last earlier one's.

    A handful of small reads, however many rows there are, and no index on times.
    """
    newest = await tx.values(kind, ("id", field), descending=True, limit=1)
    if not newest or newest[0][1] < at:
        return int(newest[0][0]) if newest else 0
    low, high = 0, int(newest[0][0])  # what is earlier has an id up to `low`, and less than `high`
    while low < high:
        middle = (low + high) // 2
        following, time = (await tx.values(kind, ("id", field), after=middle, limit=1))[0]
        if time < at:
            low = int(following)
        else:
            high = middle
    return low


async def values(
    tx: Transaction,
    kind: type[R],
    fields: Sequence[str],
    where: Mapping[str, Any] | None = None,
    *,
    after: int = 0,
    until: int | None = None,
) -> list[tuple[Any, ...]]:
    """What `tx.values` gives of ids after one and up to another, while others are served."""
    found: list[tuple[Any, ...]] = []
    before = None if until is None else until + 1
    while True:
        batch = await tx.values(
            kind, ("id", *fields), where, after=after, before=before, limit=BATCH
        )
        found += [row[1:] for row in batch]
        if len(batch) < BATCH:
            return found
        after = batch[-1][0]
        await asyncio.sleep(0)
