"""Hears everything that happens, once, and tells open pages when to ask again.

A thousand pages cost the gate little: an event is heard by one, not by a thousand; who shows
something else is not touched; and the others are told one after the other (`pace`).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator

from cupel.core.model import Event
from cupel.web.budget import Budget
from cupel.web.pace import Pace
from cupel.web.topic import Topic

GAP = 0.25
"""Seconds within which a page is not told twice: the first notice is sent at once."""

RATE = 40.0
"""Notices a second, of all pages together: each makes a browser ask for something."""

BURST = 25.0
"""Notices at once, after a while in which there were none."""

REMEMBERED = 1000
"""Events that are kept to say whether something happened since."""

RETRY = 1.0
"""Seconds after which a browser connects again, if it is the only one."""


_NUMBER = re.compile(r"[0-9]{1,18}")


class Listener:
    """An open page: `told` returns when it is to ask again, or when there is no more to hear."""

    def __init__(self, topic: Topic, *, first: bool) -> None:
        self.topic = topic
        self.first = first
        self.ended = False
        self._woken = asyncio.Event()

    async def told(self) -> None:
        await self._woken.wait()
        self._woken.clear()

    def tell(self) -> None:
        self._woken.set()

    def end(self) -> None:
        self.ended = True
        self._woken.set()


@dataclasses.dataclass(slots=True)
class _Group:
    """Those who listen to the same: how many, and who of them has nothing to be told."""

    size: int = 0
    resting: dict[Listener, None] = dataclasses.field(default_factory=dict)


class Herald:
    """A listener of the feed that tells others. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._life = secrets.token_hex(4)
        self._count = 0
        self._recent: deque[Event] = deque(maxlen=REMEMBERED)
        self._pace: Pace[Listener] = Pace(Budget(rate=RATE, burst=BURST), gap=GAP)
        self._groups: dict[Topic, _Group] = {}
        self._listeners: set[Listener] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def moment(self) -> int:
        """How much has happened so far."""
        return self._count

    @property
    def size(self) -> int:
        """How many pages are open."""
        return len(self._listeners)

    def seen(self, moment: int) -> str:
        """A moment as pages name it: another life of the server has others."""
        return f"{self._life}-{moment}"

    def has_news(self, topic: Topic, seen: str) -> bool:
        """Whether something happened since that concerns a page; so if that is not known."""
        life, _, number = seen.partition("-")
        if life != self._life or _NUMBER.fullmatch(number) is None:
            return True
        return self.happened(topic, int(number))

    def happened(self, topic: Topic, since: int) -> bool:
        """Whether something has that concerns a topic, after a moment of this life."""
        missed = self._count - since
        if not 0 <= missed <= len(self._recent):
            return True
        newest = reversed(self._recent)
        return any(topic.concerns(next(newest)) for _ in range(missed))

    def offer(self, event: Event) -> None:
        """Something happened."""
        self._count += 1
        self._recent.append(event)
        now = self._clock()
        for topic, group in self._groups.items():
            if group.resting and topic.concerns(event):
                for listener in group.resting:
                    self._pace.ask(listener, now, first=listener.first)
                group.resting.clear()
        self._plan(now)

    def close(self) -> None:
        """There is no more to hear."""
        self._closed = True
        self._cancel()
        for listener in self._listeners:
            listener.end()

    @contextlib.contextmanager
    def listen(self, topic: Topic, seen: str, *, first: bool) -> Iterator[Listener]:
        """Be told of what concerns a topic, beginning with what happened since `seen`."""
        listener = Listener(topic, first=first)
        self._listeners.add(listener)
        group = self._groups.setdefault(topic, _Group())
        group.size += 1
        if self._closed:
            listener.end()
        elif self.has_news(topic, seen):
            self._pace.ask(listener, self._clock(), first=first)
            self._plan(self._clock())
        else:
            group.resting[listener] = None
        try:
            yield listener
        finally:
            self._leave(listener)

    def retry(self) -> str:
        """The line that says when to connect again, so that not all do at the same time."""
        spread = len(self._listeners) / RATE
        return f"retry: {1000 * (RETRY + spread * self._chance()):.0f}\n\n"

    def _leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        self._pace.forget(listener)
        group = self._groups[listener.topic]
        group.resting.pop(listener, None)
        group.size -= 1
        if group.size == 0:
            del self._groups[listener.topic]

    def _plan(self, now: float) -> None:
        """Look at the next moment at which somebody may be told; after what happens meanwhile."""
        self._cancel()
        when = self._pace.next(now)
        if when is not None and not self._closed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, when - now), self.tell)

    def tell(self) -> None:
        """Tell those whose turn it is. They listen on before they ask, so they miss nothing."""
        now = self._clock()
        for listener in self._pace.take(now):
            self._groups[listener.topic].resting[listener] = None
            listener.tell()
        self._plan(now)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
