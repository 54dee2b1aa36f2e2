"""The agent's end of the port to a guest: orders in, output and exit statuses out.

The guest's end may belong to whoever is root there. What comes is checked: a guest that breaks the
rules is hung up on.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

from cupel.errors import InfraError
from cupel.host.providers.interface import Size, Stream, Usage
from cupel.host.providers.vm.guest import frames
from cupel.host.providers.vm.guest.frames import Kind

_STREAMS = {Kind.OUT: Stream.OUT, Kind.ERR: Stream.ERR}


class Port:
    """One guest. `gone` says why, once it is."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._decoder = frames.Decoder()
        self._sending = asyncio.Lock()
        self._processes: dict[int, VmProcess] = {}
        self._number = 0
        self._hello: asyncio.Future[Mapping[str, Any]] = self._loop.create_future()
        self._renewed: asyncio.Future[None] = self._loop.create_future()
        self._laid: asyncio.Future[str | None] = self._loop.create_future()
        self._used = Usage()
        self._before = 0.0
        """Seconds of cpu that the guest's template has used."""
        self.gone: str | None = None
        self._loop.add_reader(sock, self._read)

    @property
    def usage(self) -> Usage:
        """What was used, since it was renewed, when the last output ended."""
        cpu = self._used.cpu_seconds
        if cpu is None:
            return self._used
        return dataclasses.replace(self._used, cpu_seconds=max(cpu - self._before, 0.0))

    async def hello(self) -> Mapping[str, Any]:
        """What the guest says of itself, once it stands."""
        return await self._hello

    async def renew(self, order: Mapping[str, Any]) -> None:
        """Make the guest differ from others of the same template."""
        self._renewed = self._loop.create_future()
        await self.send(frames.order(Kind.RENEW, 0, order))
        await self._renewed

    async def lay(self, name: str, paths: Sequence[str]) -> str | None:
        """Have the guest lay what is on a disk over paths; why that can't be done, if so."""
        self._laid = self._loop.create_future()
        await self.send(frames.order(Kind.LAY, 0, (name, tuple(paths))))
        return await self._laid

    async def exec(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        pids: int,
        stdin: bool,
        size: Size | None = None,
    ) -> VmProcess:
        self._number += 1
        process = VmProcess(self, self._number, at_terminal=size is not None)
        self._processes[process.number] = process
        order = {"argv": list(argv), "env": dict(env), "cwd": cwd, "pids": pids, "stdin": stdin}
        if size is not None:
            order["terminal"] = (size.rows, size.columns)
        try:
            await self.send(frames.order(Kind.EXEC, process.number, order))
        except BaseException:
            self._processes.pop(process.number, None)
            raise
        return process

    async def send(self, data: bytes) -> None:
        async with self._sending:
            if self.gone is not None:
                raise InfraError(f"the machine is gone: {self.gone}")
            try:
                await self._loop.sock_sendall(self._sock, data)
            except OSError as error:
                self.close(f"it does not answer: {error}")
                raise InfraError(f"the machine is gone: {self.gone}") from error

    def _read(self) -> None:
        try:
            data = self._sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as error:
            self.close(str(error))
            return
        if not data:
            self.close("it ended")
            return
        try:
            for kind, number, content in self._decoder.feed(data):
                self._hear(kind, number, content)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self.close(f"its agent breaks the rules: {error}")

    def _hear(self, kind: Kind, number: int, content: bytes) -> None:
        match kind:
            case Kind.HELLO:
                _resolve(self._hello, dict(json.loads(content)))
            case Kind.RENEWED:
                self._before = self._used.cpu_seconds or 0.0
                _resolve(self._renewed, None)
            case Kind.LAID:
                why = json.loads(content)["why"]
                _resolve(self._laid, None if why is None else str(why))
            case Kind.REFUSED if not self._renewed.done():
                why = json.loads(content)["why"]
                self._renewed.set_exception(InfraError(f"the machine can't be renewed: {why}"))
            case Kind.USED:
                self._used = _usage(content)
            case Kind.OUT | Kind.ERR | Kind.MORE | Kind.ENDED | Kind.CLOSED:
                if (process := self._processes.get(number)) is not None:
                    self._hear_of(process, kind, content)
            case _:
                raise ValueError(f"a frame of kind {kind.name}")

    def _hear_of(self, process: VmProcess, kind: Kind, content: bytes) -> None:
        match kind:
            case Kind.MORE:
                process.grant(int(content))
            case Kind.ENDED:
                process.end(int(content))
            case Kind.CLOSED:
                del self._processes[process.number]
                process.close()
            case _:
                process.hear(_STREAMS[kind], content)

    def close(self, why: str) -> None:
        """Hang up, and let everything that waits know `why`."""
        if self.gone is not None:
            return
        self.gone = why
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for future in (self._hello, self._renewed, self._laid):
            if not future.done():
                future.set_exception(InfraError(f"the machine is gone: {why}"))
                future.exception()  # it may be that nobody waits for it
        for process in self._processes.values():
            process.end(None)
            process.close()
        self._processes.clear()


