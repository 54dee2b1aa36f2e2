"""Where rows begin that are not older than a time."""

from __future__ import annotations

import asyncio

import hypothesis
from hypothesis import strategies as st

from cupel.control.views import since
from cupel.core.model import Event
from cupel.store.memory import MemoryStore


@hypothesis.settings(deadline=None)
@hypothesis.given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5)), max_size=30), st.integers(-1, 90)
)
def test_it_is_the_last_row_that_is_older(steps: list[tuple[int, int]], at: int) -> None:
    rows, number, time = [], 0, 0
    for gap, later in steps:  # ids have gaps, and times repeat
        number, time = number + gap, time + later
        rows.append(Event(id=number, at=float(time), kind="x"))

    async def run() -> int:
        store = MemoryStore()
        async with store.write() as tx:
            await tx.put(rows)
        async with store.read() as tx:
            return await since.before(tx, Event, "at", float(at))

    bound = asyncio.run(run())
    assert [row.id for row in rows if row.at >= at] == [row.id for row in rows if row.id > bound]
