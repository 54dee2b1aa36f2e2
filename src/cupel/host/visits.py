"""People's processes in machines: shells and commands, beside what a build runs there.

No more of what such a process writes is sent than the server has asked for, so one that prints
without end waits, and its host with it neither fills its memory nor its line to the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

from cupel import logger
from cupel.errors import CupelError, InfraError
from cupel.host import messages
from cupel.host.messages import (
    ToServer,
    Visit,
    VisitEnded,
    VisitInput,
    VisitOutput,
    VisitRoom,
    VisitSize,
    VisitTaken,
)
from cupel.host.providers import interface
from cupel.host.providers.interface import Machine, Size, Talk

log = logger.of(__name__)

SHELL = ("/bin/bash", "-i")
PIECE = 32 << 10
"""Bytes in one message: what else the host has to say waits behind no more than this."""

GRACE = 2.0
"""Seconds that what was hung up on gets to end by itself."""

Start = Callable[[Coroutine[Any, Any, None]], None]
"""Has work done beside what else the host does."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a visit goes: a machine, and the variables and the directory of its steps."""

    machine: Machine
    env: Mapping[str, str]
    cwd: str


class Host(Protocol):
    """A machine that can be visited."""

    async def place(self) -> Place:
        """Once its build's sources are there. Raises `InfraError` if they will not be."""
        ...


class Visits:
    """All visits of one session with a server."""

    def __init__(self, send: Callable[[ToServer], Awaitable[None]]) -> None:
        self._send = send
        self._visits: dict[int, _Visit] = {}

    def begin(self, wish: Visit, host: Host | None, start: Start) -> None:
        """Let somebody in; how that ends is told, also when it is not possible."""
        visit = _Visit(wish, self._send)
        self._visits[wish.visit] = visit
        start(self._live(visit, host))

    async def _live(self, visit: _Visit, host: Host | None) -> None:
        try:
            ended = await visit.live(host)
        finally:
            del self._visits[visit.number]
        await self._send(ended)

    def take(self, message: VisitInput | VisitSize | VisitRoom) -> None:
        """What comes for a visit that has ended is late, and means nothing."""
        visit = self._visits.get(message.visit)
        if visit is not None:
            visit.take(message)

    def leave(self, number: int) -> None:
        if number in self._visits:
            self._visits[number].left.set()

    def leave_all(self) -> None:
        for number in tuple(self._visits):
            self.leave(number)


class _Visit:
    """One person's process. What is typed waits here, as far as there was room for it."""

    def __init__(self, wish: Visit, send: Callable[[ToServer], Awaitable[None]]) -> None:
        self.number = wish.visit
        self.left = asyncio.Event()
        self._wish = wish
        self._send = send
        self._typed: asyncio.Queue[VisitInput | VisitSize] = asyncio.Queue()
        self._room = messages.VISIT_WINDOW
        self._more_room = asyncio.Event()

    def take(self, message: VisitInput | VisitSize | VisitRoom) -> None:
        if isinstance(message, VisitRoom):
            self._room += message.count
            self._more_room.set()
        else:
            self._typed.put_nowait(message)

    async def live(self, host: Host | None) -> VisitEnded:
        """The whole visit; how it ended."""
        try:
            if host is None:
                raise InfraError("there is no such machine here")
            place = await self._unless_left(host.place())
            if place is None:
                return VisitEnded(visit=self.number, status=None, reason="left")
            talk = await self._begin(place)
        except CupelError as error:
            return VisitEnded(visit=self.number, status=None, reason=str(error))
        try:
            return await self._carry(talk)
        finally:
            await talk.hang_up()

    async def _begin(self, place: Place) -> Talk:
        wish = self._wish
        size = None
        if wish.rows is not None and wish.columns is not None:
            size = Size(wish.rows, wish.columns)
        env = {**place.env, **dict(wish.env)}
        return await place.machine.talk(wish.argv or SHELL, env=env, cwd=place.cwd, size=size)

    async def _carry(self, talk: Talk) -> VisitEnded:
        """Carry what is typed and what is written until the process ends."""
        async with asyncio.TaskGroup() as group:
            typing = group.create_task(_quietly(self._type(talk)))
            leaving = group.create_task(self._hang_up(talk))
            try:
                async with interface.closing(talk.output()) as output:
                    await self._tell(output)
                status, reason = await talk.wait(), None
            except InfraError as error:
                status, reason = None, error.message
            typing.cancel()
            leaving.cancel()
        return VisitEnded(visit=self.number, status=status, reason=reason)

    async def _tell(self, output: AsyncIterator[tuple[interface.Stream, bytes]]) -> None:
        async for stream, data in output:
            at = 0
            while at < len(data) and not self.left.is_set():
                if self._room <= 0:
                    self._more_room.clear()
                    await self._more_room.wait()
                    continue
                piece = data[at : at + min(PIECE, self._room)]
                at += len(piece)
                self._room -= len(piece)
                await self._send(VisitOutput(visit=self.number, stream=stream.value, data=piece))

    async def _type(self, talk: Talk) -> None:
        while True:
            match await self._typed.get():
                case VisitSize(rows=rows, columns=columns):
                    await talk.resize(Size(rows, columns))
                case VisitInput(data=b""):
                    await talk.close_input()
                case VisitInput(data=data):
                    await talk.write(data)
                    await self._send(VisitTaken(visit=self.number, count=len(data)))

    async def _hang_up(self, talk: Talk) -> None:
        """Once nobody is there any more, end the process, if need be by force."""
        await self.left.wait()
        self._more_room.set()
        await talk.hang_up()
        await asyncio.sleep(GRACE)
        with contextlib.suppress(InfraError):
            await talk.kill()

    async def _unless_left(self, work: Coroutine[Any, Any, Place]) -> Place | None:
        async with asyncio.TaskGroup() as group:
            working = group.create_task(_caught(work))
            leaving = group.create_task(self.left.wait())
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            working.cancel()
            leaving.cancel()
        if working.cancelled():
            return None
        found = working.result()
        if isinstance(found, CupelError):
            raise found
        return found


async def _caught(work: Coroutine[Any, Any, Place]) -> Place | CupelError:
    """Errors of a group of tasks come as groups; callers tell them apart by type."""
    try:
        return await work
    except CupelError as error:
        return error


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    """A machine that is gone takes what was typed with it; its end is told by who reads."""
    with contextlib.suppress(InfraError):
        await work
