"""Reads a tar that nobody vouches for: strict, bounded, and without touching the disk by its names.

The formats are ustar, GNU (long names, sizes in base 256) and pax (`path`, `linkpath`, `size`).
Python's tarfile reads more, and trusts sizes and offsets that this one checks.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from typing import BinaryIO

from cupel.errors import UserError

BLOCK = 512
LONGEST_PATH = 1024
"""Bytes of a path; and of one of its parts, 255."""

DEEPEST_PATH = 32
_EXTENSION = 64 << 10
"""Bytes of a pax header or a GNU long name, which are read into memory."""


class Kind(enum.Enum):
    FILE = enum.auto()
    LINK = enum.auto()
    """Another name of an earlier file, `target`."""
    OTHER = enum.auto()
    """A directory, a symbolic link, a device: nothing that is kept."""


_KINDS = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,
    b"1": Kind.LINK,
    **dict.fromkeys((b"2", b"3", b"4", b"5", b"6"), Kind.OTHER),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of a tar; the content of a file is the `size` bytes at `offset`."""

    kind: Kind
    path: str
    target: str
    offset: int
    size: int
    executable: bool


@dataclasses.dataclass(slots=True)
class _Extended:
    """What extension headers say of the next member instead of its own header."""

    path: bytes | None = None
    target: bytes | None = None
    size: int | None = None


def members(file: BinaryIO) -> Iterator[Member]:
    """The members of a tar, in order. Raises `UserError` for one that is broken or hostile."""
    total = file.seek(0, 2)
    at = 0
    extended = _Extended()
    while True:
        file.seek(at)
        header = file.read(BLOCK)
        if len(header) < BLOCK:
            raise refused("it is cut off")
        if not any(header):
            return
        _check(header)
        kind = header[156:157]
        own = kind not in b"LKxg"
        size = _number(header[124:136]) if not own or extended.size is None else extended.size
        at += BLOCK
        if size > total - at:
            raise refused("it is cut off")
        if own:
            yield _member(header, extended, at, size)
            extended = _Extended()
        elif kind != b"g":
            if size > _EXTENSION:
                raise refused(f"a header of {size} bytes")
            _extend(extended, kind, file.read(size))
        at += -(-size // BLOCK) * BLOCK


def refused(why: str) -> UserError:
    return UserError(f"the tar of artefacts cannot be taken: {why}")


def _check(header: bytes) -> None:
    actual = sum(header[:148]) + sum(header[156:]) + 8 * ord(" ")
    if _number(header[148:156]) != actual:
        raise refused("a header has a wrong checksum")


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        if field[0] != 0x80:
            raise refused("a number is out of range")
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise refused(f"{digits[:12]!r} is not a number")
    return int(digits or b"0", 8)


def _member(header: bytes, extended: _Extended, offset: int, size: int) -> Member:
    kind = _KINDS.get(header[156:157])
    if kind is None:
        raise refused(f"a member of type {header[156:157]!r}")
    if kind is not Kind.FILE and size:
        raise refused("a member that is no file has content")
    name = _text(header[0:100])
    if header[257:263] == b"ustar\0" and header[345]:
        name = _text(header[345:500]) + b"/" + name
    target = extended.target if extended.target is not None else _text(header[157:257])
    return Member(
        kind=kind,
        path=_path(name if extended.path is None else extended.path),
        target=_path(target) if kind is Kind.LINK else "",
        offset=offset,
        size=size,
        executable=bool(_number(header[100:108]) & 0o100),
    )


def _extend(extended: _Extended, kind: bytes, data: bytes) -> None:
    match kind:
        case b"L":
            extended.path = _text(data)
        case b"K":
            extended.target = _text(data)
        case _:
            for key, value in _pax(data):
                if key == b"path":
                    extended.path = value
                elif key == b"linkpath":
                    extended.target = value
                elif key == b"size":
                    if not value.isdigit() or len(value) > 18:
                        raise refused("a size is no number")
                    extended.size = int(value)
                elif key.startswith(b"GNU.sparse."):
                    raise refused("a sparse file")


def _pax(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The `LENGTH KEY=VALUE` records of a pax header."""
    while data:
        count, _, _ = data.partition(b" ")
        if not count.isdigit() or len(count) > 8:
            raise refused("a pax header is broken")
        record, data = data[: int(count)], data[int(count) :]
        key, equals, value = record[len(count) + 1 :].partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise refused("a pax header is broken")
        yield key, value[:-1]


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _path(raw: bytes) -> str:
    """A relative path without detours; "" for the top itself."""
    shown = repr(raw[:80])[1:]
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise refused(f"the name {shown} is not UTF-8") from None
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if text.startswith("/") or ".." in parts:
        raise refused(f"the name {shown} leads out of it")
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise refused(f"the name {shown} has control characters")
    too_long = any(len(part.encode()) > 255 for part in parts)
    if too_long or len(raw) > LONGEST_PATH or len(parts) > DEEPEST_PATH:
        raise refused(f"the name {shown} is too long")
    return "/".join(parts)
