"""A process in a machine, as the agent sees it: its pipes, or its terminal, and an exit status."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
import termios
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

from cupel.errors import InfraError
from cupel.host.providers.inside import terminal
from cupel.host.providers.interface import Size, Stream

CHUNK = 65536
GRACE = 0.25
"""Seconds that a grandchild may go on writing after the process itself has ended."""


class NamespaceProcess:
    """See `interface.Process`. Reads only what its reader asks for: a full pipe stops the build."""

    def __init__(self, open: Mapping[int, Stream], kill: Callable[[], Awaitable[None]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._open = dict(open)
        self._kill = kill
        self._ended = asyncio.Event()
        self._status: int | None = None
        self._waiting: asyncio.Future[None] | None = None
        for descriptor in self._open:
            os.set_blocking(descriptor, False)

    def end(self, status: int | None) -> None:
        """It ended with `status`; None: it went with its machine."""
        if not self._ended.is_set():
            self._status = status
            self._ended.set()
            self._wake()

    async def wait(self) -> int:
        await self._ended.wait()
        if self._status is None:
            raise InfraError("the machine went away while a process ran in it")
        return self._status

    async def kill(self) -> None:
        if not self._ended.is_set():
            await self._kill()

    async def output(self) -> AsyncGenerator[tuple[Stream, bytes], None]:
        try:
            while self._open and not self._ended.is_set():
                for piece in self._read_once(CHUNK):
                    yield piece
                if self._open and not self._ended.is_set():
                    await self._readable(None)
            # All that the process wrote before it ended is in the pipes now. What comes later is
            # a grandchild's: a short while is granted, and then no more.
            left = sum(_pending(descriptor) for descriptor in self._open)
            deadline = self._loop.time() + GRACE
            while self._open and (left > 0 or self._loop.time() < deadline):
                pieces = self._read_once(CHUNK)
                for piece in pieces:
                    left -= len(piece[1])
                    yield piece
                if not pieces and self._open:
                    left = 0
                    await self._readable(deadline)
        finally:
            self.close()

    def _read_once(self, size: int) -> list[tuple[Stream, bytes]]:
        pieces = []
        for descriptor, stream in tuple(self._open.items()):
            try:
                data = os.read(descriptor, size)
            except BlockingIOError:
                continue
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                data = b""  # a terminal that nobody has open any more
            if data:
                pieces.append((stream, data))
            else:
                del self._open[descriptor]
                os.close(descriptor)
        return pieces

    async def _readable(self, deadline: float | None) -> None:
        """Until a pipe has something, the process ends, or the deadline is over."""
        self._waiting = self._loop.create_future()
        watched = tuple(self._open)
        for descriptor in watched:
            self._loop.add_reader(descriptor, self._wake)
        try:
            async with asyncio.timeout_at(deadline):
                await self._waiting
        except TimeoutError:
            pass
        finally:
            self._waiting = None
            for descriptor in watched:
                self._loop.remove_reader(descriptor)

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def close(self) -> None:
        """Let go of the pipes; what is not read yet is lost."""
        for descriptor in self._open:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        self._open.clear()


class NamespaceTalk(NamespaceProcess):
    """See `interface.Talk`. It has its pipes, or its terminal, from `attach` on."""

    def __init__(self, kill: Callable[[], Awaitable[None]], *, at_terminal: bool) -> None:
        super().__init__({}, kill)
        self._stdin = -1
        self._at_terminal = at_terminal
        self._typing: asyncio.Future[None] | None = None

    def attach(self, open: Mapping[int, Stream], stdin: int) -> None:
        """Take over what it is read from and written to by: pipes, or the end of a terminal."""
        self._open, self._stdin = dict(open), stdin
        for descriptor in (*open, stdin):
            os.set_blocking(descriptor, False)

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view and self._stdin >= 0 and not self._ended.is_set():
            try:
                view = view[os.write(self._stdin, view) :]
            except BlockingIOError:
                await self._writable()
            except OSError:  # nobody will read it
                self._close_stdin()

    async def _writable(self) -> None:
        """Until there is room, the process ends, or its stdin is closed."""
        self._typing = self._loop.create_future()
        watched = self._stdin
        self._loop.add_writer(watched, self._wake_typist)
        try:
            await self._typing
        finally:
            self._typing = None
            if self._stdin == watched:
                self._loop.remove_writer(watched)

    def _wake_typist(self) -> None:
        if self._typing is not None and not self._typing.done():
            self._typing.set_result(None)

    def _wake(self) -> None:
        super()._wake()
        if self._ended.is_set():
            self._wake_typist()

    async def close_input(self) -> None:
        if not self._at_terminal:
            self._close_stdin()

    async def resize(self, size: Size) -> None:
        if self._at_terminal and self._stdin >= 0:
            terminal.resize(self._stdin, size.rows, size.columns)

    async def hang_up(self) -> None:
        at_terminal = self._at_terminal
        self.close()
        if not at_terminal:
            await self.kill()

    def close(self) -> None:
        super().close()
        self._close_stdin()
        self._wake()

    def _close_stdin(self) -> None:
        if self._stdin >= 0:
            self._loop.remove_writer(self._stdin)
            os.close(self._stdin)
            self._stdin = -1
            self._wake_typist()


def _pending(descriptor: int) -> int:
    answer = fcntl.ioctl(descriptor, termios.FIONREAD, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])
