"""A server with a long queue, in a process of its own: what `pages` and `readers` look at.

It is the real application on a real SQLite file, with the world of the tests. Each line on its
standard input is something that happens: a change is renamed, stored and published, and the line
that answers has the time at which the store had it.
"""
# ruff: noqa: E402 - rig goes before others: it finds the environment that was set up

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]

import rig  # noqa: F401

from cupel import serve
from cupel.api import app as api
from cupel.control.auth import Scope
from cupel.core.model import Change, Event, Item, ItemState
from cupel.store import open_store
from cupel.store.interface import Store
from cupel.web import app as web
from fakes import long_queue
from fakes import served as fakes_served
from fakes.served import Served

NUMBERS = 10_000_000
"""The ids of events begin above those of the world."""


@dataclasses.dataclass(frozen=True, slots=True)
class Long:
    """The running server: where it is, and the cookie of somebody who is logged in."""

    url: str
    login: str
    process: asyncio.subprocess.Process

    async def happen(self) -> tuple[str, float]:
        """Something happens: the title that is there now, and when the store had it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"\n")
        await self.process.stdin.drain()
        said = json.loads(await self.process.stdout.readline())
        return str(said["title"]), float(said["stored"])


@contextlib.asynccontextmanager
async def running(count: int) -> AsyncIterator[Long]:
    """Start it, and stop it at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__)), str(count),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = json.loads(await process.stdout.readline())
        yield Long(said["url"], said["login"], process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _happen(store: Store, served: Served, change: int, number: int) -> str:
    title = f"Renamed for the time {number}"
    async with store.write() as tx:
        row = await tx.get(Change, change)
        assert row is not None
        event = Event(
            id=NUMBERS + number, at=time.time(), kind="change.pushed", change_id=change,
            project_id=row.project_id,
        )  # fmt: skip
        await tx.put([dataclasses.replace(row, title=title), event])
    return title


async def main(count: int, directory: Path) -> None:
    world = long_queue.long_queue(count, time.time())
    first = next(i for i in world.rows_of(Item).values() if i.state is ItemState.LIVE)
    store = await open_store(f"sqlite:///{directory / 'cupel.db'}")
    async with store.write() as tx:
        await tx.put(world.rows)
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        served = fakes_served.served(store, directory, time.time, url=url)  # type: ignore[arg-type]
        application = api.create(served)
        web.mount(application, served)
        link = await served.auth.login_link("ada", scopes=[Scope.WRITE])
        cookie = await served.auth.redeem(link, client="127.0.0.1")
        print(json.dumps({"url": url, "login": cookie}), flush=True)
        async with asyncio.TaskGroup() as group:
            group.create_task(serve.http(application).serve(sockets=[listener]))
            lines = asyncio.StreamReader()
            loop = asyncio.get_running_loop()
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
            number = 0
            while await lines.readline():
                number += 1
                assert first.change_id is not None
                title = await _happen(store, served, first.change_id, number)
                stored = time.time()
                served.feed.publish(
                    [Event(id=NUMBERS + number, at=stored, kind="change.pushed",
                           project_id=first.project_id, change_id=first.change_id)]
                )  # fmt: skip
                print(json.dumps({"title": title, "stored": stored}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, help="changes in the queue")
    with tempfile.TemporaryDirectory(prefix="cupel-bench-") as place:
        asyncio.run(main(parser.parse_args().count, Path(place)))
