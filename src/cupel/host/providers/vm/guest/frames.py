"""The frames between the host's agent and a guest's, over one virtio-serial port.

A frame is a length, a kind, the number of a process, and that many bytes. Streams have credit:
neither side sends more of a stream than the other has said that it has room for, so a reader that
is slow slows its own process and no other.

Orders are marshalled: the guest believes its host, has the same interpreter, and reads them with
far less code than JSON, all of which an emulator would have to translate first. What a guest says
is bytes, numbers and JSON, of which nothing worse than values can come.
"""

from __future__ import annotations

import enum
import json
import marshal
import struct
from typing import Any

HEADER = struct.Struct("<IBI")
LONGEST = 1 << 20
"""Bytes of a frame's content, at most."""
PIECE = 32 << 10
"""Bytes of a stream in one frame, at most."""
WINDOW = 512 << 10
"""Bytes of a stream that may be under way at first."""
WINDOW_OF_TERMINAL = 64 << 10
"""The same of what a terminal shows: what is under way comes after a Ctrl-C, too."""
_MARSHAL = 2
"""The version of the format: a machine that was saved may be opened by another Python."""
PORT = "cupel.agent"
"""The name of the virtio-serial port."""


class Kind(enum.IntEnum):
    """What a frame means."""

    # From the host: marshalled values, unless it is said otherwise.
    EXEC = 1  # argv, env, cwd, pids, whether there is stdin, the size of a terminal if it has one
    STDIN = 2  # bytes; none: the end
    ROOM = 3  # bytes of output that may come in addition, as a number
    KILL = 4
    SHUT = 5  # nobody reads its output any more
    SIZE = 7  # rows and columns of its terminal
    RENEW = 6  # what a clone must not share with its siblings; see `renew`
    LAY = 8  # the name of a disk and paths; see `layers`
    # From the guest: JSON, unless it is said otherwise.
    HELLO = 16  # it stands
    RENEWED = 17
    OUT = 18  # bytes
    ERR = 19  # bytes
    MORE = 20  # bytes of stdin that may come in addition, as a number
    ENDED = 21  # its exit status, as a number
    USED = 24  # bytes: what control groups count of all that ran so far, as `USAGE` says
    CLOSED = 22  # no output comes any more
    REFUSED = 23  # why the guest could not do what it was told
    LAID = 25  # why that could not be done, if so


USAGE = ("cpu.stat", "memory.peak", "memory.events")
"""The files whose texts are the parts of a `USED` frame, with `SEPARATOR` between them."""
SEPARATOR = b"\0"
_KINDS = {int(kind): kind for kind in Kind}  # a look into it is less code than `Kind(number)`

Frame = tuple[Kind, int, bytes]


def encode(kind: Kind, number: int = 0, content: bytes = b"") -> bytes:
    return HEADER.pack(len(content), kind, number) + content


def order(kind: Kind, number: int, content: Any) -> bytes:
    """A frame from the host; read it with `marshal.loads`."""
    return encode(kind, number, marshal.dumps(content, _MARSHAL))


def encode_json(kind: Kind, number: int, content: Any) -> bytes:
    return encode(kind, number, json.dumps(content).encode())


class Decoder:
    """Cuts a stream of bytes into frames; ValueError for what is none."""

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        self._received += data
        found = []
        while len(self._received) >= HEADER.size:
            length, kind, number = HEADER.unpack_from(self._received)
            if length > LONGEST:
                raise ValueError(f"a frame of {length} bytes")
            end = HEADER.size + length
            if len(self._received) < end:
                break
            if kind not in _KINDS:
                raise ValueError(f"a frame of kind {kind}")
            found.append((_KINDS[kind], number, bytes(self._received[HEADER.size : end])))
            del self._received[:end]
        return found
