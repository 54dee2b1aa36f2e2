"""A process in a machine, from here: what is typed goes there, what it writes comes here."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import ssl
import sys
import termios
import threading
import tty
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

import websockets
from websockets.asyncio.client import ClientConnection, connect

from cupel import errors
from cupel.directory import Address, is_local
from cupel.errors import Conflict, CupelError, Forbidden, InfraError, NotFound, UserError

PIECE = 32 << 10
PING = 15.0
"""Seconds between two signs of life: the server gives up a client that is silent for a minute."""

ESCAPE = b"~"
"""At the beginning of a line, with a dot after it, this ends the shell; twice, it types one."""

_ERRORS: Mapping[str, type[CupelError]] = {
    each.__name__: each for each in (NotFound, Conflict, Forbidden, UserError, InfraError)
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to start in the machine of a build: a command, or a shell where there is none."""

    build: int
    command: Sequence[str] = ()
    machine: str = ""
    at_terminal: bool = False


class Ends(Protocol):
    """What a visit is connected to here."""

    def typed(self) -> AsyncIterator[bytes]:
        """What goes to the process's stdin."""
        ...

    async def show(self, stream: int, data: bytes) -> None:
        """What it wrote: 1 is stdout, 2 is stderr."""
        ...

    def notice(self, text: str) -> None: ...


async def visit(address: Address, wish: Wish, ends: Ends) -> int:
    """Carry the visit until it ends; its exit status, as a shell would say it.

    Raises the error that the server says, and `InfraError` when the connection is lost.
    """
    async with _connected(address, wish.build) as socket:
        await socket.send(json.dumps(_asked(wish)))
        async with asyncio.TaskGroup() as group:
            telling = [
                group.create_task(_type(socket, ends)),
                group.create_task(_live(socket)),
            ]
            if wish.at_terminal:
                telling.append(group.create_task(_follow_size(socket)))
            try:
                return await _hear(socket, ends)
            finally:
                for task in telling:
                    task.cancel()


def _asked(wish: Wish) -> dict[str, Any]:
    terminal = None
    if wish.at_terminal:
        rows, columns = _size()
        term = os.environ.get("TERM", "xterm")
        terminal = {"rows": rows, "columns": columns, "term": term}
    return {"command": list(wish.command), "machine": wish.machine, "terminal": terminal}


def _size() -> tuple[int, int]:
    """Rows and columns of our terminal; the usual ones where its size is not known."""
    try:
        size = os.get_terminal_size()
    except OSError:
        return 24, 80
    return size.lines or 24, size.columns or 80


@contextlib.asynccontextmanager
async def _connected(address: Address, build: int) -> AsyncIterator[ClientConnection]:
    parts = urlsplit(address.url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
    try:
        connection = await connect(
            f"{scheme}://{parts.netloc}{parts.path}/api/builds/{build}/shell",
            additional_headers=headers,
            compression=None,
            max_size=1 << 20,
            max_queue=4,
            ping_interval=None,
            close_timeout=1.0,
            proxy=None if is_local(address.url) else True,
        )
    except websockets.InvalidStatus as refused:
        raise _refusal(address, refused) from refused
    except (OSError, websockets.WebSocketException, ssl.SSLError) as error:
        raise InfraError(f"no Cupel answers at {address.url}: {error}") from error
    try:
        yield connection
    finally:
        await connection.close()


def _refusal(address: Address, refused: websockets.InvalidStatus) -> CupelError:
    response = refused.response
    said: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        said = json.loads(response.body or b"{}")
    if response.status_code == 401:
        return Forbidden(
            f"the server refuses: {said.get('detail')}",
            hint="say a valid token with --token or CUPEL_TOKEN",
        )
    if response.status_code == 403:
        return Forbidden(str(said.get("detail")), hint=said.get("hint"))
    return InfraError(
        f"{address.url} opens no shells: it answered with status {response.status_code}",
        hint="is the server as new as this command, and does a proxy before it pass WebSockets on?",
    )


async def _hear(socket: ClientConnection, ends: Ends) -> int:
    try:
        async for message in socket:
            if isinstance(message, bytes):
                await ends.show(message[0], message[1:])
                continue
            told = json.loads(message)
            if "notice" in told:
                ends.notice(str(told["notice"]))
            elif "ended" in told:
                return _status(told["ended"])
    except websockets.ConnectionClosed:
        pass
    raise InfraError("the connection to the server is lost", hint="what ran there was hung up on")


def _status(ended: Mapping[str, Any]) -> int:
    status = ended["status"]
    if status is None:
        kind = _ERRORS.get(ended.get("error") or "", InfraError)
        raise kind(str(ended.get("reason")), hint=ended.get("hint"))
    return int(status) if status >= 0 else 128 - int(status)


async def _type(socket: ClientConnection, ends: Ends) -> None:
    with contextlib.suppress(websockets.ConnectionClosed):
        async for data in ends.typed():
            for at in range(0, len(data), PIECE):
                await socket.send(data[at : at + PIECE])
        await socket.send(json.dumps({"end": True}))


async def _live(socket: ClientConnection) -> None:
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            await asyncio.sleep(PING)
            await socket.send(json.dumps({"ping": 1}))


async def _follow_size(socket: ClientConnection) -> None:
    """Tell each new size of our terminal."""
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, changed.set)
    try:
        while True:
            await changed.wait()
            changed.clear()
            with contextlib.suppress(websockets.ConnectionClosed):
                await socket.send(json.dumps({"resize": list(_size())}))
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


