"""Writes a log: complete lines at once, the beginnings of lines when they have waited long enough.

A line is held back until its end is there, so that two streams do not mix inside a line. One that
is too long, or that has been waiting (a prompt, a progress bar), is written in pieces.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from itertools import accumulate, pairwise
from pathlib import Path

from cupel.errors import Bug, InfraError
from cupel.log import index

LONGEST = 64 << 10
"""Bytes of a line that one record may hold."""

PATIENCE = 1.0
"""Seconds that a beginning of a line waits for its end before it is written, if others write."""


_Key = tuple[int, str, int]
"""A step, one of its streams, and which of the build's machines it ran on."""


@dataclasses.dataclass(slots=True)
class _Partial:
    """The line that a step is in the middle of, on one of its streams."""

    data: bytes = b""
    at: float = 0.0
    continues: bool = False


class LogWriter:
    """Appends to the log of one build, which it takes up where a killed process left it."""

    def __init__(self, directory: Path, build_id: int) -> None:
        self.build_id = build_id
        self.waiters: set[asyncio.Event] = set()
        """Set whenever there is more to read, and at the end."""
        self.closed = False
        self._partials: dict[_Key, _Partial] = {}
        self._text, self._index = -1, -1
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._open(directory)
        except OSError as error:
            self._release()
            raise _cannot_write(build_id, error) from error

    def append(self, step: int, stream: str, at: float, data: bytes, part: int = 0) -> None:
        """Add what a step wrote to a stream at a time, on one of the build's machines.

        Raises `InfraError` when the disk is full. What did not fit is not in the log at all, and
        may be appended again.
        """
        if self.closed:
            raise Bug(f"the log of build {self.build_id} is closed")
        key = (step, stream, part)
        self._flush(at - PATIENCE, other_than=key)
        partial = self._partials.get(key, _Partial())
        pieces, rest = _split(partial.data + data)
        since = partial.at if partial.data and not pieces else at
        if rest and since <= at - PATIENCE:
            cut = _character_boundary(rest, len(rest))
            pieces, rest = [*pieces, rest[:cut]] if cut else pieces, rest[cut:]
        self._write(key, at, pieces, continues=partial.continues)
        continues = not pieces[-1].endswith(b"\n") if pieces else partial.continues
        self._partials[key] = _Partial(rest, since, continues)
        self._wake()

    def flush(self) -> None:
        """Write the lines whose ends have not come yet, as far as they are there."""
        self._flush(float("inf"))
        self._wake()

    @property
    def waiting(self) -> bool:
        """Whether there is text that `flush` would write."""
        return any(partial.data for partial in self._partials.values())

    def close(self) -> None:
        """Write what is left and end the log. Repeatable."""
        if self.closed:
            return
        self.closed = True
        try:
            for key, partial in self._partials.items():
                if partial.data:
                    self._write(key, partial.at, [partial.data], continues=partial.continues)
        finally:
            self._release()
            self._wake()

    def _flush(self, before: float, other_than: _Key | None = None) -> None:
        for key, partial in sorted(self._partials.items(), key=lambda item: item[1].at):
            if key == other_than or partial.at > before:
                continue
            cut = _character_boundary(partial.data, len(partial.data))
            if cut:
                piece, rest = partial.data[:cut], partial.data[cut:]
                self._write(key, partial.at, [piece], continues=partial.continues)
                self._partials[key] = _Partial(rest, partial.at, continues=True)

    def _open(self, directory: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._text = os.open(directory / "log", flags, 0o600)
        self._index = os.open(directory / "index", flags, 0o600)
        self._count = index.consistent(directory / "index", os.fstat(self._text).st_size)
        self._size = index.end_of(directory / "index", self._count)
        self._truncate()

    def _truncate(self) -> None:
        """Make the files what they were when the last write succeeded."""
        os.ftruncate(self._text, self._size)
        os.ftruncate(self._index, self._count * index.SIZE)

    def _write(self, key: _Key, at: float, pieces: list[bytes], *, continues: bool) -> None:
        if not pieces:
            return
        step, stream, part = key
        micros = int(at * 1_000_000)
        offsets = accumulate(map(len, pieces), initial=self._size)
        records: list[bytes] = []
        for piece, (start, end) in zip(pieces, pairwise(offsets), strict=True):
            ended = piece.endswith(b"\n")
            bits = index.CONTINUES * continues | index.ENDED * ended
            records.append(index.pack(start, micros, end - start, step, stream, bits, part))
            continues = not ended
        text, packed = b"".join(pieces), b"".join(records)
        try:
            _write_at(self._text, text, self._size)
            _write_at(self._index, packed, self._count * index.SIZE)
        except OSError as error:
            self._truncate()
            raise _cannot_write(self.build_id, error) from error
        self._size += len(text)
        self._count += len(records)

    def _wake(self) -> None:
        for event in self.waiters:
            event.set()

    def _release(self) -> None:
        for descriptor in (self._text, self._index):
            if descriptor >= 0:
                os.close(descriptor)
        self._text, self._index = -1, -1


def _split(data: bytes) -> tuple[list[bytes], bytes]:
    """The lines of `data` with their ends, none longer than `LONGEST`; and what has no end yet."""
    *lines, rest = data.split(b"\n")
    pieces = [line + b"\n" for line in lines]
    if len(data) > LONGEST:
        pieces = [piece for line in pieces for piece in _cut(line)]
        *begun, rest = _cut(rest)
        pieces += begun
    return pieces, rest


def _cut(line: bytes) -> list[bytes]:
    pieces = []
    while len(line) > LONGEST:
        at = _character_boundary(line, LONGEST)
        pieces.append(line[:at])
        line = line[at:]
    return [*pieces, line]


def _character_boundary(data: bytes, at: int) -> int:
    """The last place up to `at` that is not inside a UTF-8 character; `at` if nothing is UTF-8."""
    for back in range(1, min(4, at + 1)):
        byte = data[at - back]
        if byte < 0x80:
            return at
        if byte >= 0xC0:  # the first byte of a character of 2, 3 or 4
            length = 2 + (byte >= 0xE0) + (byte >= 0xF0)
            return at - back if length > back else at
    return at


def _write_at(descriptor: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, at)
        view = view[written:]
        at += written


def _cannot_write(build_id: int, error: OSError) -> InfraError:
    return InfraError(
        f"the log of build {build_id} cannot be written: {error.strerror or error}",
        hint="free some space in the state directory",
    )
