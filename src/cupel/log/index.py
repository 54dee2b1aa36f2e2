"""The index of a log: where each line stands in the text, in records of fixed width.

A log is two files. `log` is the text as it was printed. `index` has a record per line, so that the
millionth line is found with one read however long the log is. A line that is long, or whose end was
long in coming, has several records, the later of which are marked as continuing it.
"""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

from cupel.errors import Bug

STREAMS = ("out", "err", "cupel")

NO_STEP = 0xFFFF
"""The step of lines that belong to none, such as how the machine was made."""

CONTINUES = 1
"""Flag: the text goes on where the stream's last record stopped, in the same line."""

ENDED = 2
"""Flag: the text ends with the end of its line."""

_RECORD = struct.Struct("<QQIHBB")
SIZE = _RECORD.size


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """`length` bytes of text at `offset`, which a step wrote to a stream at `micros` since 1970."""

    offset: int
    micros: int
    length: int
    step: int
    stream: str
    flags: int
    part: int = 0
    """Which of the build's machines it came from: 0 is its own one."""

    @property
    def end(self) -> int:
        return self.offset + self.length


def pack(
    offset: int, micros: int, length: int, step: int, stream: str, flags: int, part: int = 0
) -> bytes:
    """The bytes of a record. Raises `Bug` for a step, stream or part that no record can hold.

    The byte of the stream holds the part as well, as so many times the number of streams.
    """
    try:
        kind = STREAMS.index(stream) + part * len(STREAMS)
        return _RECORD.pack(offset, micros, length, step, kind, flags)
    except (struct.error, ValueError) as error:
        text = f"step {step}, stream {stream!r} of part {part} does not fit into a log: {error}"
        raise Bug(text) from error


def unpack(data: bytes) -> list[Record]:
    """The records in `data`; bytes of an incomplete one at its end do not count."""
    whole = len(data) - len(data) % SIZE
    return [
        Record(
            offset=offset,
            micros=micros,
            length=length,
            step=step,
            stream=STREAMS[stream % len(STREAMS)],
            flags=flags,
            part=stream // len(STREAMS),
        )
        for offset, micros, length, step, stream, flags in _RECORD.iter_unpack(data[:whole])
    ]


def read(path: Path, first: int, count: int) -> list[Record]:
    """Up to `count` records from number `first` on; none when there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(first * SIZE)
            return unpack(file.read(count * SIZE))
    except FileNotFoundError:
        return []


def consistent(path: Path, text_size: int) -> int:
    """How many records, from the first on, speak of text that is there.

    Text is written before its records, so that is all of them, unless a computer lost power and one
    of the files is shorter than it was. Ends only grow, so the last good one is found by halving.
    """
    low, high = 0, _count(path)
    if high and _end(path, high - 1) <= text_size:
        return high
    while low < high:
        middle = (low + high) // 2
        if _end(path, middle) <= text_size:
            low = middle + 1
        else:
            high = middle
    return low


def end_of(path: Path, count: int) -> int:
    """Where the text of the first `count` records ends."""
    return _end(path, count - 1) if count else 0


def _count(path: Path) -> int:
    try:
        return path.stat().st_size // SIZE
    except FileNotFoundError:
        return 0


def _end(path: Path, number: int) -> int:
    return read(path, number, 1)[0].end
