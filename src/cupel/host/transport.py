"""How bytes get from a host to its server and back. Only a transport knows what it goes over."""

from __future__ import annotations

import asyncio
from typing import Protocol

CAPACITY = 1 << 20
"""Bytes that an end of an in-process pair may have written before the other end read them."""


class Transport(Protocol):
    """A stream of bytes in both directions.

    `write` takes all of `data` at once and then waits until there is room for more, so that a
    cancelled writer never leaves half a message behind; after the end it does nothing. `read` gives
    what there is, b"" at the end. `close` ends both directions; reads that wait on either end
    return what was written before, then b"".
    """

    async def read(self) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class _Pipe:
    """One direction of an in-process pair."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._buffer = bytearray()
        self._closed = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    async def read(self) -> bytes:
        await self._readable.wait()
        data = bytes(self._buffer)
        self._buffer.clear()
        self._writable.set()
        if not self._closed:
            self._readable.clear()
        return data

    async def write(self, data: bytes) -> None:
        if self._closed or not data:
            return
        self._buffer += data
        self._readable.set()
        if len(self._buffer) >= self._capacity:
            self._writable.clear()
        await self._writable.wait()

    def close(self) -> None:
        self._closed = True
        self._readable.set()
        self._writable.set()


class _End:
    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    async def read(self) -> bytes:
        return await self._incoming.read()

    async def write(self, data: bytes) -> None:
        await self._outgoing.write(data)

    def close(self) -> None:
        self._incoming.close()
        self._outgoing.close()


def pair(capacity: int = CAPACITY) -> tuple[Transport, Transport]:
    """Two ends of a stream inside this process."""
    there, back = _Pipe(capacity), _Pipe(capacity)
    return _End(there, back), _End(back, there)
