"""How things went over weeks, from the rows of builds, items and pushes.

What is known of a week is kept once it has been over for another one, since hardly anything changes
it any more; so a look at months reads the rows of two or three weeks.
"""

from __future__ import annotations

import asyncio
import dataclasses
import weakref
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cupel.control.views import queue, since, turn
from cupel.control.views.nouns.trend import (
    JobTrendView,
    SpreadView,
    StaleJobView,
    TrendsView,
    WeekView,
)
from cupel.core import history, trend
from cupel.core.model import (
    Approval,
    Build,
    Buildset,
    BuildsetState,
    History,
    Item,
    PatchSet,
    Project,
    Reason,
)
from cupel.core.trend import Approved, Effort, JobEffort, Pushed, Ran, Spread, Went
from cupel.store.interface import Store, Transaction

MOST_WEEKS = 52
STALE = 14.0
"""Days after which a job that has not run is stale, unless asked otherwise."""

SETTLED = trend.WEEK
"""Seconds after a week's end in which what began in it may still come to an end."""

_NEWER = 2
"""The newest weeks of a job, one of which may have just begun, against those before them."""

_OVERLAP = 2 * trend.WEEK
"""How long before a week, at most, what ends in it has begun."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Week:
    """What is known of a project's week."""

    effort: Effort
    landings: Sequence[float] = ()
    verdicts: Sequence[float] = ()
    rejections: Mapping[Reason, int] = dataclasses.field(default_factory=dict)


Weeks = dict[float, dict[int, _Week]]
"""By when they began, and by project."""

_KEPT: weakref.WeakKeyDictionary[Store, Weeks] = weakref.WeakKeyDictionary()
"""By store: the weeks that are over."""


async def trends_view(
    store: Store,
    *,
    now: float,
    project: str | None = None,
    weeks: int = 12,
    stale_days: float = STALE,
    limit: int = 50,
) -> TrendsView:
    """The last weeks, of which the last is not over. Raises `NotFound`."""
    starts = [trend.week(now) - back * trend.WEEK for back in reversed(range(weeks))]
    async with turn.reading(store) as tx:
        rows = [await queue.named(tx, project)] if project is not None else await tx.select(Project)
        names = {row.id: row.name for row in rows}
        found = await _weeks(store, tx, starts, now)
        known = await _known_jobs(tx, names)
    weekly = {
        start: {project: week for project, week in found[start].items() if project in names}
        for start in starts
    }
    jobs = _jobs(names, weekly)
    return TrendsView(
        project=project,
        weeks=[_week(start, now, list(weekly[start].values())) for start in starts],
        jobs=jobs[:limit],
        stale=_stale(known, jobs, now - stale_days * trend.DAY),
        stale_days=stale_days,
    )


async def _weeks(store: Store, tx: Transaction, starts: Sequence[float], now: float) -> Weeks:
    """What is known of these weeks: what is kept of them, and what rows say of the others."""
    kept = _KEPT.setdefault(store, {})
    missing = [start for start in starts if start not in kept]
    found = await _measured(tx, missing) if missing else {}
    kept |= {s: week for s, week in found.items() if now > s + trend.WEEK + SETTLED}
    return {start: kept[start] if start in kept else found[start] for start in starts}


async def _measured(tx: Transaction, starts: Sequence[float]) -> Weeks:
    """What rows say of these weeks, which follow one another up to now."""
    efforts = {start: await _efforts(tx, start) for start in starts}
    after = await since.before(tx, Item, "enqueued_at", starts[0] - _OVERLAP)
    fields: tuple[str, ...] = ("project_id", *Went._fields)
    items: dict[int, list[Went]] = defaultdict(list)
    for project, *row in await since.values(tx, Item, fields, after=after):
        items[project].append(Went._make(row))
    after = await since.before(tx, PatchSet, "created_at", starts[0])
    pushes = [
        Pushed._make(row) for row in await since.values(tx, PatchSet, Pushed._fields, after=after)
    ]
    after = await since.before(tx, Approval, "created_at", starts[0] - _OVERLAP)
    names = Approved._fields
    approvals = [
        Approved._make(row) for row in await since.values(tx, Approval, names, after=after)
    ]
    found: Weeks = {start: {} for start in starts}
    for project in items.keys() | {each for week in efforts.values() for each in week}:
        landings = trend.landings(items[project], approvals)
        verdicts = trend.verdicts(items[project], pushes)
        rejections = trend.rejections(items[project])
        for start in starts:
            found[start][project] = _Week(
                effort=efforts[start].get(project, Effort()),
                landings=landings.get(start, ()),
                verdicts=verdicts.get(start, ()),
                rejections=rejections.get(start, {}),
            )
    return found


