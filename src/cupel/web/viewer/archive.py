"""What is in a zip or tar, without unpacking it: names and sizes, as it says them itself."""

from __future__ import annotations

import dataclasses
import itertools
import struct
import tempfile
import zipfile
import zlib
from typing import BinaryIO

from cupel.artefact import tar
from cupel.artefact.tar import Kind
from cupel.errors import UserError

ENTRIES = 1_000
LARGEST_DIRECTORY = 4 << 20
"""Bytes of a zip's directory that are read, all of which Python keeps in memory."""

UNPACKED = 64 << 20
"""Bytes of a compressed tar that are unpacked to be listed; a bomb would have no end."""

_PIECE = 64 << 10
_END = struct.Struct("<4s4H2LH")
"""The end of a zip's directory (APPNOTE 4.3.16), of which the sizes are asked."""

_TAR_MAGIC = slice(257, 262)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Names with sizes; `note` says why there are no more."""

    format: str
    entries: tuple[tuple[str, int], ...]
    note: str = ""

    @property
    def size(self) -> int:
        return sum(size for _, size in self.entries)


def of(file: BinaryIO, head: bytes, size: int) -> Listing | None:
    """What is in an archive; None if that is none."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(file, size)
    if head.startswith(b"\x1f\x8b"):
        return _compressed(file)
    if head[_TAR_MAGIC] == b"ustar":
        return _tar(file, "tar")
    return None


def _zip(file: BinaryIO, size: int) -> Listing:
    if not _is_listable(file, size):
        return Listing(format="zip", entries=(), note="It is cut off, or too long to be listed.")
    try:
        with zipfile.ZipFile(file) as opened:
            names = [(info.filename, info.file_size) for info in opened.infolist()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OSError) as error:
        return Listing(format="zip", entries=(), note=f"It cannot be listed: {error}.")
    note = f"{len(names) - ENTRIES} more are in it." if len(names) > ENTRIES else ""
    return Listing(format="zip", entries=tuple(names[:ENTRIES]), note=note)


def _is_listable(file: BinaryIO, size: int) -> bool:
    """Whether a zip has a directory that is short enough to be read."""
    start = max(0, size - _END.size - 0xFFFF)
    file.seek(start)
    tail = file.read(size - start)
    at = tail.rfind(b"PK\x05\x06")
    # A second end, for what is larger than four gigabytes, would count instead of this one.
    if at < 0 or len(tail) - at < _END.size or b"PK\x06\x07" in tail[max(0, at - 20) : at]:
        return False
    return int(_END.unpack_from(tail, at)[5]) <= LARGEST_DIRECTORY


def _compressed(file: BinaryIO) -> Listing | None:
    """A compressed tar; None if something else was compressed."""
    unpack = zlib.decompressobj(wbits=31)
    file.seek(0)
    with tempfile.TemporaryFile() as unpacked:
        try:
            while unpacked.tell() < UNPACKED and not unpack.eof:
                piece = unpack.unconsumed_tail or file.read(_PIECE)
                if not piece:
                    break
                unpacked.write(unpack.decompress(piece, _PIECE))
        except zlib.error:
            return None
        except OSError as error:
            return Listing(format="tar", entries=(), note=f"It cannot be listed: {error}.")
        unpacked.seek(_TAR_MAGIC.start)
        return _tar(unpacked, "compressed tar") if unpacked.read(5) == b"ustar" else None


def _tar(file: BinaryIO, format: str) -> Listing:
    entries: list[tuple[str, int]] = []
    note = ""
    try:
        # More members than entries are looked at: directories are none.
        for member in itertools.islice(tar.members(file), 20 * ENTRIES):
            if member.kind is Kind.FILE:
                entries.append((member.path, member.size))
            if len(entries) > ENTRIES:
                break
    except UserError as error:
        note = f"It cannot be listed further than this: {error.message.rpartition(': ')[2]}."
    if len(entries) > ENTRIES:
        note = "More are in it."
    return Listing(format=format, entries=tuple(entries[:ENTRIES]), note=note)
