"""A transport over connections that come and go: a `Link` and what moves its messages."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, assert_never

from cupel.errors import InfraError
from cupel.host import link
from cupel.host.link import Link
from cupel.host.spool import Spool

MOST = 64 << 20
"""Bytes that wait, on the disk, for a connection; whoever writes more waits for one too."""

PING_SECONDS = 2.0
SILENCE = 10.0
"""Seconds without a sign of life after which a connection counts as lost."""


FAREWELL = 5.0
"""Seconds that what was written before a close gets to be sent."""


class Socket(Protocol):
    """A connection that carries messages whole. All three may raise `InfraError` at its end."""

    async def send(self, data: bytes) -> None:
        """Send once there is room."""
        ...

    async def receive(self) -> bytes | None:
        """The next message; None at the end."""
        ...

    async def close(self) -> None: ...


class Wire:
    """The transport of one session, which `carry` moves over one connection after the other.

    `directory` is for what does not fit into memory while there is no connection; `most` bytes of
    it are kept. `now` is a clock that only goes forward.
    """

    def __init__(
        self,
        *,
        directory: Path | None = None,
        most: int = MOST,
        window: int = link.WINDOW,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = Link(Spool(directory), window=window)
        self._most = most
        self._now = now
        self._attached = False
        self._failed: str | None = None
        self._over = False
        self._closing = False
        self._closes_by = float("inf")
        self._pings = 0
        self._unanswered: dict[int, float] = {}
        self._next_ping = now()
        self._pong: int | None = None
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._more = asyncio.Event()
        self.ended = asyncio.Event()
        """Set once nothing more will be carried."""
        self.heard = now()
        """When the other end was last heard."""
        self.known = now()
        """When that was sent which the other end is known to have heard: not later than it did."""

    @property
    def received(self) -> int:
        return self._link.received

    @property
    def attached(self) -> bool:
        """Whether there is a connection."""
        return self._attached

    async def read(self) -> bytes:
        """As a transport does. Raises `InfraError` when the session was given up, saying why."""
        await self._readable.wait()
        data = self._link.read()
        self._more.set()
        if not self._over and not self._closing:
            self._readable.clear()
        elif not data and self._failed is not None:
            raise InfraError(self._failed)
        return data

    async def write(self, data: bytes) -> None:
        if self._over or self._closing or not data:
            return
        self._link.write(data)
        self._more.set()
        self._pace()
        await self._writable.wait()

    def close(self) -> None:
        """End the session; what was written is still sent, if there is a connection."""
        self._closing = True
        self._closes_by = self._now() + FAREWELL
        self._readable.set()
        self._writable.set()
        self._more.set()
        if not self._attached:
            self._finish()

    def give_up(self, reason: str) -> None:
        """End the session without more ado: whoever reads is told the reason."""
        if not self._over:
            self._failed = reason
            self._finish()

    async def carry(self, socket: Socket, received: int, *, since: float | None = None) -> None:
        """Move messages until the connection ends, on which the other end has `received` so much.

        `since` is when the connection was asked for, which the other end has heard. When it breaks
        the rules, the session ends too.
        """
        if since is not None:
            self.known = max(self.known, since)
        self._attached, self.heard = True, self._now()
        self._unanswered.clear()
        try:
            self._link.begin(received)
            self._pace()
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(each)
                    for each in (self._send(socket), self._receive(socket), self._watch())
                ]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
        except* InfraError as broken:
            self.give_up(str(broken.exceptions[0]))
        finally:
            self._attached = False
            self._pace()
            if self._closing:
                self._finish()
            with contextlib.suppress(InfraError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await socket.close()

    async def _send(self, socket: Socket) -> None:
        while True:
            message = self._next()
            if message is None:
                await self._more.wait()
                self._more.clear()
                continue
            if not await _delivered(socket, link.encode(message)):
                return
            if isinstance(message, link.End):
                self._finish()
                return

    def _next(self) -> link.Message | None:
        if self._failed is not None:
            return link.End(self._failed)
        if self._pong is not None:
            pong, self._pong = link.Pong(self._pong), None
            return pong
        if self._now() >= self._next_ping:
            return self._ping()
        found = self._link.next()
        if found is None and self._closing and self._link.idle:
            return link.End("it went away")
        return found

    def _ping(self) -> link.Ping:
        self._pings += 1
        self._unanswered[self._pings] = self._now()
        self._next_ping = self._now() + PING_SECONDS
        return link.Ping(self._pings)

    async def _receive(self, socket: Socket) -> None:
        while (data := await _next_from(socket)) is not None:
            self.heard = self._now()
            if not self._take(link.decode(data)):
                return

    def _take(self, message: link.Message) -> bool:
        """Whether there may be more."""
        match message:
            case link.Data():
                self._link.take(message)
                self._readable.set()
            case link.Confirmed(count):
                self._link.confirm(count)
                self._pace()
            case link.Ping(number):
                self._pong = number
            case link.Pong(number):
                self._hear_pong(number)
            case link.End():
                self._finish()
                return False
            case _:
                assert_never(message)
        self._more.set()
        return True

    def _hear_pong(self, number: int) -> None:
        at = self._unanswered.pop(number, None)
        if at is not None:
            self.known = max(self.known, at)

    async def _watch(self) -> None:
        """Ends when the other end is silent, or takes too long to hear the last words."""
        while self._now() - self.heard < SILENCE and self._now() < self._closes_by:
            self._more.set()
            await asyncio.sleep(PING_SECONDS / 2)

    def _pace(self) -> None:
        """Let writers go on while there is room: on its way, or on the disk."""
        full = self._link.crowded if self._attached else self._link.unconfirmed >= self._most
        if full and not self._over and not self._closing:
            self._writable.clear()
        else:
            self._writable.set()

    def _finish(self) -> None:
        self._over = True
        self._link.close()
        self._readable.set()
        self._writable.set()
        self._more.set()
        self.ended.set()


async def _delivered(socket: Socket, data: bytes) -> bool:
    try:
        await socket.send(data)
    except InfraError:
        return False
    return True


async def _next_from(socket: Socket) -> bytes | None:
    try:
        return await socket.receive()
    except InfraError:
        return None
