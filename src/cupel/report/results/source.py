"""A file of results as its parser sees it: read piece by piece, never more than is allowed."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import IO

from cupel.core import results

LONGEST_LINE = 1 << 20
"""Bytes of a line that are looked at; what follows in it is skipped."""

_PIECE = 64 << 10

_HEAD = 4096


class Malformed(Exception):
    """A file cannot be read on. What came before counts; `line` begins at 1, 0 for no line."""

    def __init__(self, what: str, line: int = 0) -> None:
        super().__init__(what)
        self.what = what
        self.line = line

    def __str__(self) -> str:
        return f"line {self.line}: {self.what}" if self.line else self.what


class Source:
    """A file, of which at most `limit` bytes are read. `is_cut` once there would be more."""

    def __init__(self, name: str, file: IO[bytes], limit: int) -> None:
        self.name = name
        self.is_cut = False
        self._file = file
        self._left = limit
        self._head: bytes | None = None

    @property
    def head(self) -> bytes:
        """Its first bytes, which are not gone with that."""
        if self._head is None:
            self._head = self._read(_HEAD)
        return self._head

    def pieces(self) -> Iterator[bytes]:
        """The bytes, to be iterated over once."""
        if head := self.head:
            yield head
        while piece := self._read(_PIECE):
            yield piece

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """The lines with their numbers, without their ends; each cut to `LONGEST_LINE`."""
        number, begun = 1, b""
        for piece in self.pieces():
            first, *rest = piece.split(b"\n")
            begun += first[: max(LONGEST_LINE - len(begun), 0)]
            for line in rest:
                yield number, begun.removesuffix(b"\r")
                number, begun = number + 1, line
        if begun:
            yield number, begun.removesuffix(b"\r")

    def _read(self, most: int) -> bytes:
        piece = self._file.read(min(most, self._left + 1))
        if len(piece) > self._left:
            self.is_cut = True
            piece = piece[: self._left]
        self._left -= len(piece)
        return piece


class Clip:
    """Gathers a text of which `most` characters are kept: its beginning, and its end."""

    __slots__ = ("_head", "_left_out", "_most", "_tail", "_tail_size")

    def __init__(self, most: int = results.LONGEST_TEXT) -> None:
        self._most = most
        self._head = ""
        self._tail: collections.deque[str] = collections.deque()
        self._tail_size = 0
        self._left_out = 0

    def add(self, text: str) -> None:
        room = self._most // 3 - len(self._head)
        if room > 0:
            self._head += text[:room]
            text = text[room:]
        if not text:
            return
        self._tail.append(text)
        self._tail_size += len(text)
        keep = self._most - self._most // 3
        if self._tail_size > 2 * keep + len(text) or len(self._tail) > 2 * keep:
            whole = "".join(self._tail)
            self._left_out += len(whole) - keep
            self._tail = collections.deque([whole[-keep:]])
            self._tail_size = keep

    @property
    def text(self) -> str:
        tail = "".join(self._tail)
        if not self._left_out:
            return results.shortened(self._head + tail, self._most)
        said = f"\n[… {self._left_out} characters left out …]\n"
        return results.shortened(self._head + said + tail, self._most)

    def __bool__(self) -> bool:
        return bool(self._head)


def clip(beside: int) -> Clip:
    """One for a test that runs beside so many others: less is kept of each if they are many."""
    return Clip() if beside < _ROOMY else Clip(2_000)


_ROOMY = 500


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def seconds(text: str | None) -> float | None:
    """A duration as tools write it: `1.5`, `1,234.56`; None for what is none."""
    if not text or len(text) > 40:
        return None
    try:
        value = float(text.strip().replace(",", ""))
    except ValueError:
        return None
    return bounded_seconds(value)


def bounded_seconds(value: object) -> float | None:
    """A number of seconds that a test can have taken; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < _LONGEST else None


_LONGEST = 1e8


def number(text: str | None) -> int | None:
    """A line number; None for what is none."""
    if not text or len(text) > 10 or not text.isascii() or not text.isdigit():
        return None
    return int(text) or None
