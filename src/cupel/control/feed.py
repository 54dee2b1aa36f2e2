"""Live news: every stored event, fanned out to whoever listens (pages, waiting pushes)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import Protocol

from cupel.core.model import Event

BACKLOG = 10_000
"""How many events a listener may lag before it is cut off and must read the store again."""


class Listener(Protocol):
    """Is given every event, and told when there are no more; it must not dawdle."""

    def offer(self, event: Event) -> None: ...

    def close(self) -> None: ...


class Subscription:
    """One listener's queue: iterate with `async for`. Ends with the feed, or on too long a lag."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue(BACKLOG)
        self._closed = False

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        if self._closed and self._queue.empty():
            raise StopAsyncIteration
        event = await self._queue.get()
        if event is None:
            raise StopAsyncIteration
        return event

    def skip(self) -> None:
        """Drop what has come so far: the listener is about to read the store anyway."""
        self.take()

    def take(self) -> list[Event]:
        """What has come so far, without waiting."""
        found: list[Event] = []
        while not self._queue.empty():
            event = self._queue.get_nowait()
            if event is None:
                self._closed = True
            else:
                found.append(event)
        return found

    def offer(self, event: Event) -> None:
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.close()

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(None)


class Feed:
    """Publish after the commit, never before: listeners may read the store at once."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._listeners: list[Listener] = []

    def add(self, listener: Listener) -> None:
        """Have somebody listen for as long as there is news."""
        self._listeners.append(listener)

    @contextlib.contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        subscription = Subscription()
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def publish(self, events: Iterable[Event]) -> None:
        for event in events:
            for listener in (*self._listeners, *self._subscriptions):
                listener.offer(event)

    def close(self) -> None:
        for listener in (*self._listeners, *self._subscriptions):
            listener.close()
