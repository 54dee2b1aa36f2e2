"""Asks the server for what `cupel top` shows: when something happened, and now and then."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from cupel.cli.live.seen import Log, Snapshot
from cupel.client import Client
from cupel.errors import CupelError

AT_MOST = 0.5
"""Seconds between two looks at the queues, however much happens."""

AT_LEAST = 10.0
"""Seconds after which the queues are looked at even if nothing is heard."""

LOADS = 2.0
"""Seconds between two looks at the hosts, whose loads are no events."""

AGAIN = 2.0
"""Seconds until a server that is away is asked again."""

LOGS = 1.0
"""Seconds between two looks at a log."""

TAIL = 200
"""Lines of a log that are kept."""

_BROKEN = (CupelError, ValueError)
"""What a server that is away, or ends in the midst of an answer, leads to."""


class Feed:
    """Two threads: one listens for events, one asks. `tell` is called with each new snapshot."""

    def __init__(self, connect: Callable[[], Client], tell: Callable[[Snapshot], None]) -> None:
        self._connect = connect
        self._tell = tell
        self._wake = threading.Event()
        self._news = threading.Event()
        self._over = threading.Event()
        self._wanted: int | None = None
        self._tail = Tail()
        self._snapshot = Snapshot(at=time.time())

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask while inside.

        Nobody waits for the threads to end: a server that is away may keep them for a while.
        """
        for work in (self._listen, self._ask):
            threading.Thread(target=work, daemon=True, name=work.__name__).start()
        try:
            yield
        finally:
            self._over.set()
            self._wake.set()

    def want_log(self, build: int | None) -> None:
        """Whose log is to be in the snapshots."""
        if build != self._wanted:
            self._wanted = build
            self._wake.set()

    def _listen(self) -> None:
        while not self._over.is_set():
            with suppress(*_BROKEN), self._connect() as client:
                for _ in client.events():
                    self._news.set()
                    self._wake.set()
            self._over.wait(AGAIN)

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                with self._connect() as client:
                    self._ask_on(client)
            except _BROKEN as error:
                self._snapshot = replace(self._snapshot, trouble=str(error).partition("\n")[0])
                self._tell(self._snapshot)
                self._over.wait(AGAIN)

    def _ask_on(self, client: Client) -> None:
        """Ask one server until it is away or nobody looks any more."""
        queues_at = hosts_at = -math.inf
        while not self._over.is_set():
            now = time.monotonic()
            if now >= self._queues_due(queues_at):
                self._news.clear()
                self._snapshot = look(client, self._snapshot)
                queues_at = now
            if now >= hosts_at + LOADS:
                hosts = tuple(client.hosts())
                self._snapshot = replace(self._snapshot, hosts=hosts)
                hosts_at = now
            log = self._tail.read(client, self._wanted)
            self._snapshot = replace(self._snapshot, log=log, trouble=None)
            self._tell(self._snapshot)
            logs_due = now + LOGS if self._wanted is not None else math.inf
            self._pause(queues_at, min(hosts_at + LOADS, logs_due))

    def _queues_due(self, queues_at: float) -> float:
        return queues_at + (AT_MOST if self._news.is_set() else AT_LEAST)

    def _pause(self, queues_at: float, others_due: float) -> None:
        """Until something is due; another log is at once."""
        wanted = self._wanted
        while not self._over.is_set() and self._wanted == wanted:
            left = min(self._queues_due(queues_at), others_due) - time.monotonic()
            if left <= 0:
                return
            self._wake.wait(left)
            self._wake.clear()


class Tail:
    """The end of a log, read on from where it was read last."""

    def __init__(self) -> None:
        self._build: int | None = None
        self._lines: deque[str] = deque(maxlen=TAIL)
        self._next = 0

    def read(self, client: Client, build: int | None) -> Log | None:
        if build is None:
            return None
        if build != self._build:
            first = max(0, (client.build(build).log_lines or 0) - TAIL)
            self._build, self._next = build, first
            self._lines.clear()
        for line in client.log(build, start=self._next):
            if line.continues and self._lines:
                self._lines[-1] += line.text
            else:
                self._lines.append(line.text)
            self._next = line.number + 1
        return Log(build=build, lines=tuple(self._lines))


def look(client: Client, before: Snapshot) -> Snapshot:
    """The server as it is now; hosts and log as they were."""
    return replace(before, at=time.time(), status=client.status(), queues=tuple(client.queues()))
