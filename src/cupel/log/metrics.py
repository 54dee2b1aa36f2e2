"""What a build's machine used, second by second: records of one length, so a page reads any range.

A record is ten numbers of eight bytes, in network order: the time, seconds of cpu since the
machine's beginning, bytes of memory, processes, bytes on its disk, the percents of ten seconds that
were waited for cpu, memory and io, and bytes read and written since the beginning. What is not
known is not a number. Each machine of a build has a file.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from cupel.errors import InfraError

COLUMNS = (
    "at",
    "cpu_seconds",
    "memory",
    "processes",
    "disk",
    "waits_cpu",
    "waits_memory",
    "waits_io",
    "read",
    "written",
)
MOST = 50_000
"""Records that are kept of a machine, 4 MB; those after them are dropped."""

_RECORD = struct.Struct("!10d")

Row = tuple[float | None, ...]


def append(file: Path, rows: Iterable[Row]) -> None:
    """Add to the end, which a killed process may have left uneven. Raises `InfraError`."""
    packed = b"".join(_RECORD.pack(*map(_number, row)) for row in rows)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            end = os.fstat(descriptor).st_size // _RECORD.size
            os.pwrite(descriptor, packed[: (MOST - end) * _RECORD.size], end * _RECORD.size)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise InfraError(f"{file} cannot be written: {error.strerror or error}") from error


def count(file: Path) -> int:
    """How many records there are."""
    try:
        return file.stat().st_size // _RECORD.size
    except FileNotFoundError:
        return 0


def read(file: Path, first: int, number: int) -> list[Row]:
    """Up to `number` records from number `first` (of 0) on, in the order of `COLUMNS`."""
    number = min(number, count(file) - first)
    if first < 0 or number <= 0:
        return []
    with file.open("rb") as data:
        data.seek(first * _RECORD.size)
        text = data.read(number * _RECORD.size)
    whole = text[: len(text) // _RECORD.size * _RECORD.size]
    return [tuple(map(_known, record)) for record in _RECORD.iter_unpack(whole)]


def sample(file: Path, most: int) -> list[Row]:
    """Up to `most` records, at even distances, the last one among them."""
    total = count(file)
    if not total:
        return []
    step = max(1, -(-total // most))
    with file.open("rb") as data:
        text = data.read(total * _RECORD.size)
    places = range((total - 1) % step, len(text) // _RECORD.size, step)
    return [tuple(map(_known, _RECORD.unpack_from(text, at * _RECORD.size))) for at in places]


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
