"""A host as a process of its own: joins its server, and again whenever the connection is lost."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import json
import random
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
import websockets
from websockets.asyncio.client import ClientConnection, connect

from cupel.errors import CupelError, Forbidden, InfraError, UserError
from cupel.host import joining, messages
from cupel.host.agent import Agent
from cupel.host.joining import Join, Joined, Refused, Why
from cupel.host.wire import Socket, Wire

log = structlog.get_logger(__name__)

SHORTEST = 0.5
LONGEST = 15.0
"""Seconds between two attempts to reach the server: they double, and each is up to half less."""

OPENING = 10.0
"""Seconds that joining may take."""

TAKEN_SECONDS = 120.0
"""How long a host that has never been let in waits for another one of its name to go away."""

IDENTITY = "identity"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where a server is, and the token to join it with. Make it with `server`."""

    url: str
    token: str


def server(url: str, token: str, *, insecure: bool = False) -> Server:
    """Raises `UserError` for what is no URL, and for one that others could read along on."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
        raise UserError(f"{url!r} is not the URL of a server", hint="such as https://cupel.example")
    if parts.scheme == "http" and not insecure and not is_loopback(parts.hostname):
        raise UserError(
            f"{url} is not encrypted: anybody on the way could read the token and all sources",
            hint="put a proxy with TLS before the server and use https; --insecure, on a network "
            "where everybody may know and alter all of it",
        )
    if not token.strip() or not token.isascii():
        raise UserError(
            "a host needs a token",
            hint="`cupel token create --scope host NAME` on the server makes one; give it in "
            "CUPEL_HOST_TOKEN",
        )
    return Server(url=url.rstrip("/"), token=token.strip())


def is_loopback(name: str) -> bool:
    """Whether a URL's host is this computer, as far as can be told without asking anybody."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def identity(state: Path) -> str:
    """What tells this state directory from all others; made when there is none."""
    path = state / IDENTITY
    with contextlib.suppress(FileNotFoundError):
        kept = path.read_text().strip()
        if kept:
            return kept
    made = secrets.token_hex(16)
    fresh = path.with_suffix(".new")
    fresh.write_text(made + "\n")
    fresh.replace(path)
    return made


Open = Callable[[Server], Awaitable[Socket]]


