"""Makes an image of tar archives that nobody vouches for; a short-lived process of its own.

It gets what the directories of a cache hold as tars on its stdin, each in pieces with their lengths
before them and a length of zero at its end, and writes the image to its stdout, which is a file. It
has given up being root by then, and cannot grow without bound. Devices, pipes and sockets are left
out. It says on stderr why it fails.
"""

from __future__ import annotations

import errno
import io
import os
import resource
import struct
import sys
import tarfile
from collections.abc import Sequence
from typing import BinaryIO

from cupel.errors import UserError
from cupel.host.caches import erofs

LENGTH = struct.Struct("!I")
NOBODY = 65534
MOST_IDS = 65535
"""The largest id that a machine has; whoever has a larger one is nobody."""

_MEMORY = 2 << 30
_DEEPEST = 255
_LATEST = 1 << 40


class _Pieces(io.RawIOBase):
    """One archive of those on a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = 0
        self._over = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._left == 0 and not self._over:
            self._left = LENGTH.unpack(_exactly(self._stream, LENGTH.size))[0]
            self._over = self._left == 0
        wanted = self._left if size < 0 else min(size, self._left)
        data = _exactly(self._stream, wanted)
        self._left -= len(data)
        return data

    def drain(self) -> None:
        while self.read(1 << 20):
            pass


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("what is to be kept has not come to its end")
    return data


def pack(stream: BinaryIO, target: BinaryIO, count: int) -> None:
    """Write an image in which what the first of `count` tars holds lies below `0`, and so on.

    Raises `UserError`, `tarfile.TarError`, `EOFError` and `OSError` for what can't be kept.
    """
    writer = erofs.Writer(target)
    for number in range(count):
        top = str(number).encode()
        writer.directory((top,), erofs.directory())
        pieces = _Pieces(stream)
        with tarfile.open(
            fileobj=pieces, mode="r|", encoding="utf-8", errors="surrogateescape"
        ) as archive:
            for member in archive:
                _take(writer, archive, member, top)
                archive.members = []  # type: ignore[attr-defined] # else all are remembered
        pieces.drain()
    writer.finish()


def _take(
    writer: erofs.Writer, archive: tarfile.TarFile, member: tarfile.TarInfo, top: bytes
) -> None:
    path = (top, *_parts(member.name))
    node = erofs.Node(
        member.mode & 0o7777,
        uid=_id(member.uid),
        gid=_id(member.gid),
        time=min(max(int(member.mtime), 0), _LATEST),
    )
    if member.isdir():
        made = erofs.directory(node.mode, node.uid, node.gid, node.time)
        writer.directory(path, made)
    elif len(path) == 1:
        raise UserError("the top of an archive is no directory")
    elif member.issym():
        writer.link(path, node, os.fsencode(member.linkname))
    elif member.islnk():
        writer.name(path, (top, *_parts(member.linkname)))
    elif member.isreg():
        content = archive.extractfile(member)
        assert content is not None
        writer.regular(path, node, content)  # type: ignore[arg-type]


def _parts(name: str) -> Sequence[bytes]:
    parts = [part for part in os.fsencode(name).split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise UserError(f"the name {name[:80]!r} leads out of it")
    if len(parts) > _DEEPEST:
        raise UserError(f"the name {name[:80]!r} is too deep")
    return parts


def _id(number: int) -> int:
    return number if 0 <= number <= MOST_IDS else NOBODY


def main(count: int, limit: int) -> None:
    """Pack stdin to stdout, an image of at most `limit` bytes."""
    try:
        _confine(limit)
        with open(1, "wb", closefd=False) as target:
            pack(sys.stdin.buffer, target, count)
            os.fsync(target.fileno())
    except (UserError, tarfile.TarError, EOFError, OSError, MemoryError, ValueError) as error:
        too_big = isinstance(error, OSError) and error.errno == errno.EFBIG
        print(f"larger than {limit} bytes" if too_big else error, file=sys.stderr)
        sys.exit(1)


def _confine(limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
