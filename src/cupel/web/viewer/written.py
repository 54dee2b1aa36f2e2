"""Text with numbered lines; JSON is arranged first, if it is not too long."""

from __future__ import annotations

import codecs
import dataclasses
import json
from collections.abc import Iterator
from typing import BinaryIO

LINES = 1_000
LONGEST = 16 << 10
"""Bytes of a line after which it goes on in the next one that is shown."""

LOOKED_AT = 256 << 20
"""Bytes that are read to come to a line."""

LARGEST_JSON = 1 << 20
ARRANGED = 50_000
"""Lines of arranged JSON that are shown at most, and that many times a hundred characters."""

_CONTROLS = frozenset(range(0x20)) - frozenset(b"\t\n\r\f\b\x1b")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Lines from `first` (of 1) on; `next` is the first of those after them."""

    lines: tuple[str, ...]
    first: int
    next: int | None
    note: str = ""

    @property
    def last(self) -> int:
        return self.first + len(self.lines) - 1


def is_text(head: bytes) -> bool:
    """Whether what begins so is text: UTF-8 without control characters that no text has."""
    if any(byte in _CONTROLS for byte in head):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def of(file: BinaryIO, first: int) -> Text:
    """The lines from `first` on, up to `LINES` of them."""
    lines: list[str] = []
    read = 0
    for number, line in enumerate(iter(lambda: file.readline(LONGEST), b""), start=1):
        read += len(line)
        if number >= first + LINES:
            return Text(lines=tuple(lines), first=first, next=number)
        if number >= first:
            lines.append(line.decode(errors="replace").rstrip("\r\n"))
        elif read > LOOKED_AT:
            return Text(lines=(), first=first, next=None, note="It is too long to be shown here.")
    note = f"It ends before line {first}." if first > 1 and not lines else ""
    return Text(lines=tuple(lines), first=first, next=None, note=note)


def arranged(data: bytes) -> Text | None:
    """JSON with a value to each line; None for what is no JSON, or nested too deeply."""
    lines: list[str] = []
    try:
        for line in _written(json.loads(data)):
            lines.append(line)
            if len(lines) >= ARRANGED:
                note = "Arranged, and cut off; the download is as the build left it."
                return Text(lines=tuple(lines), first=1, next=None, note=note)
    except (ValueError, RecursionError):
        return None
    return Text(
        lines=tuple(lines),
        first=1,
        next=None,
        note="Arranged to be read; the download is as the build left it.",
    )


def _written(value: object) -> Iterator[str]:
    """Lines of arranged JSON. Indentation multiplies what is nested, so they are bounded, too."""
    pending: list[str] = []
    room = ARRANGED * 100
    for piece in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(value):
        room -= len(piece)
        if room < 0:
            raise ValueError("too much")
        *whole, rest = piece.split("\n")
        for each in whole:
            yield "".join([*pending, each])
            pending = []
        pending.append(rest)
    yield "".join(pending)
