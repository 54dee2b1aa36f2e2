"""Searches the logs of builds: what it finds as it is found, with the builds that it is about."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from cupel.control.views import build, since
from cupel.control.views.nouns.search import FoundLog, FoundLogs, LogHit, LogsReached
from cupel.control.views.search import Narrowed
from cupel.core.model import Build
from cupel.log.pattern import Pattern
from cupel.log.search import Bounds, Found, Hit, Reached
from cupel.log.store import LogStore
from cupel.store.interface import Store

LOGS = 20
"""Logs that are shown at a time."""

SECONDS = 2.5
"""How long logs are looked through at a time."""

_BATCH = 2_000


async def log_stream(
    store: Store,
    logs: LogStore,
    pattern: Pattern,
    narrowed: Narrowed,
    *,
    now: float,
    before: int | None = None,
    limit: int = LOGS,
) -> AsyncGenerator[FoundLog | LogsReached, None]:
    """Each log that fits, newest first, and at the end how far the search has got."""
    after = None
    if narrowed.since is not None:
        async with store.read() as tx:
            after = await since.before(tx, Build, "queued_at", narrowed.since)
    bounds = Bounds(before=before, after=after, logs=limit, seconds=SECONDS)
    some = narrowed.project is not None or narrowed.job is not None or narrowed.verdict is not None
    builds = _builds(store, narrowed, before, after) if some else None
    time = asyncio.get_running_loop().time
    started = time()
    async with aclosing(logs.search.search(pattern, bounds, builds)) as answer:
        async for said in answer:
            if isinstance(said, Found):
                async with store.read() as tx:
                    refs = await build.refs(tx, [said.build], now=now)
                if refs:
                    hits = [_hit(each) for each in said.hits]
                    yield FoundLog(build=refs[0], lines=said.lines, hits=hits)
            elif said.over:
                yield await _reached(store, said, limit, time() - started)


async def log_list(
    store: Store,
    logs: LogStore,
    pattern: Pattern,
    narrowed: Narrowed,
    *,
    now: float,
    before: int | None = None,
    limit: int = LOGS,
) -> FoundLogs:
    """All of that at once."""
    entries: list[FoundLog] = []
    stream = log_stream(store, logs, pattern, narrowed, now=now, before=before, limit=limit)
    async with aclosing(stream) as found:
        async for said in found:
            if isinstance(said, LogsReached):
                return FoundLogs(entries=entries, reached=said)
            entries.append(said)
    raise AssertionError("a search of logs ended without a word")


async def _builds(
    store: Store, narrowed: Narrowed, before: int | None, after: int | None
) -> AsyncIterator[Sequence[int]]:
    """The builds that it is about, newest first, batch by batch."""
    where = narrowed.of_project()
    if narrowed.verdict is not None:
        where["verdict"] = narrowed.verdict
    while True:
        async with store.read() as tx:
            batch = await tx.values(
                Build,
                ("id", "job"),
                where,
                descending=True,
                limit=_BATCH,
                before=before,
                after=after,
            )
        yield [number for number, job in batch if narrowed.fits_job(job)]
        if len(batch) < _BATCH:
            return
        before = batch[-1][0]


def _hit(hit: Hit) -> LogHit:
    return LogHit(number=hit.number, text=hit.text, before=hit.before, after=hit.after)


async def _reached(store: Store, said: Reached, limit: int, seconds: float) -> LogsReached:
    at = None
    if said.last is not None:
        async with store.read() as tx:
            row = await tx.get(Build, said.last)
        at = None if row is None else row.queued_at
    more = said.logs > limit
    return LogsReached(
        searched=said.searched,
        skipped=said.skipped,
        lines=said.lines,
        logs=said.logs,
        complete=said.done,
        stuck=said.stuck,
        back_to=said.last,
        back_at=at,
        next=said.last_shown if more else None if said.done else said.last,
        seconds=round(seconds, 3),
    )
