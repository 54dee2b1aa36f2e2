"""The body of a git request: streamed and, when the client packed it, unpacked on the way."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Iterator

from starlette.types import Receive

ENCODINGS = ("identity", "gzip", "x-gzip")
_PIECE = 1 << 16


class Disconnected(Exception):
    """The client has left."""


class Malformed(Exception):
    """The body is not packed as its header says."""


class Body:
    """A request's body. Never more than a piece of it is in memory."""

    def __init__(self, receive: Receive, encoding: str) -> None:
        self._receive = receive
        self._unpacker = None if encoding == "identity" else zlib.decompressobj(wbits=31)
        self._read = asyncio.Event()

    async def pour(self, sink: asyncio.StreamWriter) -> None:
        """Write the body to `sink` as fast as that takes it. Raises `Disconnected`, `Malformed`.

        A sink that closes early does not mind: the rest is read and dropped, since a client hears
        no answer before it has sent all.
        """
        more, open_ = True, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            more = message.get("more_body", False)
            for piece in self._unpacked(message.get("body", b"")) if open_ else ():
                try:
                    sink.write(piece)
                    await sink.drain()
                except ConnectionError:
                    open_ = False
                    break
        self._read.set()

    async def rest(self, seconds: float) -> None:
        """Wait until `pour` has read everything, so long at the most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._read.wait()

    def _unpacked(self, data: bytes) -> Iterator[bytes]:
        if self._unpacker is None:
            yield data
            return
        try:
            while data and not self._unpacker.eof:
                yield self._unpacker.decompress(data, _PIECE)
                data = self._unpacker.unconsumed_tail
        except zlib.error as error:
            raise Malformed(str(error)) from error


async def watch(receive: Receive) -> None:
    """Raise `Disconnected` when the client leaves."""
    while (await receive())["type"] != "http.disconnect":
        pass
    raise Disconnected