class Standard:
    """Our own stdin, stdout and stderr. At a terminal, `~.` at the beginning of a line leaves."""

    def __init__(self, *, at_terminal: bool, leave: Callable[[], None]) -> None:
        self._at_terminal = at_terminal
        self._leave = leave

    async def typed(self) -> AsyncIterator[bytes]:
        escapes = Escapes()
        async for data in reading(sys.stdin.fileno()):
            if not self._at_terminal:
                yield data
                continue
            rest, wants_out = escapes.feed(data)
            if wants_out:
                self._leave()
                return
            if rest:
                yield rest

    async def show(self, stream: int, data: bytes) -> None:
        target = sys.stderr if stream == 2 else sys.stdout
        await asyncio.to_thread(_write_all, target.fileno(), data)

    def notice(self, text: str) -> None:
        end = b"\r\n" if self._at_terminal else b"\n"
        _write_all(sys.stderr.fileno(), end + f"[cupel] {text}".encode() + end)


class Escapes:
    """Finds `~.` at the beginnings of lines in what is typed."""

    def __init__(self) -> None:
        self._begins = True
        self._tilde = False

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What is to be sent, and whether somebody wants to leave."""
        sent = bytearray()
        for byte in data:
            if self._tilde:
                self._tilde = False
                if byte == ord("."):
                    return bytes(sent), True
                if byte != ord(ESCAPE):
                    sent += ESCAPE
                sent.append(byte)
                self._begins = byte in b"\r\n"
            elif self._begins and byte == ord(ESCAPE):
                self._tilde = True
            else:
                sent.append(byte)
                self._begins = byte in b"\r\n"
        return bytes(sent), False


async def reading(descriptor: int) -> AsyncIterator[bytes]:
    """What is read from a file of any kind, until its end.

    By a thread that may stay behind in a read: nothing waits for it.
    """
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[bytes] = asyncio.Queue()
    wanted = threading.Semaphore(4)

    def read() -> None:
        data = b"-"
        with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: the loop is closed
            while data:
                wanted.acquire()
                data = os.read(descriptor, PIECE)
                loop.call_soon_threadsafe(pieces.put_nowait, data)
            return
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(pieces.put_nowait, b"")

    threading.Thread(target=read, daemon=True).start()
    while data := await pieces.get():
        yield data
        wanted.release()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@contextlib.contextmanager
def raw() -> Iterator[None]:
    """Let every key go to the machine: none does anything here."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def carry(address: Address, wish: Wish, ends: Ends) -> int:
    """The visit with these ends; its exit status."""
    try:
        return asyncio.run(visit(address, wish, ends))
    except ExceptionGroup as group:
        raise next(_known(group), group) from None


def stand_at(address: Address, wish: Wish) -> int:
    """Visit with our own terminal, or our own pipes; the exit status."""
    try:
        with raw() if wish.at_terminal else contextlib.nullcontext():
            return asyncio.run(_stand_at(address, wish))
    except ExceptionGroup as group:
        raise next(_known(group), group) from None


async def _stand_at(address: Address, wish: Wish) -> int:
    here = asyncio.current_task()
    assert here is not None
    left = False

    def leave() -> None:
        nonlocal left
        left = True
        here.cancel()

    ends = Standard(at_terminal=wish.at_terminal, leave=leave)
    try:
        return await visit(address, wish, ends)
    except asyncio.CancelledError:
        if not left:
            raise
        ends.notice("left; what ran there was hung up on")
        return 0


def _known(group: BaseExceptionGroup[Any]) -> Iterator[errors.CupelError]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _known(each)
        elif isinstance(each, errors.CupelError):
            yield each
