"""A terminal of the machine, whose other end goes to the agent.

It is made by the machine's init and not by what is to run at it: nobody in the machine ever has
that other end, on which it could change how the agent reads it.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios

from cupel.host.providers.inside import wire

MULTIPLEXER = os.makedev(5, 2)
"""The device that terminals are had from."""
_OPEN = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
_UNLOCK = 0x40045431
_PEER = 0x5441


def make(rows: int, columns: int, *, to: int) -> int:
    """A new terminal; its other end goes over the socket `to`. Raises `OSError`."""
    master = os.open("/dev/pts/ptmx", _OPEN)
    try:
        # The machine's root can put anything in the place of that file.
        if os.fstat(master).st_rdev != MULTIPLEXER:
            raise OSError("/dev/pts/ptmx is no terminal multiplexer")
        fcntl.ioctl(master, _UNLOCK, struct.pack("i", 0))
        resize(master, rows, columns)
        slave: int = fcntl.ioctl(master, _PEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        _send(to, {}, [master])
    finally:
        os.close(master)
    return slave


def refuse(error: OSError, *, to: int) -> None:
    """Say why there is no terminal."""
    _send(to, {"failed": str(error)}, [])


def _send(to: int, frame: wire.Frame, descriptors: list[int]) -> None:
    with socket.socket(fileno=os.dup(to)) as line:
        wire.send(line, frame, descriptors)


def receive(line: socket.socket) -> int:
    """The agent's end of a terminal that was made. Raises `OSError` if there is none."""
    received = wire.receive(line)
    if received is None:
        raise OSError("the machine is gone")
    frame, descriptors = received
    if "failed" in frame or not descriptors:
        raise OSError(frame.get("failed", "no terminal came"))
    return descriptors[0]


def take(descriptor: int) -> None:
    """Make the terminal that of the session which this process leads."""
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


def resize(descriptor: int, rows: int, columns: int) -> None:
    """Either end will do; what runs in the foreground gets SIGWINCH."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
