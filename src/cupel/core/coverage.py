"""Which lines tests have run, and how much of what a change adds is among them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

Span = tuple[int, int]
"""The first and the last of lines that follow each other."""

Lines = Mapping[str, Sequence[Span]]
"""By path, lines in order."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FileCoverage:
    """Lines of a file that could be run: those that were, and those that were not."""

    covered: tuple[Span, ...]
    missed: tuple[Span, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AddedCoverage:
    """How much of the lines that a change adds to a file was run. The others can't be."""

    path: str
    covered: int
    missed: int
    spans: tuple[Span, ...]
    """Those that were not."""


def spans(lines: Iterable[int]) -> tuple[Span, ...]:
    """Lines, each once, as spans in order."""
    found: list[Span] = []
    for line in sorted(lines):
        if found and found[-1][1] == line - 1:
            found[-1] = found[-1][0], line
        else:
            found.append((line, line))
    return tuple(found)


def count(of: Iterable[Span]) -> int:
    return sum(last - first + 1 for first, last in of)


def common(one: Sequence[Span], other: Sequence[Span]) -> Iterator[Span]:
    """What is in both, each in order."""
    at = 0
    for first, last in one:
        while at < len(other) and other[at][1] < first:
            at += 1
        here = at
        while here < len(other) and other[here][0] <= last:
            yield max(first, other[here][0]), min(last, other[here][1])
            here += 1


def of_added(coverage: Mapping[str, FileCoverage], added: Lines) -> list[AddedCoverage]:
    """For each file that is covered at all, what was run of what a change adds to it."""
    named = _Names(coverage)
    found: list[AddedCoverage] = []
    for path, lines in sorted(added.items()):
        file = named.find(path)
        if file is None:
            continue
        missed = tuple(common(lines, file.missed))
        covered = count(common(lines, file.covered))
        if covered or missed:
            found.append(
                AddedCoverage(path=path, covered=covered, missed=count(missed), spans=missed)
            )
    return found


class _Names:
    """Files by their paths, or by the end of one where a tool says less or more of it."""

    def __init__(self, coverage: Mapping[str, FileCoverage]) -> None:
        self._coverage = coverage
        self._by_name: dict[str, list[str]] = {}
        for path in coverage:
            self._by_name.setdefault(path.rpartition("/")[2], []).append(path)

    def find(self, path: str) -> FileCoverage | None:
        if path in self._coverage:
            return self._coverage[path]
        ends = [
            other
            for other in self._by_name.get(path.rpartition("/")[2], ())
            if path.endswith(f"/{other}") or other.endswith(f"/{path}")
        ]
        return self._coverage[ends[0]] if len(ends) == 1 else None


def touches(added: Lines, path: str | None, line: int | None, last: int | None = None) -> bool:
    """Whether a change adds any of these lines, or to the file if no line is said."""
    if path is None or path not in added:
        return False
    if line is None:
        return True
    return any(True for _ in common([(line, max(line, last or line))], added[path]))
