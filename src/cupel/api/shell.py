"""Shells and commands in the machines of builds, over a WebSocket.

The client's first message says what it wants (`Wish`, JSON). After it, binary messages are what is
typed, and JSON ones are `Told`. The server sends binary messages whose first byte is the stream, 1
or 2, and JSON ones: `{"began": …}`, `{"notice": …}`, `{"pong": …}`, `{"alive": true}` and, last,
`{"ended": …}`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated, Literal
from urllib.parse import urlsplit

import fastapi
import pydantic
import structlog
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from cupel.control import auth, visits
from cupel.control.auth import Principal, Scope, Unauthenticated
from cupel.control.context import Context
from cupel.control.visits import Company, Ended, News, Notice, Output, Visit
from cupel.errors import CupelError, Forbidden, UserError

log = structlog.get_logger(__name__)

router = fastapi.APIRouter(prefix="/api/builds", tags=["builds"])

FIRST_WORDS = 10.0
"""Seconds that a client gets to say what it wants."""

SILENCE = 60.0
"""Seconds without a word after which a client counts as gone. It pings if it has nothing to say."""

ALIVE = 20.0
"""Seconds after which the server says something, so as to learn that nobody is there any more."""

LARGEST = 1000
"""Rows or columns of a terminal."""

_STREAMS = {"out": b"\1", "err": b"\2"}

Extent = Annotated[int, pydantic.Field(ge=1, le=LARGEST)]


class TerminalWish(pydantic.BaseModel):
    """A terminal: its size in characters, and its kind, as `TERM` says it."""

    model_config = pydantic.ConfigDict(extra="forbid")

    rows: Extent = 24
    columns: Extent = 80
    term: Annotated[str, pydantic.Field(max_length=64, pattern=r"^[A-Za-z0-9._+-]*$")] = "xterm"


class Wish(pydantic.BaseModel):
    """What a client wants: a command, or a shell where there is none, perhaps at a terminal.

    With a `window`, no more than so many bytes are sent that it has not yet said to have `shown`:
    a browser takes whatever comes, and would keep it all. With `company` it hears who is there.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    command: Annotated[list[str], pydantic.Field(max_length=1000)] = []
    terminal: TerminalWish | None = None
    machine: Annotated[str, pydantic.Field(max_length=100)] = ""
    window: Annotated[int, pydantic.Field(ge=1 << 15, le=1 << 24)] | None = None
    company: bool = False


class Told(pydantic.BaseModel):
    """What a client says later: a new size, that nothing more will be typed, that it is there, and
    how many more bytes it has shown."""

    model_config = pydantic.ConfigDict(extra="forbid")

    resize: tuple[Extent, Extent] | None = None
    end: Literal[True] | None = None
    ping: int | None = None
    shown: Annotated[int, pydantic.Field(ge=0, le=1 << 30)] = 0


class Pace:
    """Lets no more bytes go than fit into the window of a client; without one, all of them."""

    def __init__(self, window: int | None) -> None:
        self._window = window
        self._under_way = 0
        self._shown = asyncio.Event()

    async def go(self, count: int) -> None:
        """Wait until so many bytes may go. A message larger than the window goes alone."""
        if self._window is None:
            return
        while self._under_way and self._under_way + count > self._window:
            self._shown.clear()
            await self._shown.wait()
        self._under_way += count

    def shown(self, count: int) -> None:
        self._under_way = max(self._under_way - count, 0)
        self._shown.set()


@router.websocket("/{id}/shell")
async def shell(websocket: WebSocket, id: int) -> None:
    cupel: Context = websocket.app.state.cupel
    try:
        principal = await _caller(cupel, websocket)
    except Forbidden as refused:
        status = 401 if isinstance(refused, Unauthenticated) else 403
        body = {"detail": refused.message, "hint": refused.hint, "status": status}
        await websocket.send_denial_response(JSONResponse(body, status_code=status))
        return
    await websocket.accept()
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await _serve(cupel, websocket, id, principal)


async def _caller(cupel: Context, websocket: WebSocket) -> Principal:
    """Who asks. A browser sends its cookie for any page: only one of ours may use it."""
    header = websocket.headers.get("authorization")
    cookie = websocket.cookies.get(auth.COOKIE)
    principal = await cupel.auth.verify(authorization=header, cookie=cookie)
    origin = websocket.headers.get("origin")
    if origin is not None and not _is_ours(cupel, websocket, origin):
        raise Forbidden(f"pages of {origin[:200]} may not open shells here")
    found = auth.require(principal, Scope.WRITE)
    if found.means is auth.Means.COOKIE and origin is None:
        raise Forbidden("a browser that opens a shell has to say for which page")
    return found


