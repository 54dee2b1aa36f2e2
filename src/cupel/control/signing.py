"""Has the logs of builds that have ended signed, so that searches may skip them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

from cupel import logger, process
from cupel.control.feed import Feed, Subscription
from cupel.core.model import Build, BuildState
from cupel.errors import InfraError
from cupel.log.store import LogStore
from cupel.store.interface import Store

log = logger.of(__name__)

GATHER = 5.0
"""Seconds in which all logs that end are signed by one process."""

PATIENCE = 24 * 3600.0
"""Seconds after which signing is given up: the processor has other things to do."""


class Signing:
    """Signs what has ended: all that there is when it begins, then each log after its build.

    A log without a signature is only slower to search, so nothing that goes wrong matters much.
    """

    def __init__(self, store: Store, feed: Feed, logs: LogStore, root: Path) -> None:
        self._store = store
        self._feed = feed
        self._logs = logs
        self._root = root

    async def run(self) -> None:
        """Sign, until cancelled."""
        while True:
            try:
                with self._feed.subscribe() as news:
                    await self._sign(await self._unfinished(), "--all-but")
                    await self._follow(news)
            except InfraError as error:
                log.warning("logs are not signed, trying again", error=str(error))
            await asyncio.sleep(GATHER)

    async def _follow(self, news: Subscription) -> None:
        """Sign what ends, until there is too much news, or no more."""
        ended: set[int] = set()
        async for event in news:
            if event.kind != "build.finished" or event.build_id is None:
                continue
            ended.add(event.build_id)
            await asyncio.sleep(GATHER)
            ended |= _finished(news)
            ready = {each for each in ended if not self._logs.is_written(each)}
            await self._sign(ready)
            ended -= ready

    async def _unfinished(self) -> set[int]:
        states = [state for state in BuildState if state is not BuildState.FINISHED]
        async with self._store.read() as tx:
            return {found[0] for found in await tx.values(Build, ["id"], {"state": states})}

    async def _sign(self, builds: Iterable[int], *flags: str) -> None:
        argv = [sys.executable, "-I", "-m", "cupel.log.signature", str(self._root), *flags]
        numbers = " ".join(map(str, builds)).encode()
        if not numbers and not flags:
            return
        await process.run(argv, stdin=numbers, timeout=PATIENCE)


def _finished(news: Subscription) -> set[int]:
    """The builds that have finished in what has come so far."""
    found = (event for event in news.take() if event.kind == "build.finished")
    return {event.build_id for event in found if event.build_id is not None}
