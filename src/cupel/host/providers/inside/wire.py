"""The frames between the agent and a machine's init: JSON with a length, descriptors beside it."""

from __future__ import annotations

import array
import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

HEADER = struct.Struct("=I")
MAX_DESCRIPTORS = 8

Frame = dict[str, Any]


def encode(frame: Frame) -> tuple[bytes, bytes]:
    """The header, with which descriptors travel, and the body."""
    body = json.dumps(frame).encode()
    return HEADER.pack(len(body)), body


def ancillary(descriptors: Sequence[int]) -> list[tuple[int, int, bytes]]:
    if not descriptors:
        return []
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors).tobytes())]


def send(sock: socket.socket, frame: Frame, descriptors: Sequence[int] = ()) -> None:
    """Send a frame over a blocking socket."""
    header, body = encode(frame)
    sock.sendmsg([header], ancillary(descriptors))
    sock.sendall(body)


def receive(
    sock: socket.socket, descriptors: int = MAX_DESCRIPTORS
) -> tuple[Frame, list[int]] | None:
    """The next frame and its descriptors from a blocking socket; None at the end."""
    header, received, _, _ = socket.recv_fds(sock, HEADER.size, descriptors)
    header += _exactly(sock, HEADER.size - len(header)) if header else b""
    if len(header) < HEADER.size:
        return None
    (length,) = HEADER.unpack(header)
    body = _exactly(sock, length)
    return (json.loads(body), received) if len(body) == length else None


def _exactly(sock: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = sock.recv(length - len(data))
        if not piece:
            break
        data += piece
    return bytes(data)
