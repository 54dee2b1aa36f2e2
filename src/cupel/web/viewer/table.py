"""Values between commas or tabs, as a table."""

from __future__ import annotations

import csv
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import BinaryIO

SEPARATORS: Mapping[str, str] = {".csv": ",", ".tsv": "\t"}
ROWS = 200
COLUMNS = 50
CELL = 500
"""Characters of a cell that are shown."""

LOOKED_AT = 64 << 20
"""Bytes that are read to come to a row."""

LONGEST = 1 << 20
"""Bytes of a line that are read."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows `first` (of 1, without the heading) to `last`; `next` is the first of those after them.

    `wide`: there are more columns than are shown.
    """

    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    first: int
    next: int | None
    wide: bool = False
    note: str = ""

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1


def of(file: BinaryIO, separator: str, first: int) -> Table:
    """The rows from `first` on. What cannot be read as such ends the table, with a note."""
    heading: list[str] = []
    rows: list[list[str]] = []
    note = ""
    reader = csv.reader(_lines(file), delimiter=separator)
    try:
        heading = next(reader, [])
        rows = list(itertools.islice(reader, first - 1, first + ROWS))
    except csv.Error as error:
        note = f"It cannot be read as a table further than this: {error}."
    except _Enough:
        note = "It is too long to be shown here further than this."
    width = max([len(heading), *map(len, rows)])
    return Table(
        heading=_cells(heading),
        rows=tuple(_cells(row) for row in rows[:ROWS]),
        first=first,
        next=first + ROWS if len(rows) > ROWS else None,
        wide=width > COLUMNS,
        note=note,
    )


class _Enough(Exception):
    """More was read than is good."""


def _lines(file: BinaryIO) -> Iterator[str]:
    read = 0
    while line := file.readline(LONGEST):
        read += len(line)
        if read > LOOKED_AT:
            raise _Enough
        yield line.decode("utf-8-sig" if read == len(line) else "utf-8", "replace")


def _cells(row: list[str]) -> tuple[str, ...]:
    return tuple(cell if len(cell) <= CELL else cell[: CELL - 1] + "…" for cell in row[:COLUMNS])
