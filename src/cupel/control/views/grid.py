"""The tests of a job over its newest builds, from the tables of their results."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from cupel.control.views import build, queue
from cupel.control.views.nouns.grid import (
    ClusterView,
    GridGroupView,
    GridRowView,
    GridView,
    TimedView,
    TimesView,
)
from cupel.core import grid
from cupel.core.grid import Row
from cupel.core.results import FailedTest, Results
from cupel.errors import CupelError
from cupel.report.results import kept
from cupel.report.results.store import ResultStore
from cupel.store.interface import Transaction

BUILDS = 30
MOST_BUILDS = 100
ROWS = 300
"""Tests that are shown at most."""

TIMED = 16
"""Builds that durations are compared in."""

_FAILURES = 2_000
"""Failures that are looked at: more are of a job that is broken altogether."""

_RECENT = 2_000
"""Newest results among which jobs are looked for."""

Outcomes = Mapping[str, str]
"""How tests went in a build, by the beginnings of their digests."""


async def grid_view(
    tx: Transaction,
    store: ResultStore,
    project: str,
    job: str,
    *,
    now: float,
    builds: int = BUILDS,
    before: int | None = None,
    text: str = "",
    group: str = "",
    cluster: str = "",
    green: bool = False,
) -> GridView:
    """How tests went: those that did not pass everywhere, or with `green` all.

    With a `text` in their names, or of a `cluster` of errors; grouped as `grid.grouped` does.
    Raises `NotFound`.
    """
    numbers, following = await _builds(tx, project, job, builds, before)
    went, names = await asyncio.to_thread(_read, store, numbers, green)
    fields = ("build_id", "test", "result")
    where = {"build_id": set(numbers)}
    failures = [
        (number, test, result)
        for number, test, result in await tx.values(
            FailedTest, fields, where, descending=True, limit=_FAILURES
        )
    ]
    names |= {test: result.id for _, test, result in failures}
    alike = grid.clusters((number, test, result.message) for number, test, result in failures)
    only = next((set(each.tests) for each in alike if each.key == cluster), None)
    new = await asyncio.to_thread(_new, store, numbers, went)
    names |= new
    rows = [
        _row(test, name, went)
        for test, name in names.items()
        if text.casefold() in name.casefold() and (only is None or test in only)
    ]
    shown = grid.ordered(rows)
    return GridView(
        project=project,
        job=job,
        builds=await build.refs(tx, numbers, now=now),
        groups=_groups(shown[:ROWS], group, numbers, new),
        clusters=[
            ClusterView(
                key=each.key,
                error=each.error,
                count=each.count,
                tests=len(each.tests),
                builds=list(each.builds),
            )
            for each in alike[:10]
        ],
        tests=len(went[0]) if went else 0,
        hidden=0 if green or text or cluster else max((len(went[0]) if went else 0) - len(rows), 0),
        more=max(len(shown) - ROWS, 0),
        next=following,
    )


async def times_view(
    tx: Transaction, store: ResultStore, project: str, job: str, *, limit: int = 50
) -> TimesView:
    """How long tests take. Raises `NotFound`."""
    numbers, _ = await _builds(tx, project, job, TIMED, None)
    times = await asyncio.to_thread(_times, store, numbers)
    shown = [
        TimedView(name=each.test, seconds=each.seconds, before=each.grew)
        for each in grid.timed(times)
    ]
    return TimesView(
        project=project,
        job=job,
        builds=len(times),
        slowest=shown[:limit],
        grown=[each for each in shown if each.before is not None][:limit],
    )


async def jobs_with_tests(tx: Transaction, project: str) -> list[str]:
    """The jobs of a project that left results lately, by name. Raises `NotFound`."""
    row = await queue.named(tx, project)
    where = {"project_id": row.id}
    found = await tx.values(Results, ["job"], where, descending=True, limit=_RECENT)
    return sorted({job for (job,) in found})


async def outcomes_of(
    tx: Transaction, store: ResultStore, project_id: int, job: str
) -> dict[int, Outcomes]:
    """How tests went in the newest builds of a job, newest first."""
    where = {"project_id": project_id, "job": job}
    found = await tx.values(Results, ["id"], where, descending=True, limit=BUILDS)
    numbers = [number for (number,) in found]
    went, _ = await asyncio.to_thread(_read, store, numbers, False)
    return dict(zip(numbers, went, strict=True))


async def _builds(
    tx: Transaction, project: str, job: str, count: int, before: int | None
) -> tuple[list[int], int | None]:
    """The newest builds of a job that left results, and where older ones go on."""
    row = await queue.named(tx, project)
    found = await tx.values(
        Results,
        ["id"],
        {"project_id": row.id, "job": job},
        descending=True,
        limit=count + 1,
        before=before,
    )
    numbers = [number for (number,) in found]
    return numbers[:count], numbers[count - 1] if len(numbers) > count else None


def _read(
    store: ResultStore, builds: Sequence[int], green: bool
) -> tuple[list[Outcomes], dict[str, str]]:
    """How tests went in each build, and with `green` the names of the newest one's. Reads files."""
    went: list[Outcomes] = []
    names: dict[str, str] = {}
    for number in builds:
        found: Outcomes = {}
        with contextlib.suppress(CupelError), store.open(number) as file:
            found = file.outcomes()
            if green and not names:
                names = {result.digest: result.id for result in file.page(0, 10 * ROWS)}
        went.append(found)
    return went, names


def _new(store: ResultStore, builds: Sequence[int], went: Sequence[Outcomes]) -> dict[str, str]:
    """The names of new tests, by their digests. Reads a file."""
    fresh = grid.new([frozenset(each) for each in went])
    names: dict[str, str] = {}
    if fresh and len(fresh) <= ROWS:
        with contextlib.suppress(CupelError), store.open(builds[0]) as file:
            for result in file:
                if kept.short(result.digest) in fresh:
                    names[result.digest] = result.id
    return names


def _row(test: str, name: str, went: Sequence[Outcomes]) -> Row:
    short = kept.short(test)
    outcomes = tuple(each.get(short, grid.ABSENT) for each in went)
    return Row(test=test, name=name, outcomes=outcomes)


def _groups(
    rows: Sequence[Row], by: str, builds: Sequence[int], new: Mapping[str, Any]
) -> list[GridGroupView]:
    return [
        GridGroupView(name=name, rows=[_shown(row, builds, new) for row in members])
        for name, members in grid.grouped(rows, by)
    ]


def _shown(row: Row, builds: Sequence[int], new: Mapping[str, Any]) -> GridRowView:
    has = (number for number, each in zip(builds, row.outcomes, strict=True) if each != grid.ABSENT)
    return GridRowView(
        test=row.test,
        name=row.name,
        state=row.state,
        outcomes=list(row.outcomes),
        failures=row.failures,
        score=round(row.score, 3),
        build=next(has, None),
        is_new=row.test in new,
    )


def _times(store: ResultStore, builds: Sequence[int]) -> list[dict[str, float]]:
    """How long tests took in each build that still has its results. Reads files."""
    found: list[dict[str, float]] = []
    for number in builds:
        with contextlib.suppress(CupelError), store.open(number) as file:
            found.append(file.seconds())
    return found
