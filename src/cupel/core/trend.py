"""What became of months of work, by week: how long it took, what it cost, what was in vain. Pure.

Rows come as tuples of a few fields, since there are very many. A week begins on Monday, in UTC.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from cupel.core.model import ItemState, Part, Pipeline, Purpose, Reason, Verdict

DAY = 86_400.0
WEEK = 7 * DAY
_MONDAY = 4 * DAY
"""The first one after the epoch, which was a Thursday."""

FENCE = 3.0
"""How many interquartile ranges above the third quartile a value is out of the ordinary."""

GREW = 1.25
"""How many times its earlier median a duration is at least, to have grown."""


class Ran(NamedTuple):
    """A build."""

    id: int
    job: str
    verdict: Verdict | None
    queued_at: float
    started_at: float | None
    finished_at: float | None
    purpose: Purpose
    reused_from: int | None
    buildset_id: int
    parts: tuple[Part, ...]


class Went(NamedTuple):
    """An item."""

    id: int
    change_id: int | None
    patch_set: int | None
    pipeline: Pipeline
    state: ItemState
    reason: Reason | None
    enqueued_at: float
    finished_at: float | None


class Pushed(NamedTuple):
    """A patch set."""

    change_id: int
    number: int
    created_at: float


class Approved(NamedTuple):
    change_id: int
    patch_set: int
    created_at: float
    withdrawn_at: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Percentiles of `count` durations, in seconds."""

    count: int
    p50: float
    p95: float
    p99: float


@dataclasses.dataclass(slots=True, kw_only=True)
class JobEffort:
    """A job in a week: how long its passes took, and what all its builds cost."""

    runs: int = 0
    failures: int = 0
    seconds: float = 0.0
    passes: list[float] = dataclasses.field(default_factory=list)
    last_at: float = 0.0


@dataclasses.dataclass(slots=True, kw_only=True)
class Effort:
    """What the builds of a week cost, in seconds of machines; and what reuse spared.

    Each build counts in one of the kinds of waste at most: `aborted` before its end, ended by the
    `infrastructure`, `repeated` since another one had failed, or for a state that was `discarded`.
    """

    waits: list[float] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    aborted: float = 0.0
    infrastructure: float = 0.0
    repeated: float = 0.0
    discarded: float = 0.0
    ran: int = 0
    reused: int = 0
    saved: float = 0.0
    jobs: dict[str, JobEffort] = dataclasses.field(default_factory=dict)


def week(at: float) -> float:
    """When the week of a time began."""
    return (at - _MONDAY) // WEEK * WEEK + _MONDAY


