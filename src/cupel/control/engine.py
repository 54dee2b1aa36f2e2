"""Read, plan, persist, dispatch.

`record` stores a fact; `step` plans from one read and stores what follows; `run` does so whenever
something was recorded, and hands what the rows ask for to the dispatcher. Only the holder of the
planner lock runs it. Nothing here decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
from collections.abc import Iterator, Sequence
from typing import Protocol

import structlog

from cupel.control import load
from cupel.control.clock import Clock
from cupel.control.feed import Feed
from cupel.core import events, facts, intents, plan
from cupel.core.actions import Action
from cupel.core.draft import Draft
from cupel.core.model import Row
from cupel.errors import InfraError
from cupel.store.interface import Store, Transaction

log = structlog.get_logger(__name__)

ID_COUNTER = "id"


class Dispatcher(Protocol):
    """Takes what is outstanding, and starts what is not under way yet."""

    def dispatch(self, actions: Sequence[Action]) -> None: ...


class Engine:
    """`clock` tells the time; `pulse` seconds are the longest pause between two plannings."""

    def __init__(self, store: Store, feed: Feed, clock: Clock, *, pulse: float = 5.0) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock
        self._pulse = pulse
        self._dirty = asyncio.Event()

    def wake(self) -> None:
        self._dirty.set()

    async def record(self, *happened: events.Fact) -> None:
        """Store what happened, all or nothing; when this returns, a crash does not undo it."""
        async with self._store.write() as tx:
            draft = await self._draft(tx, await load.concerning(tx, happened))
            for fact in happened:
                facts.apply(draft, fact)
            await self._persist(tx, draft)
        self._feed.publish(draft.events)
        self.wake()

    async def step(self) -> list[Action]:
        """Plan once; what is outstanding afterwards."""
        async with self._store.write() as tx:
            draft = await self._draft(tx, await load.everything_live(tx))
            with uninterrupted():
                plan.decide(draft)
            await self._persist(tx, draft)
        self._feed.publish(draft.events)
        return intents.outstanding(draft)

    async def run(self, dispatcher: Dispatcher) -> None:
        """Plan after every wake-up, until cancelled. Survives a store that is away for a while."""
        while True:
            self._dirty.clear()
            try:
                dispatcher.dispatch(await self.step())
            except InfraError as error:
                log.error("planning failed, trying again", error=str(error))
                await asyncio.sleep(1.0)
                continue
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._pulse):
                await self._dirty.wait()
        except TimeoutError:
            pass

    async def _draft(self, tx: Transaction, rows: Sequence[Row]) -> Draft:
        """Writers take turns, so numbers from the counter on are free until this one is done."""
        first = await tx.reserve(ID_COUNTER)
        return Draft(rows, now=self._clock(), ids=itertools.count(first))

    async def _persist(self, tx: Transaction, draft: Draft) -> None:
        rows = [*draft.changed, *draft.events]
        if draft.numbers_used > 1:
            await tx.reserve(ID_COUNTER, draft.numbers_used - 1)
        await tx.put(rows)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Without the garbage collector. A plan is made of so many values that it would come in the
    midst of every longer one, take several times as long as the rest, and find nothing."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