async def _efforts(tx: Transaction, start: float) -> dict[int, Effort]:
    """What the builds of a week cost, by project. A clock that was put back may have left a few
    among those of another week, which are left out there."""
    after = await since.before(tx, Build, "queued_at", start)
    until = await since.before(tx, Build, "queued_at", start + trend.WEEK)
    fields = ("project_id", *Ran._fields)
    builds: dict[int, list[Ran]] = defaultdict(list)
    for project, *row in await since.values(tx, Build, fields, after=after, until=until):
        build = Ran._make(row)
        if start <= build.queued_at < start + trend.WEEK:
            builds[project].append(build)
    every = [build for of_project in builds.values() for build in of_project]
    discarded = await _discarded(tx, every)
    spared = await _spared(tx, every)
    return {
        project: await asyncio.to_thread(
            trend.effort, of_project, discarded=discarded, spared=spared
        )
        for project, of_project in builds.items()
    }


async def _spared(tx: Transaction, builds: Sequence[Ran]) -> dict[int, float]:
    """How long the builds took whose passes these reused."""
    reused = {build.reused_from for build in builds if build.reused_from is not None}
    if not reused:
        return {}
    found = await tx.values(Build, ("id", "started_at", "finished_at"), {"id": reused})
    return {
        number: finished - started
        for number, started, finished in found
        if started is not None and finished is not None
    }


async def _discarded(tx: Transaction, builds: Sequence[Ran]) -> set[int]:
    """The states of these builds that nobody needed in the end."""
    states = {build.buildset_id for build in builds}
    if not states:
        return set()
    found = await tx.values(
        Buildset,
        ["id"],
        {"state": BuildsetState.SUPERSEDED},
        after=min(states) - 1,
        before=max(states) + 1,
    )
    return {number for (number,) in found} & states


def _week(start: float, now: float, parts: Sequence[_Week]) -> WeekView:
    """The week of these projects together."""
    landed = [seconds for part in parts for seconds in part.landings]
    verdicts = [seconds for part in parts for seconds in part.verdicts]
    efforts = [part.effort for part in parts]
    rejected: Counter[Reason] = Counter()
    for part in parts:
        rejected.update(part.rejections)
    return WeekView(
        start=start,
        days=min(now - start, trend.WEEK) / trend.DAY,
        landed=len(landed),
        rejected={str(why): count for why, count in rejected.most_common()},
        to_landed=_spread(trend.spread(landed)),
        to_verdict=_spread(trend.spread(verdicts)),
        machine_wait=_spread(trend.spread([wait for each in efforts for wait in each.waits])),
        machine_seconds=sum(each.seconds for each in efforts),
        aborted=sum(each.aborted for each in efforts),
        infrastructure=sum(each.infrastructure for each in efforts),
        repeated=sum(each.repeated for each in efforts),
        discarded=sum(each.discarded for each in efforts),
        ran=sum(each.ran for each in efforts),
        reused=sum(each.reused for each in efforts),
        saved=sum(each.saved for each in efforts),
    )


def _spread(found: Spread | None) -> SpreadView | None:
    return None if found is None else SpreadView(**dataclasses.asdict(found))


def _jobs(names: Mapping[int, str], weeks: Weeks) -> list[JobTrendView]:
    """Jobs by what they cost of machines, the dearest first."""
    by_job: dict[tuple[int, str], list[JobEffort]] = defaultdict(list)
    for week in weeks.values():
        for project, of_project in week.items():
            for job, each in of_project.effort.jobs.items():
                by_job[project, job].append(each)
    found = [_job(names[project], job, parts) for (project, job), parts in by_job.items()]
    return sorted(found, key=lambda job: -job.machine_seconds)


def _job(project: str, job: str, weeks: Sequence[JobEffort]) -> JobTrendView:
    older = [seconds for week in weeks[:-_NEWER] for seconds in week.passes]
    newer = [seconds for week in weeks[-_NEWER:] for seconds in week.passes]
    grown = trend.growth(older, newer)
    return JobTrendView(
        project=project,
        job=job,
        runs=sum(week.runs for week in weeks),
        failures=sum(week.failures for week in weeks),
        passes=_spread(trend.spread([seconds for week in weeks for seconds in week.passes])),
        machine_seconds=sum(week.seconds for week in weeks),
        last_at=max(week.last_at for week in weeks),
        grew=None if grown is None else grown.after / grown.before,
    )


async def _known_jobs(tx: Transaction, names: dict[int, str]) -> set[tuple[str, str]]:
    """All jobs that these projects have ever run."""
    found = await tx.values(History, ("project_id", "subject"), {"project_id": set(names)})
    prefix = history.of_job("")
    return {
        (names[project], subject.removeprefix(prefix))
        for project, subject in found
        if subject.startswith(prefix)
    }


def _stale(
    known: Iterable[tuple[str, str]], jobs: Sequence[JobTrendView], before: float
) -> list[StaleJobView]:
    """Jobs that have not run since then, those for longest first."""
    last: dict[tuple[str, str], float | None] = dict.fromkeys(known)
    last |= {(job.project, job.job): job.last_at for job in jobs}
    old = [(at, *key) for key, at in last.items() if at is None or at < before]
    old.sort(key=_age)
    return [StaleJobView(project=project, job=job, last_at=at) for at, project, job in old]


def _age(job: tuple[Any, ...]) -> tuple[Any, ...]:
    return (job[0] or 0.0, *job[1:])
