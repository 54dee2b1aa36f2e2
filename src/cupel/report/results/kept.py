"""The file that keeps all results of a build, small and quick to ask.

After a line that names the format come blocks of `BLOCK` results each, as compressed JSON, in the
order of `collect.Collector.ordered`; then their outline, compressed: the seconds and the suite of
each, in that order; then a table of their digests, sorted, each with its place in that order; then
where the blocks and the outline are and what the suites are called, as compressed JSON; and the
lengths of the last two. So a page or one outcome is a few blocks, a test is found with a handful of
reads, and what is slow, or of one suite, is known without reading all.
"""

from __future__ import annotations

import array
import bisect
import contextlib
import dataclasses
import itertools
import json
import math
import os
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self

from cupel.core.results import Outcome, Result, Tally
from cupel.errors import InfraError
from cupel.report.results import collect

BLOCK = 500
_MAGIC = b"cupel results 2\n"
_END = struct.Struct(">QQ")
_ENTRY = struct.Struct(">8sI")
OUTCOMES = ("failed", "flaky", "skipped", "passed")
"""In the order of results in the file."""

_DIGEST = 16
"""Hexadecimal digits of a test's digest in the table."""


def write(file: BinaryIO, ordered: Sequence[Result], tally: Tally) -> None:
    file.write(_MAGIC)
    at, blocks = len(_MAGIC), [len(_MAGIC)]
    for first in range(0, len(ordered), BLOCK):
        rows = [_row(each) for each in ordered[first : first + BLOCK]]
        at += file.write(_packed(rows))
        blocks.append(at)
    suites: dict[str, int] = {}
    of = array.array("I", (suites.setdefault(each.suite, len(suites)) for each in ordered))
    took = array.array(
        "f", (math.nan if each.seconds is None else each.seconds for each in ordered)
    )
    outline = at + file.write(zlib.compress(_as_kept(took) + _as_kept(of), 3))
    entries = sorted(
        _ENTRY.pack(bytes.fromhex(each.digest[:_DIGEST]), place)
        for place, each in enumerate(ordered)
    )
    for entry in entries:
        file.write(entry)
    about = {"blocks": blocks, "outline": outline, "suites": list(suites)}
    described = _packed({**about, "tally": dataclasses.asdict(tally)})
    file.write(described)
    file.write(_END.pack(_ENTRY.size * len(entries), len(described)))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """By place, the seconds that a test took (not a number: unknown) and its suite, one of
    `suites`."""

    seconds: array.array[float]
    suite: array.array[int]
    suites: Sequence[str]


