"""Tests of a build that are chosen by what they are like, and put in an order.

By outcome, suite and duration they are chosen from the outline of the file alone; only those on a
page are read. For a text in their names all of them are.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

from cupel.core.results import Result
from cupel.report.results import collect
from cupel.report.results.kept import Kept


class Order(enum.StrEnum):
    """`outcome`: those that failed first, then flaky and skipped ones. `slowest` first."""

    OUTCOME = "outcome"
    SLOWEST = "slowest"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Of this outcome and suite, with this in their names, that took at least so many seconds."""

    outcome: str | None = None
    text: str | None = None
    suite: str | None = None
    least: float | None = None
    order: Order = Order.OUTCOME


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """How the tests of a suite went together."""

    name: str
    total: int
    failed: int
    flaky: int
    skipped: int
    seconds: float


def page(kept: Kept, choice: Choice, first: int, count: int) -> list[Result]:
    """So many of those that are chosen, from the `first` of them on."""
    if choice.text:
        hits: Iterable[Result] = (each for each in kept.matching(choice.text) if fits(each, choice))
        if choice.order is Order.SLOWEST:
            hits = sorted(hits, key=lambda each: -(each.seconds or 0.0))
        return list(itertools.islice(hits, first, first + count))
    if choice.suite is None and choice.least is None and choice.order is Order.OUTCOME:
        if choice.outcome is None:
            return kept.page(first, count)
        return kept.of(choice.outcome, first, count)
    return kept.places(_places(kept, choice)[first : first + count])


def fits(result: Result, choice: Choice) -> bool:
    """Whether a result is one of those that are chosen, whatever it is called."""
    return (
        _is_of(result, choice.outcome)
        and (choice.suite is None or result.suite == choice.suite)
        and (choice.least is None or (result.seconds or 0.0) >= choice.least)
    )


def suites(kept: Kept, choice: Choice) -> list[Suite]:
    """The suites of what is chosen by outcome, suite and duration; those that failed first."""
    outline = kept.outline()
    spans = {name: collect.span(kept.tally, name) for name in ("failed", "flaky", "skipped")}
    counts = [[0, 0, 0, 0] for _ in outline.suites]
    seconds = [0.0] * len(outline.suites)
    for at in _places(kept, dataclasses.replace(choice, order=Order.OUTCOME)):
        suite = outline.suite[at]
        counts[suite][0] += 1
        for column, (start, end) in enumerate(spans.values(), start=1):
            counts[suite][column] += start <= at < end
        took = outline.seconds[at]
        seconds[suite] += 0.0 if math.isnan(took) else took
    found = [
        Suite(name=name, total=of[0], failed=of[1], flaky=of[2], skipped=of[3], seconds=took)
        for name, of, took in zip(outline.suites, counts, seconds, strict=True)
        if of[0]
    ]
    if choice.order is Order.SLOWEST:
        return sorted(found, key=lambda each: (-each.seconds, each.name))
    return sorted(found, key=lambda each: (-each.failed, -each.flaky, each.name))


def _places(kept: Kept, choice: Choice) -> Sequence[int]:
    """Where those are that are chosen, in the order that was asked for."""
    outline = kept.outline()
    start, end = 0, len(outline.seconds)
    if choice.outcome is not None:
        start, end = collect.span(kept.tally, choice.outcome)
    found: Sequence[int] = range(start, end)
    if choice.suite is not None:
        found = list(_of_suite(outline.suite, _number(outline.suites, choice.suite), found))
    if choice.least is not None:
        found = [at for at in found if outline.seconds[at] >= choice.least]
    if choice.order is Order.SLOWEST:
        took = [0.0 if math.isnan(each) else each for each in outline.seconds]
        found = sorted(found, key=lambda at: -took[at])
    return found


def _of_suite(suite: Sequence[int], number: int, places: Iterable[int]) -> Iterator[int]:
    return (at for at in places if suite[at] == number)


def _number(suites: Sequence[str], name: str) -> int:
    """The place of a suite; -1 for one that there is not."""
    return suites.index(name) if name in suites else -1


def _is_of(result: Result, outcome: str | None) -> bool:
    match outcome:
        case None:
            return True
        case "failed":
            return result.is_failed
        case "flaky":
            return result.flaky and not result.is_failed
        case _:
            return str(result.outcome) == outcome and not result.flaky
