"""A stream of bytes that outlives the connections which carry it, without doing any I/O.

Each direction counts its bytes from the beginning of the session. What was written is kept until
the other end has confirmed it, so a connection that is lost loses nothing: the next one begins with
how much each end has received, and goes on from there. What comes twice is known by its place and
dropped. An end confirms what was *read* from it, and sends no more than a window ahead of what was
confirmed, so a slow reader, or a slow connection, makes the writer wait instead of filling memory.

The messages travel one by one, each whole, as WebSockets and the like carry them.
"""

from __future__ import annotations

import dataclasses
import struct
from typing import assert_never

from cupel.errors import InfraError
from cupel.host.spool import Spool

WINDOW = 512 << 10
"""Bytes that are on their way at most: 5 MB/s at 100 ms of delay, 5 s of a line of 1 Mbit/s."""

PIECE = 32 << 10
"""Bytes of data in a message: a sign of life waits behind no more than this."""

MAX_REASON = 500

_PLACE = struct.Struct("!cQ")


@dataclasses.dataclass(frozen=True, slots=True)
class Data:
    """Bytes, and how many of the session came before them."""

    offset: int
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Confirmed:
    """So many bytes of the session have been read."""

    count: int


@dataclasses.dataclass(frozen=True, slots=True)
class Ping:
    number: int


@dataclasses.dataclass(frozen=True, slots=True)
class Pong:
    """The answer to the ping of this number: the sender was heard at that time, or later."""

    number: int


@dataclasses.dataclass(frozen=True, slots=True)
class End:
    """The session is over, on purpose; it cannot be taken up again."""

    reason: str


Message = Data | Confirmed | Ping | Pong | End

_NUMBERED: dict[bytes, type[Confirmed | Ping | Pong]] = {
    b"c": Confirmed,
    b"p": Ping,
    b"q": Pong,
}


def encode(message: Message) -> bytes:
    match message:
        case Data(offset, data):
            return _PLACE.pack(b"d", offset) + data
        case Confirmed(count):
            return _PLACE.pack(b"c", count)
        case Ping(number):
            return _PLACE.pack(b"p", number)
        case Pong(number):
            return _PLACE.pack(b"q", number)
        case End(reason):
            return _PLACE.pack(b"e", 0) + reason[:MAX_REASON].encode(errors="replace")
        case _:
            assert_never(message)


def decode(data: bytes) -> Message:
    """Raises `InfraError` for what is no message."""
    if len(data) < _PLACE.size:
        raise _broken(f"{len(data)} bytes")
    kind, number = _PLACE.unpack_from(data)
    rest = data[_PLACE.size :]
    if kind == b"d":
        return Data(number, rest)
    if kind == b"e":
        return End(rest[: 4 * MAX_REASON].decode(errors="replace"))
    if kind not in _NUMBERED or rest:
        raise _broken(f"a message of no known kind: {data[:20]!r}")
    return _NUMBERED[kind](number)


class Link:
    """One end of a session: what it has written and not been told to be read, and what has come.

    `window` bytes may be on their way, in either direction.
    """

    def __init__(self, spool: Spool, *, window: int = WINDOW) -> None:
        self._spool = spool
        self._window = window
        self._sent = 0
        self._incoming = bytearray()
        self._received = 0
        self._told = 0

    @property
    def received(self) -> int:
        """Bytes that have come: where the other end goes on when the connection is a new one."""
        return self._received

    @property
    def unconfirmed(self) -> int:
        """Bytes that were written and may have to be sent again."""
        return self._spool.end - self._spool.start

    @property
    def crowded(self) -> bool:
        """Whether as much as may be on its way is written already."""
        return self.unconfirmed >= self._window

    def write(self, data: bytes) -> None:
        """Raises `InfraError` when it cannot be kept."""
        self._spool.append(data)

    def begin(self, received: int) -> None:
        """A connection begins, on which the other end has received so much. Raises InfraError."""
        if not self._spool.start <= received <= self._spool.end:
            raise _broken(f"that {received} bytes were received of {self._spool.end}")
        self._sent = received
        self._told = 0

    def next(self) -> Data | Confirmed | None:
        """What is to be sent now, if anything; it counts as sent."""
        read = self._received - len(self._incoming)
        if read > self._told:
            self._told = read
            return Confirmed(read)
        room = self._spool.start + self._window - self._sent
        data = self._spool.read(self._sent, min(room, PIECE)) if room > 0 else b""
        if not data:
            return None
        self._sent += len(data)
        return Data(self._sent - len(data), data)

    @property
    def idle(self) -> bool:
        """Whether all that was written was sent."""
        return self._sent >= self._spool.end

    def confirm(self, count: int) -> None:
        """The other end has so much. Raises `InfraError` when that cannot be."""
        if count > self._spool.end:
            raise _broken(f"that {count} bytes were read of {self._spool.end}")
        if count > self._spool.start:
            self._spool.drop(count)
            self._sent = max(self._sent, count)

    def take(self, message: Data) -> None:
        """Add what came, but for what had come before. Raises `InfraError` for a gap."""
        if message.offset > self._received:
            raise _broken(f"byte {message.offset} after byte {self._received}")
        fresh = message.data[self._received - message.offset :]
        if len(self._incoming) + len(fresh) > self._window:
            raise _broken("more than there is room for")
        self._incoming += fresh
        self._received += len(fresh)

    def read(self) -> bytes:
        """All that came and was not read."""
        data = bytes(self._incoming)
        self._incoming.clear()
        return data

    @property
    def readable(self) -> bool:
        return bool(self._incoming)

    def close(self) -> None:
        """Keep nothing any more of what was written."""
        self._spool.close()


def _broken(what: str) -> InfraError:
    return InfraError(f"the other end broke the protocol: it sent {what}")