class VmProcess:
    """See `interface.Talk`. Output waits here as far as the guest was given room for it."""

    def __init__(self, port: Port, number: int, *, at_terminal: bool = False) -> None:
        self.number = number
        self._at_terminal = at_terminal
        self._port = port
        self._pieces: collections.deque[tuple[Stream, bytes]] = collections.deque()
        self._waiting = 0
        self._news = asyncio.Event()
        self._ended = asyncio.Event()
        self._status: int | None = None
        self._closed = False
        self._read = True
        self._credit = frames.WINDOW
        self._credited = asyncio.Event()

    def hear(self, stream: Stream, data: bytes) -> None:
        if not self._read:
            return
        self._waiting += len(data)
        if self._waiting > frames.WINDOW:
            raise ValueError("more output than there is room for")
        self._pieces.append((stream, data))
        self._news.set()

    def grant(self, count: int) -> None:
        self._credit = min(self._credit + max(count, 0), frames.WINDOW)
        self._credited.set()

    def end(self, status: int | None) -> None:
        """It ended with `status`; None: it went with its machine."""
        if not self._ended.is_set():
            self._status = status
            self._ended.set()
            self._credited.set()

    def close(self) -> None:
        """No more output comes."""
        self._closed = True
        self._news.set()

    async def wait(self) -> int:
        await self._ended.wait()
        if self._status is None:
            raise InfraError("the machine went away while a process ran in it")
        return self._status

    async def kill(self) -> None:
        if not self._ended.is_set() and self._port.gone is None:
            await self._port.send(frames.encode(Kind.KILL, self.number))

    async def output(self) -> AsyncGenerator[tuple[Stream, bytes], None]:
        try:
            while self._pieces or not self._closed:
                if not self._pieces:
                    self._news.clear()
                    await self._news.wait()
                    continue
                stream, data = self._pieces.popleft()
                self._waiting -= len(data)
                yield stream, data
                if not self._closed:
                    await self._port.send(frames.order(Kind.ROOM, self.number, len(data)))
        finally:
            await self._shut()

    async def _shut(self) -> None:
        """Nobody reads its output any more; a terminal is hung up on by that."""
        self._read = False
        self._pieces.clear()
        if not self._closed and self._port.gone is None:
            await self._port.send(frames.encode(Kind.SHUT, self.number))

    async def feed(self, source: AsyncIterator[bytes]) -> None:
        """Write a stream to its stdin at the pace of its reading, until either ends."""
        async for data in source:
            await self.write(data)
            if self._ended.is_set():
                return
        await self._end_input()

    async def write(self, data: bytes) -> None:
        for at in range(0, len(data), frames.PIECE):
            piece = data[at : at + frames.PIECE]
            while self._credit < len(piece) and not self._ended.is_set():
                self._credited.clear()
                await self._credited.wait()
            if self._ended.is_set():
                return
            self._credit -= len(piece)
            await self._port.send(frames.encode(Kind.STDIN, self.number, piece))

    async def close_input(self) -> None:
        if not self._at_terminal:
            await self._end_input()

    async def _end_input(self) -> None:
        if not self._ended.is_set():
            await self._port.send(frames.encode(Kind.STDIN, self.number))

    async def resize(self, size: Size) -> None:
        if self._at_terminal and not self._ended.is_set():
            numbers = (size.rows, size.columns)
            await self._port.send(frames.order(Kind.SIZE, self.number, numbers))

    async def hang_up(self) -> None:
        with contextlib.suppress(InfraError):  # gone with its machine: just as dead
            if self._at_terminal:
                await self._shut()
            else:
                await self.kill()


def _usage(content: bytes) -> Usage:
    """What the files say that the guest has sent; ValueError if it is nothing of the kind."""
    cpu, memory, events = content.decode().split(frames.SEPARATOR.decode())
    return Usage(
        cpu_seconds=_keyed(cpu).get("usage_usec", 0) / 1e6,
        memory_peak=int(memory or 0) or None,
        oom_kills=_keyed(events).get("oom_kill", 0),
    )


def _keyed(text: str) -> dict[str, int]:
    pairs = (line.split() for line in text.splitlines())
    return {key: int(value) for key, value in pairs}


def _resolve(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)
