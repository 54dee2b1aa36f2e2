"""The door for hosts that are processes of their own: sessions that outlive their connections."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets
import time
from collections.abc import Callable

import structlog
from starlette.responses import JSONResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from cupel.control import auth as authentication
from cupel.control.auth import Auth, Scope
from cupel.control.hosts import Hosts
from cupel.control.session import HEARTBEAT
from cupel.errors import Forbidden, InfraError, UserError
from cupel.host import joining, messages
from cupel.host.joining import Join, Joined, Refused, Why
from cupel.host.wire import Socket, Wire

log = structlog.get_logger(__name__)

FIRST_WORDS = 10.0
"""Seconds that a host gets to say what it wants."""

DOUBT = 3.0
"""Seconds without a connection after which a host is given nothing more."""

LOOKS = 0.5
"""Seconds between two looks at whether a lease has ended."""


@dataclasses.dataclass(slots=True)
class _Session:
    """A host that has joined. `socket` is what carries it, if something does."""

    key: str
    join: Join
    wire: Wire
    over: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    carrying: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)
    socket: Socket | None = None


class Remote:
    """All hosts that came by themselves. One of which nothing is heard for `lease` seconds is lost.

    `now` is a clock that only goes forward.
    """

    def __init__(
        self,
        hosts: Hosts,
        auth: Auth,
        *,
        lease: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hosts = hosts
        self._auth = auth
        self._lease = lease
        self._now = now
        self._sessions: dict[str, _Session] = {}
        """By name."""
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Keep sessions alive, until cancelled; hosts are let in only meanwhile."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None

    def route(self) -> WebSocketRoute:
        return WebSocketRoute(joining.PATH, self._answer)

    async def _answer(self, websocket: WebSocket) -> None:
        try:
            header = websocket.headers.get("authorization")
            principal = await self._auth.verify(authorization=header)
            authentication.require(principal, Scope.HOST)
        except Forbidden as refused:
            status = 401 if isinstance(refused, authentication.Unauthenticated) else 403
            body = {"reason": refused.message, "hint": refused.hint}
            await websocket.send_denial_response(JSONResponse(body, status_code=status))
            return
        await websocket.accept()
        socket = _Accepted(websocket)
        try:
            async with asyncio.timeout(FIRST_WORDS):
                first = await socket.receive()
            if first is not None:
                await self.join(socket, joining.decode_join(first))
        except (InfraError, TimeoutError) as error:
            log.warning("a host was turned away", error=str(error) or "it said nothing")
            await socket.close()

    async def join(self, socket: Socket, join: Join) -> None:
        """Carry the host's session for as long as the connection lasts, or say why not."""
        found = await self._admit(join)
        if isinstance(found, Refused):
            await socket.send(joining.encode(found))
            await socket.close()
            return
        if found.socket is not None:  # one that the host has given up already
            await found.socket.close()
        async with found.carrying:
            if found.over.is_set():
                await socket.send(joining.encode(_OVER))
                await socket.close()
                return
            found.socket = socket
            received = found.wire.received
            answer = Joined(session=found.key, received=received, lease=self._lease)
            await socket.send(joining.encode(answer))
            await found.wire.carry(socket, join.received)

    async def _admit(self, join: Join) -> _Session | Refused:
        if join.version != messages.VERSION:
            return Refused(
                why=Why.VERSION,
                reason=f"host {join.name} speaks version {join.version} of the protocol",
                hint=f"this server speaks version {messages.VERSION}: install the same Cupel",
            )
        try:
            joining.check_name(join.name)
        except UserError as error:
            return Refused(why=Why.NAME, reason=error.message, hint=error.hint)
        known = self._sessions.get(join.name)
        if join.session is not None:
            is_it = known is not None and known.key == join.session
            return known if is_it and known is not None else _OVER
        if known is not None and known.join.identity != join.identity:
            return self._taken(join.name, known)
        if known is not None:
            known.wire.give_up("it started anew")
            await known.over.wait()
        elif self._hosts.knows(join.name):
            return _taken(join.name, "the server's own host has that name")
        return self._begin(join)

    def _taken(self, name: str, known: _Session) -> Refused:
        if known.wire.attached:
            return _taken(name, f"a host called {name} is connected already")
        ends = max(self._lease - (self._now() - known.wire.heard), 0)
        return _taken(name, f"another host called {name} may come back for {ends:.0f} s")

    def _begin(self, join: Join) -> _Session | Refused:
        if self._group is None or join.name in self._sessions:
            return _taken(join.name, "the server is starting, stopping, or about to let it in")
        session = _Session(key=secrets.token_hex(16), join=join, wire=Wire(now=self._now))
        self._sessions[join.name] = session
        self._group.create_task(self._live(session), name=f"host {join.name}")
        return session

    async def _live(self, session: _Session) -> None:
        patience = self._lease + 3 * HEARTBEAT
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch(session))
                await self._hosts.serve(
                    session.wire,
                    name=session.join.name,
                    url=session.join.server,
                    patience=patience,
                )
                watching.cancel()
        finally:
            session.wire.give_up("its session is over")
            session.over.set()
            del self._sessions[session.join.name]

    async def _watch(self, session: _Session) -> None:
        """End the session when its lease does."""
        doubted = False
        while (left := session.wire.heard + self._lease - self._now()) > 0:
            if session.wire.attached:
                doubted = False
            elif not doubted and self._now() - session.wire.heard > DOUBT:
                doubted = True
                await self._doubt(session)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, LOOKS)):
                    await session.wire.ended.wait()
                return
        session.wire.give_up(f"nothing was heard of it for {self._lease:g} s")

    async def _doubt(self, session: _Session) -> None:
        try:
            await self._hosts.doubt(session.join.name, "the connection to it is lost")
        except InfraError as error:
            log.warning("cannot tell that a host is out of reach", error=error.message)


_OVER = Refused(why=Why.OVER, reason="the session is over: its lease has ended")


def _taken(name: str, reason: str) -> Refused:
    hint = f"give this host another name than {name}, or stop the other one"
    return Refused(why=Why.TAKEN, reason=reason, hint=hint)


class _Accepted:
    """A WebSocket of the server's end."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def send(self, data: bytes) -> None:
        try:
            await self._websocket.send_bytes(data)
        except (WebSocketDisconnect, RuntimeError) as error:
            raise InfraError("the connection has ended") from error

    async def receive(self) -> bytes | None:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        data = message.get("bytes")
        if data is None:
            raise InfraError("the other end broke the protocol: it sent text")
        return bytes(data)

    async def close(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await self._websocket.close()