class Remote:
    """Keeps `agent`, whose name is `name`, in the service of a server.

    `state` has what waits for a connection. `jitter` gives a number from 0 to 1, `now` is a clock
    that only goes forward, `open` makes a connection.
    """

    def __init__(
        self,
        agent: Agent,
        server: Server,
        *,
        name: str,
        state: Path,
        say: Callable[[str], None],
        open: Open | None = None,
        now: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._agent = agent
        self._server = server
        self._name = name
        self._state = state
        self._identity = identity(state)
        self._say = say
        self._said: str | None = None
        self._open = open or open_socket
        self._now = now
        self._jitter = jitter
        self._welcome_before = False
        self._lease = 0.0
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Let `run` end soon: the server is told, and no machine is left."""
        self._stopped.set()
        self._agent.stop()

    async def run(self) -> None:
        """Serve until stopped.

        Raises `UserError` or `Forbidden` when the server does not let this host in.
        """
        try:
            await self._run()
        finally:
            await self._agent.let_go()

    async def _run(self) -> None:
        while not self._stopped.is_set():
            wire = Wire(directory=self._state / "spool", now=self._now)
            try:
                socket, joined, since = await self._join_anew(wire)
            except _Stopped:
                return
            self._lease = joined.lease
            self._said = None
            self._say(f"host {self._name} serves {self._server.url}")
            self._welcome_before = True
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._serve(wire))
                    group.create_task(self._keep(wire, socket, joined, since))
            finally:
                wire.give_up("the host was stopped")

    async def _join_anew(self, wire: Wire) -> tuple[Socket, Joined, float]:
        """Begin a session. What is held of the one before waits for it no longer than a lease."""
        async with asyncio.TaskGroup() as group:
            expiring = group.create_task(self._agent.let_go(self._lease))
            joined = await self._caught(self._join(wire, None, by=float("inf")))
            expiring.cancel()
        if isinstance(joined, Exception):
            raise joined
        return joined

    @staticmethod
    async def _caught(
        joining: Coroutine[Any, Any, tuple[Socket, Joined, float]],
    ) -> tuple[Socket, Joined, float] | Exception:
        """Errors of a group of tasks come as groups; callers tell them apart by type."""
        try:
            return await joining
        except (CupelError, _Stopped) as error:
            return error

    async def _serve(self, wire: Wire) -> None:
        try:
            await self._agent.serve(wire)
        except InfraError as error:
            log.warning("the session is over", reason=str(error))
        finally:
            wire.close()

    async def _keep(self, wire: Wire, socket: Socket, joined: Joined, since: float) -> None:
        """Carry the session over one connection after the other, for as long as the lease lasts."""
        while True:
            await wire.carry(socket, joined.received, since=since)
            if wire.ended.is_set():
                return
            self._say(f"the connection to {self._server.url} is lost; builds go on")
            by = wire.known + joined.lease
            try:
                socket, joined, since = await self._join(wire, joined.session, by=by)
            except InfraError as error:
                wire.give_up(error.message)
                return
            self._said = None
            self._say("the connection is there again")

    async def _join(
        self, wire: Wire, session: str | None, *, by: float
    ) -> tuple[Socket, Joined, float]:
        """A connection on which the session goes on, and when it was asked for.

        Raises `InfraError` when it does not, at the latest at `by`.
        """
        pause, began = SHORTEST, self._now()
        while True:
            since = self._now()
            try:
                async with asyncio.timeout(max(min(OPENING, by - since), 0)):
                    return *await self._ask(wire, session), since
            except (InfraError, TimeoutError) as error:
                if isinstance(error, _Over) or self._now() + pause >= by:
                    raise InfraError(f"the lease is over: {_told(error)}") from error
                if isinstance(error, _Taken) and self._is_in_vain(began):
                    raise UserError(error.message, hint=error.hint) from error
                self._complain(f"cannot join {self._server.url}: {_told(error)}")
            await self._rest(pause * (1 - self._jitter() / 2))
            pause = min(pause * 2, LONGEST)

    def _complain(self, why: str) -> None:
        """Say why it does not go on, once until that changes."""
        if why != self._said:
            self._said = why
            self._say(f"{why}; trying again")

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
            raise _Stopped("the host was stopped")

    def _is_in_vain(self, began: float) -> bool:
        return not self._welcome_before and self._now() - began > TAKEN_SECONDS

    async def _ask(self, wire: Wire, session: str | None) -> tuple[Socket, Joined]:
        socket = await self._open(self._server)
        try:
            wish = Join(
                version=messages.VERSION,
                name=self._name,
                identity=self._identity,
                server=self._server.url,
                session=session,
                received=wire.received,
            )
            await socket.send(joining.encode(wish))
            answer = await socket.receive()
            if answer is None:
                raise InfraError("it hung up")
            return socket, _let_in(joining.decode_answer(answer))
        except BaseException:
            await socket.close()
            raise


class _Taken(InfraError):
    pass


class _Over(InfraError):
    pass


class _Stopped(InfraError):
    pass


def _let_in(answer: Joined | Refused) -> Joined:
    if isinstance(answer, Joined):
        return answer
    match answer.why:
        case Why.TAKEN:
            raise _Taken(answer.reason, hint=answer.hint)
        case Why.OVER:
            raise _Over(answer.reason, hint=answer.hint)
        case Why.VERSION | Why.NAME:
            raise UserError(answer.reason, hint=answer.hint)


def _told(error: Exception) -> str:
    return str(error) or "no answer"


async def open_socket(server: Server) -> Socket:
    """Connect. Raises `InfraError`, and `Forbidden` when the server refuses the token."""
    parts = urlsplit(server.url)
    local = is_loopback(parts.hostname or "")
    scheme = "wss" if parts.scheme == "https" else "ws"
    try:
        connection = await connect(
            f"{scheme}://{parts.netloc}{joining.PATH}",
            additional_headers={"Authorization": f"Bearer {server.token}"},
            user_agent_header=None,
            compression=None,
            max_size=1 << 20,
            max_queue=4,
            ping_interval=None,  # the link keeps itself alive, and knows when it is not
            close_timeout=1.0,
            open_timeout=None,
            proxy=None if local else True,
        )
    except websockets.InvalidStatus as refused:
        raise _refusal(refused) from refused
    except ConnectionRefusedError as error:
        raise InfraError("nobody listens there") from error
    except (OSError, websockets.WebSocketException, ssl.SSLError) as error:
        raise InfraError(str(error) or type(error).__name__) from error
    return _Connected(connection)


def _refusal(refused: websockets.InvalidStatus) -> Exception:
    response = refused.response
    if response.status_code not in {401, 403}:
        return InfraError(f"it answered with status {response.status_code}")
    said = {}
    with contextlib.suppress(ValueError):
        said = json.loads(response.body or b"{}")
    reason = str(said.get("reason") or "the server does not accept the token")
    return Forbidden(reason, hint="`cupel token create --scope host NAME` makes a token for hosts")


class _Connected:
    """A WebSocket of the host's end."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, data: bytes) -> None:
        try:
            await self._connection.send(data)
        except websockets.WebSocketException as error:
            raise InfraError("the connection has ended") from error

    async def receive(self) -> bytes | None:
        try:
            data = await self._connection.recv(decode=False)
        except websockets.ConnectionClosed:
            return None
        return bytes(data)

    async def close(self) -> None:
        await self._connection.close()
