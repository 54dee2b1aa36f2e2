"""Long looks take turns before they take a connection."""

from __future__ import annotations

import asyncio

from cupel.control import views
from cupel.store.memory import MemoryStore


class Counting(MemoryStore):
    """Says how many read at once."""

    reading = 0
    most = 0

    def read(self):  # type: ignore[no-untyped-def]
        view = super().read()
        self.reading += 1
        self.most = max(self.most, self.reading)
        return view


def test_one_long_look_at_a_time() -> None:
    store = Counting()

    async def look() -> None:
        async with views.reading(store):
            await asyncio.sleep(0)
            store.reading -= 1

    async def run() -> None:
        await asyncio.gather(*[look() for _ in range(5)])

    asyncio.run(run())
    assert store.most == 1
    asyncio.run(run())  # and in another loop, too
