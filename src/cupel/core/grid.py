"""Tests over builds: how each went in each, which fail alike, and which are new. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from cupel.core import trend

FAILED, FLAKY, SKIPPED, PASSED, ABSENT = "failed", "flaky", "skipped", "passed", "absent"
BAD = frozenset({FAILED, FLAKY})
_BY_OUTCOME = {FAILED: (True,), FLAKY: (True, False), PASSED: (False,)}

OLDER = 5
"""Builds that must have gone without a test for it to be new."""

_LONGEST_ERROR = 200


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A test: what became of it in each build, newest first; `score` is how much it went to and fro
    (`trend.transitions`)."""

    test: str
    name: str
    outcomes: tuple[str, ...]

    @property
    def failures(self) -> int:
        return sum(outcome in BAD for outcome in self.outcomes)

    @property
    def score(self) -> float:
        ran = [each for each in self.outcomes if each in BAD or each == PASSED]
        # One that failed and passed within a build went to and fro in it.
        told = [
            bad for each in ran for bad in ((True, False) if each == FLAKY else (each != PASSED,))
        ]
        return trend.transitions(told)

    @property
    def state(self) -> str:
        """In a word: failing now, flaky, failed before, skipped, or passing."""
        last = next((each for each in self.outcomes if each not in (ABSENT, SKIPPED)), None)
        if last is None:
            return SKIPPED if SKIPPED in self.outcomes else ABSENT
        if last == FAILED:
            return "failing"
        return "flaky" if self.score >= FLAKES else "mended" if self.failures else PASSED


FLAKES = 0.3
"""From which score on a test counts as going to and fro."""

_ORDER = ("failing", "flaky", "mended", SKIPPED, PASSED, ABSENT)


def ordered(rows: Iterable[Row]) -> list[Row]:
    """What needs looking at first: what fails now, then what goes to and fro, then by name."""
    return sorted(
        rows, key=lambda row: (_ORDER.index(row.state), -row.failures, -row.score, row.name)
    )


def grouped(rows: Iterable[Row], by: str) -> list[tuple[str, list[Row]]]:
    """Rows by `file`, what stands before the test's own name, or by what `*` stands for in a text
    such as `test_*_`. Those without it come last and have no name.

    An expression would say more, but one that takes for ever would stop the server.
    """
    if not by:
        return [("", list(rows))]
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[_group(row.name, by)].append(row)
    return sorted(found.items(), key=lambda group: (group[0] == "", group[0]))


def _group(name: str, by: str) -> str:
    if by == "file":
        return name.rpartition("::")[0]
    head, star, tail = by.partition("*")
    _, found, rest = name.partition(head) if head else ("", True, name)
    if not found:
        return ""
    if not star:
        return by
    if not tail:
        return rest
    inner, ends, _ = rest.partition(tail)
    return inner if ends else ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Failures with the same error, but for numbers and the like: `key` names it in addresses."""

    key: str
    error: str
    count: int
    tests: tuple[str, ...]
    builds: tuple[int, ...]


def clusters(failures: Iterable[tuple[int, str, str]]) -> list[Cluster]:
    """Failures as (build, test, message) by their errors, the most frequent first."""
    found: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    for failure in failures:
        found[error(failure[2])].append(failure)
    made = [
        Cluster(
            key=hashlib.blake2b(text.encode(), digest_size=6).hexdigest(),
            error=text,
            count=len(members),
            tests=tuple(dict.fromkeys(test for _, test, _ in members)),
            builds=tuple(sorted({build for build, _, _ in members}, reverse=True)),
        )
        for text, members in found.items()
        if text
    ]
    return sorted(made, key=lambda cluster: (-cluster.count, cluster.error))


_VARIES = re.compile(
    r"0x[0-9a-fA-F]+|\b[0-9a-f]{7,64}\b(?=[^a-z]|$)|\b\d+(?:[.:,]\d+)*\b|/(?:tmp|var)/\S+"
)


def error(message: str) -> str:
    """The first line of a message, without what differs from time to time."""
    line = next((each.strip() for each in message.splitlines() if each.strip()), "")
    return _VARIES.sub("…", line)[:_LONGEST_ERROR]


def new(tests: Sequence[frozenset[str]]) -> frozenset[str]:
    """The tests of builds, newest first, that the newest has and older ones had not: at least
    `OLDER` builds, of which none had it, must be known before the first that has it."""
    if len(tests) <= OLDER:
        return frozenset()
    older: frozenset[str] = frozenset().union(*tests[-OLDER:])
    return tests[0] - older if older else frozenset()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """How long a test takes, in the middle; `grew` is what it took before, if it has grown."""

    test: str
    seconds: float
    grew: float | None


def timed(builds: Sequence[Mapping[str, float]]) -> list[Timed]:
    """The tests of builds, newest first, by how long they take: the longest first.

    Whether one has grown is told by the newer half of the builds against the older half.
    """
    times: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for place, build in enumerate(builds):
        for test, seconds in build.items():
            times[test][2 * place >= len(builds)].append(seconds)
    found = [_timed(test, newer, older) for test, (newer, older) in times.items() if newer]
    return sorted(found, key=lambda each: (-each.seconds, each.test))


def _timed(test: str, newer: list[float], older: list[float]) -> Timed:
    grown = trend.growth(older, newer)
    middle = trend.rank(sorted(newer), 0.5)
    return Timed(test=test, seconds=middle, grew=None if grown is None else grown.before)