def _is_ours(cupel: Context, websocket: WebSocket, origin: str) -> bool:
    there = urlsplit(origin).netloc.lower()
    own = {websocket.headers.get("host", "").lower(), urlsplit(cupel.url).netloc.lower()}
    return bool(there) and there in own


async def _serve(cupel: Context, websocket: WebSocket, build: int, principal: Principal) -> None:
    try:
        async with asyncio.timeout(FIRST_WORDS):
            wish = _wish(await websocket.receive())
        visit = await cupel.visits.begin(build, _meant(wish), principal)
    except (CupelError, TimeoutError) as error:
        message = error.message if isinstance(error, CupelError) else "nothing was asked for"
        hint = error.hint if isinstance(error, CupelError) else None
        kind = type(error).__name__ if isinstance(error, CupelError) else "UserError"
        await _end(websocket, Ended(status=None, reason=message), hint=hint, error=kind)
        return
    try:
        await websocket.send_json({"began": {"build": build, "machine": visit.machine.id}})
        await _carry(websocket, visit, Pace(wish.window))
    finally:
        await asyncio.shield(cupel.visits.leave(visit))


def _wish(message: object) -> Wish:
    text = message.get("text") if isinstance(message, dict) else None
    try:
        return Wish.model_validate_json(text or "")
    except pydantic.ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(f"what is wanted cannot be read: {said}") from None


def _meant(wish: Wish) -> visits.Wish:
    terminal = wish.terminal
    return visits.Wish(
        argv=tuple(wish.command),
        size=None if terminal is None else (terminal.rows, terminal.columns),
        term="" if terminal is None else terminal.term,
        part=wish.machine,
        company=wish.company,
    )


async def _carry(websocket: WebSocket, visit: Visit, pace: Pace) -> None:
    """Carry both directions until the process ends or the client is gone."""
    async with asyncio.TaskGroup() as group:
        typing = group.create_task(_take(websocket, visit, pace))
        telling = group.create_task(_tell(websocket, visit, pace))
        await asyncio.wait({typing, telling}, return_when=asyncio.FIRST_COMPLETED)
        typing.cancel()
        telling.cancel()


async def _tell(websocket: WebSocket, visit: Visit, pace: Pace) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError, CupelError):
        while True:
            match await _next(visit):
                case None:
                    await websocket.send_json({"alive": True})
                case Output(stream=stream, data=data):
                    await pace.go(len(data))
                    await websocket.send_bytes(_STREAMS.get(stream, b"\1") + data)
                case Notice(text=text):
                    await websocket.send_json({"notice": text})
                case Company(users=users):
                    await websocket.send_json({"company": users})
                case Ended() as ended:
                    await _end(websocket, ended)
                    return


async def _next(visit: Visit) -> News | None:
    try:
        async with asyncio.timeout(ALIVE):
            return await visit.next()
    except TimeoutError:
        return None


async def _take(websocket: WebSocket, visit: Visit, pace: Pace) -> None:
    """What the client says, until it is gone."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError, CupelError, TimeoutError):
        while True:
            async with asyncio.timeout(SILENCE):
                message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if (data := message.get("bytes")) is not None:
                await visit.type(bytes(data))
            elif not await _obey(websocket, visit, pace, message.get("text") or ""):
                return


async def _obey(websocket: WebSocket, visit: Visit, pace: Pace, text: str) -> bool:
    """Whether it was something that a client may say."""
    try:
        told = Told.model_validate_json(text)
    except pydantic.ValidationError:
        log.info("a client of a shell was not understood", visit=visit.number)
        return False
    if told.resize is not None:
        await visit.resize(*told.resize)
    if told.end:
        await visit.close_input()
    pace.shown(told.shown)
    if told.ping is not None:
        await websocket.send_json({"pong": told.ping})
    return True


async def _end(
    websocket: WebSocket, ended: Ended, *, hint: str | None = None, error: str | None = None
) -> None:
    told = {"status": ended.status, "reason": ended.reason, "hint": hint, "error": error}
    await websocket.send_json({"ended": told})
    await websocket.close()