class Kept:
    """A file of results, open; close it, or use it as a context."""

    def __init__(self, path: Path) -> None:
        """Raises `FileNotFoundError`, and `InfraError` when the file is damaged."""
        self._file = path.open("rb")
        try:
            self._open()
        except (ValueError, KeyError, TypeError, zlib.error, struct.error) as error:
            self._file.close()
            raise _damaged() from error
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        size = os.fstat(self._file.fileno()).st_size
        table, described = _END.unpack(self._at(size - _END.size, _END.size))
        start = size - _END.size - described
        about = json.loads(zlib.decompress(self._at(start, described)))
        self.tally = Tally(**about["tally"])
        self._blocks: list[int] = about["blocks"]
        self._table = start - table
        self._count = table // _ENTRY.size
        self._suites: list[str] = about["suites"]
        if self._at(0, len(_MAGIC)) != _MAGIC or about["outline"] != self._table:
            raise ValueError("not a file of results")

    def page(self, first: int, count: int) -> list[Result]:
        """So many results from a place on, in their order."""
        last = min(first + count, self._count)
        found: list[Result] = []
        for block in range(first // BLOCK, -(-last // BLOCK) if last > first else 0):
            start = block * BLOCK
            found += _results(self._rows(block)[max(first - start, 0) : last - start])
        return found

    def outline(self) -> Outline:
        """How long each took and which suite it is of, without reading the rest."""
        start = self._blocks[-1]
        with _whole():
            text = zlib.decompress(self._at(start, self._table - start))
            took, of = array.array("f"), array.array("I")
            took.frombytes(text[: 4 * self._count])
            of.frombytes(text[4 * self._count : 8 * self._count])
            if sys.byteorder == "big":
                took.byteswap()
                of.byteswap()
            if len(took) != len(of):
                raise ValueError("an outline that is cut off")
        return Outline(seconds=took, suite=of, suites=self._suites)

    def places(self, places: Sequence[int]) -> list[Result]:
        """The results of these places, in that order; blocks are read once for all in them."""
        found: dict[int, Result] = {}
        for block, within in itertools.groupby(sorted(set(places)), key=lambda at: at // BLOCK):
            wanted = list(within)
            rows = self._rows(block)
            results = _results([rows[at - block * BLOCK] for at in wanted])
            found |= dict(zip(wanted, results, strict=True))
        return [found[at] for at in places]

    def of(self, outcome: str, first: int, count: int) -> list[Result]:
        """So many results of an outcome from the `first` of them on (`collect.span`)."""
        start, end = collect.span(self.tally, outcome)
        return self.page(start + first, max(min(count, end - start - first), 0))

    def find(self, digest: str) -> Result | None:
        """The result of the test with this digest."""
        wanted = bytes.fromhex(digest[:_DIGEST])
        at = bisect.bisect_left(range(self._count), wanted, key=lambda index: self._entry(index)[0])
        while at < self._count and (entry := self._entry(at))[0] == wanted:
            for result in self.page(entry[1], 1):
                if result.digest == digest:
                    return result
            at += 1
        return None

    def outcomes(self) -> dict[str, str]:
        """How each test went, by the beginning of its digest (`short`): failed, flaky, skipped or
        passed. Only the table is read, since the order of results tells."""
        table = self._at(self._table, self._count * _ENTRY.size)
        spans = [(collect.span(self.tally, name), name) for name in OUTCOMES]
        found: dict[str, str] = {}
        for digest, place in _ENTRY.iter_unpack(table):
            for (start, end), name in spans:
                if start <= place < end:
                    found[digest.hex()] = name
        return found

    def seconds(self) -> dict[str, float]:
        """How long each test took that passed and was measured, by its id."""
        found: dict[str, float] = {}
        start, end = collect.span(self.tally, "passed")
        for block in range(start // BLOCK, len(self._blocks) - 1):
            rows = self._rows(block)
            with _whole():
                for row in rows[max(start - block * BLOCK, 0) : end - block * BLOCK]:
                    if len(row) > _SECONDS and row[_SECONDS] is not None:
                        found[f"{row[0]}::{row[1]}" if row[0] else row[1]] = float(row[_SECONDS])
        return found

    def matching(self, part: str) -> Iterator[Result]:
        """Those whose id contains a text, whatever the case; all are looked at."""
        part = part.casefold()
        for block in range(len(self._blocks) - 1):
            rows = self._rows(block)
            # Few of many: only these are made results, whose id is then looked at.
            with _whole():
                likely = [row for row in rows if part in f"{row[0]}::{row[1]}".casefold()]
            yield from (each for each in _results(likely) if part in each.id.casefold())

    def __iter__(self) -> Iterator[Result]:
        for block in range(len(self._blocks) - 1):
            yield from _results(self._rows(block))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def _rows(self, number: int) -> list[list[Any]]:
        start, end = self._blocks[number : number + 2]
        with _whole():
            return list(json.loads(zlib.decompress(self._at(start, end - start))))

    def _entry(self, index: int) -> tuple[bytes, int]:
        found: tuple[bytes, int] = _ENTRY.unpack(
            self._at(self._table + index * _ENTRY.size, _ENTRY.size)
        )
        return found

    def _at(self, offset: int, size: int) -> bytes:
        if offset < 0:
            raise ValueError("too short")
        return os.pread(self._file.fileno(), size, offset)


def _as_kept(values: array.array[Any]) -> bytes:
    """Little-endian, on whatever computer."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def _packed(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return zlib.compress(text.encode("utf-8", "replace"), 3)


_FIELDS = tuple(field.name for field in dataclasses.fields(Result))


_SECONDS = _FIELDS.index("seconds")


def short(digest: str) -> str:
    """As much of a test's digest as `Kept.outcomes` has."""
    return digest[:_DIGEST]


def _row(result: Result) -> list[Any]:
    """The fields of a result in their order, without those at the end that say nothing."""
    row: list[Any] = [getattr(result, name) for name in _FIELDS]
    while row[-1] is None or row[-1] is False or row[-1] == "":
        row.pop()
    return row


def _results(rows: Sequence[list[Any]]) -> list[Result]:
    with _whole():
        return [_result(row) for row in rows]


def _result(row: list[Any]) -> Result:
    fields = dict(zip(_FIELDS, row, strict=False))
    fields["outcome"] = Outcome(fields["outcome"])
    return Result(**fields)


@contextlib.contextmanager
def _whole() -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, zlib.error, struct.error) as error:
        raise _damaged() from error


def _damaged() -> InfraError:
    return InfraError("a file of test results is damaged", hint="look at the disk of the server")
