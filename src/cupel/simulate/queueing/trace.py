"""Changes as they came somewhere: from a CSV file or a repository's history."""

from __future__ import annotations

import collections
import csv
import dataclasses
import datetime as dt
import random
import re
from collections.abc import Sequence
from pathlib import Path

from cupel.config import quantity
from cupel.errors import ConfigError, UserError
from cupel.simulate.queueing import workload
from cupel.simulate.queueing.workload import Arrival, Parameters

COLUMNS = ("at", "paths", "seconds", "outcome")

OUTCOMES = {"pass": False, "fail": True, "": None}
"""Text in a trace → whether the change is bad; None leaves it to chance."""

_LARGEST = 64 << 20
"""Bytes that a trace may have."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A change of a trace: seconds since some moment, and what is known of it."""

    at: float
    paths: tuple[str, ...] = ()
    seconds: float | None = None
    bad: bool | None = None


def read(path: Path) -> list[Told]:
    """The changes of a CSV file in order of time.

    Raises `UserError`, with `file:line:column` where a value cannot be used.
    """
    lines = _text(path).splitlines()
    rows = [_Row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise ConfigError("the trace is empty", where=f"{path}:1:1", hint=_HINT)
    places = _places(rows[0])
    told = [_told(row, places) for row in rows[1:]]
    if not told:
        raise ConfigError("the trace has no changes", where=f"{path}:2:1", hint=_HINT)
    return sorted(told, key=lambda each: each.at)


class _Row:
    """A line of the file: its values, and errors that say where they are."""

    def __init__(self, path: Path, number: int, line: str) -> None:
        self._path, self._number, self._line = path, number, line
        self.values = [value.strip() for value in next(csv.reader([line]), [])]

    def wrong(self, place: int, message: str, hint: str) -> ConfigError:
        where = f"{self._path}:{self._number}:{self._column(place)}"
        return ConfigError(message, where=where, hint=hint)

    def _column(self, place: int) -> int:
        """Where a value begins, from 1: after so many commas outside of quotes."""
        quoted = False
        for column, letter in enumerate(self._line, 1):
            if not place:
                return column
            quoted ^= letter == '"'
            place -= letter == "," and not quoted
        return len(self._line) + 1


_HINT = "the first line names the columns: at, and if known paths, seconds, outcome"


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise UserError(f"{path} has more than 64 MiB", hint="give a part of the trace")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a text in UTF-8", hint=_HINT) from None


def _places(row: _Row) -> dict[str, int]:
    """Column → its place in each line."""
    found: dict[str, int] = {}
    for place, name in enumerate(row.values):
        if name not in COLUMNS or name in found:
            what = "there twice" if name in found else "unknown"
            raise row.wrong(place, f"the column {name!r} is {what}", _HINT)
        found[name] = place
    if "at" not in found:
        raise row.wrong(0, "the column at is missing", _HINT)
    return found


def _told(row: _Row, places: dict[str, int]) -> Told:
    if len(row.values) > len(places):
        raise row.wrong(len(places), "more values than columns", "quote texts that have commas")

    def value(name: str) -> str:
        place = places.get(name)
        return "" if place is None or place >= len(row.values) else row.values[place]

    def wrong(name: str, what: str, hint: str) -> ConfigError:
        return row.wrong(places[name], f"{value(name)!r} is no {what}", hint)

    at = _moment(value("at"))
    if at is None:
        raise wrong("at", "time", _TIMES)
    seconds = quantity.seconds(value("seconds")) if value("seconds") else None
    if value("seconds") and not seconds:
        raise wrong("seconds", "duration above zero", "write 1800, 30m or 1h30m")
    if value("outcome") not in OUTCOMES:
        raise wrong("outcome", "outcome", "write pass or fail, or nothing to leave it to chance")
    return Told(
        at=at,
        paths=tuple(value("paths").split()),
        seconds=seconds,
        bad=OUTCOMES[value("outcome")],
    )


_TIMES = "write seconds from the start, a duration such as 1h30m, or 2026-03-01T09:30:00Z"


def _moment(text: str) -> float | None:
    found = quantity.seconds(text)
    if found is not None:
        return found
    if not re.match(r"\d{4}-\d\d-\d\d", text):
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return moment.timestamp()


def logged(text: str) -> list[Told]:
    """The changes of `git log --format=%x01%ct --name-only -z`, whatever their order."""
    found: list[Told] = []
    for commit in text.split("\x01")[1:]:
        when, *paths = commit.split("\0")
        found.append(Told(at=float(when), paths=tuple(p.strip("\n") for p in paths if p.strip())))
    return sorted(found, key=lambda each: each.at)


def paced(told: Sequence[Told], *, rate: float | None, hours: float) -> list[Told]:
    """They from time zero on; with a rate the newest of them, squeezed or stretched to it."""
    if rate is not None:
        told = told[-max(1, round(rate * hours)) :]
    first = told[0].at
    span = told[-1].at - first
    factor = 1.0
    if rate is not None and span > 0:
        factor = len(told) / rate * 3600 / span
    return [dataclasses.replace(each, at=(each.at - first) * factor) for each in told]


def arrivals(p: Parameters, told: Sequence[Told], seed: int) -> list[Arrival]:
    """The trace's changes; what it does not tell is drawn as for made-up ones."""
    parts = _parts(told, p.parts)
    found: list[Arrival] = []
    for number, each in enumerate(told):
        chance = random.Random(f"trace {seed} {number}")  # noqa: S311 - nothing is secret here
        touched = sorted({parts[_top(path)] for path in each.paths})
        found.append(
            workload.arrival(
                p, chance, number, each.at, parts=touched, bad=each.bad, seconds=each.seconds
            )
        )
    return found


def _parts(told: Sequence[Told], count: int) -> dict[str, int]:
    """The most touched names at the top are parts of their own, and all others one together."""
    touched = collections.Counter(
        name for each in told for name in {_top(path) for path in each.paths}
    )
    ranked = sorted(touched, key=lambda name: (-touched[name], name))
    return {name: min(place, count - 1) for place, name in enumerate(ranked)}


def _top(path: str) -> str:
    return path.strip("/").partition("/")[0]
