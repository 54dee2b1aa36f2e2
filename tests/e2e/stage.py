"""A stage for pages: a server with a busy world, and a real browser to look at it."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from cupel.api import app as api
from cupel.core.model import Build, BuildState, Change, Event, Verdict
from cupel.log.append import LogWriter
from cupel.store.memory import MemoryStore
from cupel.web import app as web
from fakes import busy
from fakes import served as fakes_served
from fakes.served import Served

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

NEEDS_CHROMIUM = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium package")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """A running server with a busy world, and a browser to look at it."""

    told: busy.Busy
    served: Served
    log: LogWriter
    browser: Browser

    async def open(self, path: str, **options: object) -> Page:
        """A page in a browser of its own; what its console complains of fails the test."""
        context: BrowserContext = await self.browser.new_context(
            base_url=self.served.url, **options
        )
        page = await context.new_page()
        page.on("console", lambda message: _refuse(message.type, message.text))
        page.on("pageerror", lambda error: _refuse("error", str(error)))
        await page.goto(path)
        return page

    async def rename(self, change: int, title: str) -> None:
        """Something happens to a change, and whoever looks is told."""
        async with self.served.store.write() as tx:
            row = await tx.get(Change, change)
            assert row is not None
            await tx.put([dataclasses.replace(row, title=title)])
        self.served.feed.publish([Event(id=1, at=0.0, kind="change.pushed", change_id=change)])

    async def happen(self, kind: str, text: str) -> None:
        """An event of the whole server."""
        async with self.served.store.write() as tx:
            event = Event(id=next(_numbers), at=time.time(), kind=kind, text=text)
            await tx.put([event])
        self.served.feed.publish([event])

    async def finish(self, build: int) -> None:
        self.log.close()
        async with self.served.store.write() as tx:
            row = await tx.get(Build, build)
            assert row is not None
            done = dataclasses.replace(
                row, state=BuildState.FINISHED, verdict=Verdict.SUCCESS, finished_at=time.time()
            )
            await tx.put([done])
        self.served.feed.publish([Event(id=2, at=0.0, kind="build.finished", build_id=build)])


_numbers = itertools.count(1_000_000)
_complaints: list[str] = []


def _refuse(kind: str, text: str) -> None:
    if kind in {"error", "warning"}:
        _complaints.append(text)


def perform(
    directory: Path,
    act: Callable[[Stage], Awaitable[None]],
    *,
    prepare: Callable[[busy.Busy], object] | None = None,
    parts: Callable[[MemoryStore], Mapping[str, Any]] = lambda _: {},
    fill: Callable[[Served, busy.Busy], object] | None = None,
    now: Callable[[], float] = time.time,
    port: int = 0,
) -> None:
    """Run `act` on a stage of its own; `prepare` adds to the world before anybody looks, `parts`
    to what is served, and `fill` to its files. `now` is the server's clock."""

    async def run(listener: socket.socket) -> None:
        told = busy.busy(now())
        if prepare is not None:
            prepare(told)
        store = await told.world.store()
        served = fakes_served.served(
            store,
            directory,
            now,
            url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            **parts(store),
        )
        log = busy.write_logs(served.logs, told)
        if fill is not None:
            fill(served, told)
        application = api.create(served)
        web.mount(application, served)
        server = uvicorn.Server(uvicorn.Config(application, log_config=None))
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve([listener]))
            try:
                async with async_playwright() as play:
                    browser = await play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                    await act(Stage(told=told, served=served, log=log, browser=browser))
                    await browser.close()
            finally:
                served.feed.close()
                served.logs.close()
                server.should_exit = True

    _complaints.clear()
    with socket.create_server(("127.0.0.1", port)) as listener:
        try:
            asyncio.run(run(listener))
        except ExceptionGroup as several:  # of the task group: what the act itself raised
            if len(several.exceptions) > 1:
                raise
            raise several.exceptions[0] from None
    assert not _complaints, _complaints
