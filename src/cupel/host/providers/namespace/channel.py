"""The agent's end of the socket to a machine's init."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Sequence

from cupel.errors import InfraError
from cupel.host.providers.inside import wire


class Channel:
    """Frames to an init and from it. `on_frame` gets each one, and None once, at the end."""

    def __init__(self, sock: socket.socket, on_frame: Callable[[wire.Frame | None], None]) -> None:
        sock.setblocking(False)
        self._sock = sock
        self.on_frame = on_frame
        """May be replaced by another's."""
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()
        self._received = bytearray()
        self._loop.add_reader(sock, self._read)

    @property
    def open(self) -> bool:
        return self._sock.fileno() >= 0

    async def send(self, frame: wire.Frame, descriptors: Sequence[int] = ()) -> None:
        header, body = wire.encode(frame)
        async with self._sending:
            if not self.open:
                raise InfraError("the machine is gone")
            try:
                await self._send_header(header, descriptors)
                await self._loop.sock_sendall(self._sock, body)
            except OSError as error:
                raise InfraError(f"the machine does not answer: {error}") from error

    async def _send_header(self, header: bytes, descriptors: Sequence[int]) -> None:
        extra = wire.ancillary(descriptors)
        while True:
            try:
                sent = self._sock.sendmsg([header], extra)
            except BlockingIOError:
                await self._writable()
            else:
                await self._loop.sock_sendall(self._sock, header[sent:])
                return

    async def _writable(self) -> None:
        ready = asyncio.Event()
        self._loop.add_writer(self._sock, ready.set)
        try:
            await ready.wait()
        finally:
            self._loop.remove_writer(self._sock)

    def _read(self) -> None:
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._received += data
        size = wire.HEADER.size
        while len(self._received) >= size:
            (length,) = wire.HEADER.unpack_from(self._received)
            if len(self._received) < size + length:
                return
            body = bytes(self._received[size : size + length])
            del self._received[: size + length]
            self.on_frame(json.loads(body))

    def close(self) -> None:
        """Hang up: the machine's init ends, and all of the machine with it."""
        if self.open:
            self._loop.remove_reader(self._sock)
            self._sock.close()
            self.on_frame(None)
