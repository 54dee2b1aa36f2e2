"""How long the store takes: `python tests/store/measure.py URL`, or without one, in all three.

The numbers of `docs/explanation/store.md` are from here.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable

import postgres
import samples

from cupel import store
from cupel.core.model import Change
from cupel.store import interface, rows

ROWS = 5000
ROUNDS = 500


async def main(url: str) -> None:
    print(f"\n{url.partition(':')[0]}")
    opened = await store.open_store(url)
    try:
        await median("put of 5,000 changes", 5, lambda round_: fill(opened))
        await median("get + put, one transaction", ROUNDS, lambda round_: change(opened, round_))
        await median("select by project and key", ROUNDS, lambda round_: find(opened, round_))
        await median("select of 5,000 changes", 9, lambda round_: scan(opened))
    finally:
        await opened.close()


async def median(name: str, rounds: int, measured: Callable[[int], Awaitable[None]]) -> None:
    seconds = []
    for round_ in range(rounds):
        begun = time.perf_counter()
        await measured(round_)
        seconds.append(time.perf_counter() - begun)
    seconds.sort()
    worst = seconds[int(rounds * 0.95)]
    print(f"  {name:30} median {statistics.median(seconds) * 1e3:7.3f} ms, P95 {worst * 1e3:7.3f}")


async def fill(opened: interface.Store) -> None:
    async with opened.write() as transaction:
        await transaction.put([samples.change(1 + each) for each in range(ROWS)])


async def change(opened: interface.Store, round_: int) -> None:
    async with opened.write() as transaction:
        await transaction.get(Change, 1 + round_)
        await transaction.put([samples.change(1 + round_, title=f"Round {round_}")])


async def find(opened: interface.Store, round_: int) -> None:
    async with opened.read() as transaction:
        await transaction.select(Change, {"project_id": 1, "key": f"I{1 + round_}"})


async def scan(opened: interface.Store) -> None:
    async with opened.read() as transaction:
        await transaction.select(Change)


async def decode(_: int) -> None:
    for values in ENCODED:
        rows.codec(Change).decode(values)


ENCODED = [rows.codec(Change).encode(samples.change(1 + each)) for each in range(ROWS)]

if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(main(sys.argv[1]))
    else:
        asyncio.run(median("decoding of 5,000 changes", 9, decode))
        asyncio.run(main("memory:"))
        with tempfile.TemporaryDirectory() as directory:
            asyncio.run(main(f"sqlite:///{directory}/cupel.db"))
        with postgres.database() as database:
            asyncio.run(main(database))