def spread(values: Sequence[float]) -> Spread | None:
    """Percentiles by nearest rank; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    p50, p95, p99 = (rank(ordered, share) for share in (0.5, 0.95, 0.99))
    return Spread(count=len(ordered), p50=p50, p95=p95, p99=p99)


def rank(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def effort(
    builds: Iterable[Ran], *, discarded: Collection[int], spared: Mapping[int, float]
) -> Effort:
    """What builds cost. `discarded` are the buildsets that nobody needed in the end; `spared` is
    how long the builds took whose passes were reused."""
    found = Effort()
    for build in builds:
        if build.reused_from is not None:
            found.reused += 1
            found.saved += spared.get(build.reused_from, 0.0)
        elif build.started_at is not None and build.finished_at is not None:
            _count(found, build, build.started_at, build.finished_at, discarded)
    return found


def _count(
    found: Effort, build: Ran, started: float, finished: float, discarded: Collection[int]
) -> None:
    seconds = max(finished - started, 0.0)
    cost = seconds * max(len(build.parts), 1)
    found.ran += 1
    found.seconds += cost
    found.waits.append(max(started - build.queued_at, 0.0))
    match build.verdict:
        case Verdict.CANCELLED:
            found.aborted += cost
        case Verdict.INFRA:
            found.infrastructure += cost
        case _ if build.purpose in (Purpose.RETRY, Purpose.RERUN):
            found.repeated += cost
        case _ if build.buildset_id in discarded:
            found.discarded += cost
        case _:
            pass
    job = found.jobs.setdefault(build.job, JobEffort())
    job.seconds += cost
    job.last_at = max(job.last_at, finished)
    if build.verdict in (Verdict.SUCCESS, Verdict.FAILURE, Verdict.TIMEOUT):
        job.runs += 1
        job.failures += build.verdict is not Verdict.SUCCESS
    if build.verdict is Verdict.SUCCESS:
        job.passes.append(seconds)


def landings(items: Iterable[Went], approvals: Iterable[Approved]) -> dict[float, list[float]]:
    """By week, how long each landing took since what the change last lacked to enter the gate: its
    approval, or else the wish to land it."""
    given = _last_given(approvals)
    found: dict[float, list[float]] = defaultdict(list)
    for item in items:
        if item.pipeline is not Pipeline.GATE or item.state is not ItemState.LANDED:
            continue
        if item.finished_at is None:
            continue
        begun = item.enqueued_at
        key = (item.change_id, item.patch_set)
        times = [at for at in given.get(key, ()) if at <= item.enqueued_at]
        if times:
            begun = max(times)
        found[week(item.finished_at)].append(item.finished_at - begun)
    return found


def _last_given(approvals: Iterable[Approved]) -> dict[tuple[int | None, int | None], list[float]]:
    found: dict[tuple[int | None, int | None], list[float]] = defaultdict(list)
    for each in approvals:
        if each.withdrawn_at is None:
            found[each.change_id, each.patch_set].append(each.created_at)
    return found


def verdicts(items: Iterable[Went], pushes: Iterable[Pushed]) -> dict[float, list[float]]:
    """By the week of its push, how long each patch set waited for its first verdict."""
    first: dict[tuple[int | None, int | None], float] = {}
    for item in items:
        if item.finished_at is None or item.state is ItemState.REMOVED:
            continue
        key = (item.change_id, item.patch_set)
        first[key] = min(item.finished_at, first.get(key, math.inf))
    found: dict[float, list[float]] = defaultdict(list)
    for push in pushes:
        at = first.get((push.change_id, push.number))
        if at is not None and at >= push.created_at:
            found[week(push.created_at)].append(at - push.created_at)
    return found


def rejections(items: Iterable[Went]) -> dict[float, Counter[Reason]]:
    """By week, why changes left the gate by a fault."""
    found: dict[float, Counter[Reason]] = defaultdict(Counter)
    for item in items:
        if (
            item.pipeline is Pipeline.GATE
            and item.state is ItemState.REJECTED
            and item.finished_at is not None
            and item.reason is not None
        ):
            found[week(item.finished_at)][item.reason] += 1
    return found


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """A duration that has grown: its median `before` and `after`."""

    before: float
    after: float


def growth(older: Sequence[float], newer: Sequence[float]) -> Growth | None:
    """Whether newer durations are longer than older ones, beyond what is ordinary for these.

    Both must hold: the newer median is above the older ones' third quartile by `FENCE` times their
    interquartile range, and `GREW` times their median. Fewer than four on either side tell nothing.
    """
    if len(older) < 4 or len(newer) < 4:
        return None
    before, after = sorted(older), sorted(newer)
    lower, middle, upper = (rank(before, share) for share in (0.25, 0.5, 0.75))
    now = rank(after, 0.5)
    if now <= upper + FENCE * (upper - lower) or now < GREW * middle:
        return None
    return Growth(before=middle, after=now)


def transitions(outcomes: Sequence[bool], fade: float = 0.9) -> float:
    """How flaky a test is by its outcomes, newest first: the share of times that the next one
    differed, where each counts `fade` times as much as the one after it. 0 of fewer than two."""
    weight, total, changed = 1.0, 0.0, 0.0
    for newer, older in itertools.pairwise(outcomes):
        total += weight
        changed += weight * (newer != older)
        weight *= fade
    return changed / total if total else 0.0
