"""Where rows begin that are not older than a time."""

from __future__ import annotations

import asyncio

import hypothesis
import pytest
from hypothesis import strategies as st

from cupel.control.views import since
from cupel.core.model import Event
from cupel.store.memory import MemoryStore


def test_batches_are_joined_without_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(since, "BATCH", 3)
    rows = [Event(id=number, at=1.0, kind="x") for number in range(1, 12)]

    async def run() -> list[tuple[int]]:
        store = MemoryStore()
        async with store.write() as tx:
            await tx.put(rows)
        async with store.read() as tx:
            return await since.values(tx, Event, ["id"], {"kind": "x"}, after=2, until=9)

    assert [number for (number,) in asyncio.run(run())] == list(range(3, 10))


@hypothesis.settings(deadline=None)
@hypothesis.given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5)), max_size=30), st.integers(-1, 90)
)
def test_it_is_the_last_row_that_is_older(steps: list[tuple[int, int]], at: int) -> None:
    rows, number, time = [], 0, 0
    for gap, later in steps:  # ids have gaps, and times repeat
        number, time = number + gap, time + later
        rows.append(Event(id=number, at=float(time), kind="x"))

    async def run() -> tuple[int, list[tuple[int]]]:
        store = MemoryStore()
        async with store.write() as tx:
            await tx.put(rows)
        async with store.read() as tx:
            bound = await since.before(tx, Event, "at", float(at))
            return bound, await since.values(tx, Event, ["id"], after=bound, until=70)

    bound, found = asyncio.run(run())
    assert [number for (number,) in found] == [r.id for r in rows if bound < r.id <= 70]
    assert [row.id for row in rows if row.at >= at] == [row.id for row in rows if row.id > bound]
