"""A process that writes to a store, or holds the planner's lock, until it is killed.

`python writer.py write|plan URL`; each line that it prints is acknowledged by then.
"""

from __future__ import annotations

import asyncio
import sys

import samples

from cupel import store


async def write(url: str) -> None:
    opened = await store.open_store(url)
    while True:
        async with opened.write() as transaction:
            first = await transaction.reserve("project", 3)
            await transaction.put([samples.project(first + each) for each in range(3)])
        print(first, flush=True)


async def plan(url: str) -> None:
    opened = await store.open_store(url)
    print(await opened.lock_planner(), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run({"write": write, "plan": plan}[sys.argv[1]](sys.argv[2]))
