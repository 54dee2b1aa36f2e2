"""How busy each host was, over the last day: a file of records of one length for each, so that a
page reads any part of it.

A record is ten numbers of eight bytes, in network order: the time, then `COLUMNS`; what is not
known is not a number. Each span of SPAN seconds has its place in the file, which the span a day
later takes over. Of a span is kept what was hardest in it: an average hides what builds waited for.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from cupel.errors import InfraError

COLUMNS = (
    "cores",
    "runnable",
    "memory",
    "available",
    "disk",
    "disk_free",
    "waits_cpu",
    "waits_memory",
    "waits_io",
)
LESS_IS_HARDER = frozenset({"available", "disk_free"})

SPAN = 20.0
KEPT = 4320
"""Spans that are kept: those of a day."""

_RECORD = struct.Struct("!10d")

Row = tuple[float | None, ...]
"""The values of COLUMNS."""


class LoadStore:
    """The loads of all hosts, below one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._now: dict[str, tuple[int, Row]] = {}
        """What is known of the span that each host is in."""

    def note(self, host: str, at: float, row: Row) -> None:
        """Take what a host says of itself at a time. Raises `InfraError`."""
        span = int(at // SPAN)
        known = self._now.get(host)
        if known is not None and known[0] == span:
            row = tuple(map(_harder, COLUMNS, known[1], row))
            self._now[host] = (span, row)
            return
        self._now[host] = (span, row)
        if known is not None:
            self._write(host, *known)

    def read(self, host: str, since: float, now: float) -> list[tuple[float, Row]]:
        """What is known of a host from a time on, oldest first: the ends of spans, and the values
        in them. The span that goes on is in it, too."""
        last = int(now // SPAN)
        first = max(int(since // SPAN), last - KEPT + 1)
        found = dict(self._stored(host, first, last))
        if host in self._now:
            span, row = self._now[host]
            found[span] = row
        return [
            (min((span + 1) * SPAN, now), row)
            for span, row in sorted(found.items())
            if first <= span <= last
        ]

    def _stored(self, host: str, first: int, last: int) -> list[tuple[int, Row]]:
        try:
            data = self._file(host).read_bytes()
        except OSError:  # there is none, or a name that no file can have
            return []
        whole = data[: len(data) // _RECORD.size * _RECORD.size]
        size = _RECORD.size
        found = []
        for span in range(first, last + 1):
            place = span % KEPT * size
            record = whole[place : place + size]
            if record:
                at, *values = _RECORD.unpack(record)
                if at == span * SPAN:
                    found.append((span, tuple(map(_known, values))))
        return found

    def _write(self, host: str, span: int, row: Row) -> None:
        file = self._file(host)
        packed = _RECORD.pack(span * SPAN, *map(_number, row))
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(descriptor, packed, span % KEPT * _RECORD.size)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise InfraError(f"{file} cannot be written: {error.strerror or error}") from error

    def _file(self, host: str) -> Path:
        return self._root / f"{quote(host, safe='')}.loads"


def column(rows: Sequence[tuple[float, Row]], name: str) -> list[float | None]:
    """The values of one of COLUMNS."""
    index = COLUMNS.index(name)
    return [row[index] for _, row in rows]


def _harder(name: str, one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other) if name in LESS_IS_HARDER else max(one, other)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
