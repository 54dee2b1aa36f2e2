"""A change's place in a queue: how it stands, what it waits for, and its jobs."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

from cupel.control.views import estimate, fleet, lane, lookup
from cupel.control.views.nouns.estimate import JobEstimateView
from cupel.control.views.nouns.item import (
    AlternativeView,
    ItemView,
    JobView,
    ProofView,
    ReusedJobView,
)
from cupel.core import graph
from cupel.core.model import (
    LIVE_ITEMS,
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Change,
    Item,
    ItemState,
    Job,
    PatchSet,
    Pipeline,
    Project,
    Role,
    Verdict,
)
from cupel.report import messages
from cupel.store.interface import Transaction


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """All that the views of some items are made of, read in one select per kind."""

    projects: Mapping[int, Project]
    changes: Mapping[int, Change]
    buildsets: Mapping[int, Buildset]
    others: Mapping[int, Buildset]
    """What else live items of gates are proved on at the same time."""
    builds: Mapping[int, Mapping[str, Build]]
    """Buildset id → job name → its newest build."""
    failures: Mapping[tuple[int, str], int]
    """Buildset id and job name → how often an attempt before that one failed."""
    waits: Mapping[int, str]
    """Build id → why it has no machine yet, where there is more to say than that."""
    needs: Mapping[int, tuple[int, ...]]
    """Change id → the changes that its newest patch set needs."""
    origins: Mapping[int, int | None]
    """Build id → its change, of builds whose passes are reused."""
    owners: Mapping[int, int]
    """Item id → its project."""
    estimates: estimate.Estimates = estimate.NOTHING


def survey(rows: Rows, live: Sequence[Item]) -> lane.Survey:
    """Who stands where, with all items of a gate and what their views are made of."""
    queues = {row.id: row.queue_id for row in rows.projects.values()}
    return lane.survey(live, {**rows.buildsets, **rows.others}, queues)


async def survey_of(tx: Transaction, gate: Sequence[Item]) -> lane.Survey:
    """Who stands where, of all items of gates."""
    buildsets, others = await _states(tx, gate)
    projects = await lookup.by_id(tx, Project, (item.project_id for item in gate))
    queues = {row.id: row.queue_id for row in projects.values()}
    return lane.survey(gate, {**buildsets, **others}, queues)


async def known_of(tx: Transaction, gate: Sequence[Item]) -> tuple[lane.Survey, estimate.Known]:
    """Who stands where, and what estimates are made of: less than `rows_of` reads."""
    buildsets, others = await _states(tx, gate)
    builds, _ = await _builds(tx, set(buildsets))
    projects = await lookup.by_id(tx, Project, (item.project_id for item in gate))
    queues = {row.id: row.queue_id for row in projects.values()}
    known = estimate.Known(projects=projects, buildsets=buildsets, builds=builds)
    return lane.survey(gate, {**buildsets, **others}, queues), known


async def _states(
    tx: Transaction, items: Sequence[Item]
) -> tuple[dict[int, Buildset], dict[int, Buildset]]:
    """The states that items are expected to land on, and others that those of gates have."""
    buildsets = await lookup.by_id(tx, Buildset, (item.buildset_id for item in items))
    gate = {row.id for row in items if row.pipeline is Pipeline.GATE and row.state in LIVE_ITEMS}
    states = set(BuildsetState) - {BuildsetState.SUPERSEDED}
    there = await tx.select(Buildset, {"item_id": gate, "state": states, "finished_at": None})
    return buildsets, {row.id: row for row in there if row.id not in buildsets}


async def rows_of(tx: Transaction, items: Sequence[Item], now: float) -> Rows:
    """What the views of these items are made of."""
    buildsets, others = await _states(tx, items)
    builds, failures = await _builds(tx, {*buildsets, *others})
    changes = await lookup.by_id(tx, Change, (item.change_id for item in items))
    newest = [build for of in builds.values() for build in of.values()]
    return Rows(
        projects=await lookup.by_id(tx, Project, (item.project_id for item in items)),
        changes=changes,
        buildsets=buildsets,
        others=others,
        builds=builds,
        failures=failures,
        waits=await fleet.waits(tx, newest, now=now, known=(*buildsets.values(), *others.values())),
        needs=await _needs(tx, changes),
        origins=await _origins(tx, newest),
        owners={item.id: item.project_id for item in items},
    )


async def _builds(
    tx: Transaction, buildsets: set[int]
) -> tuple[dict[int, dict[str, Build]], Counter[tuple[int, str]]]:
    """By state the newest build of each job, and how often attempts before it failed."""
    builds: dict[int, dict[str, Build]] = {}
    failures: Counter[tuple[int, str]] = Counter()
    found = await tx.select(Build, {"buildset_id": buildsets}) if buildsets else []
    for build in sorted(found, key=lambda build: build.attempt):
        newest = builds.setdefault(build.buildset_id, {})
        before = newest.get(build.job)
        if before is not None:
            if build.verdict is Verdict.CANCELLED:
                continue  # nobody waited for it any more, so it says nothing; the one before does
            if before.verdict is Verdict.FAILURE:
                failures[build.buildset_id, build.job] += 1
        newest[build.job] = build
    return builds, failures


async def _needs(tx: Transaction, changes: Mapping[int, Change]) -> dict[int, tuple[int, ...]]:
    if not changes:
        return {}
    found = await tx.select(PatchSet, {"change_id": set(changes)})
    return {
        row.change_id: tuple(dict.fromkeys(filter(None, (row.needs_change, *row.depends_on))))
        for row in found
        if row.number == changes[row.change_id].patch_set
        and (row.needs_change is not None or row.depends_on)
    }


async def _origins(tx: Transaction, builds: Sequence[Build]) -> dict[int, int | None]:
    wanted = {build.reused_from for build in builds if build.reused_from is not None}
    if not wanted:
        return {}
    found = await tx.select(Build, {"id": wanted})
    items = await lookup.by_id(tx, Item, (build.item_id for build in found))
    return {
        build.id: items[build.item_id].change_id if build.item_id in items else None
        for build in found
    }


def item_views(
    rows: Rows, items: Sequence[Item], places: lane.Survey, now: float
) -> list[ItemView]:
    """The views of these items, in their order; `places` are those in their gates."""
    others: dict[int, list[Buildset]] = {}
    for row in rows.others.values():
        others.setdefault(row.item_id, []).append(row)
    return [_item(rows, item, places, others.get(item.id, ()), now) for item in items]


def _proof(buildset: Buildset | None, place: lane.Place) -> ProofView | None:
    if buildset is None:
        return None
    return ProofView(
        buildset=buildset.id,
        number=buildset.number,
        state=buildset.state,
        onto=buildset.onto,
        commit=buildset.commit,
        tree=buildset.tree,
        ahead=list(place.under),
        ahead_count=place.count,
        detail=buildset.detail,
        notice=buildset.notice,
    )


def _item(
    rows: Rows, item: Item, places: lane.Survey, others: Sequence[Buildset], now: float
) -> ItemView:
    place = places.items.get(item.id, lane.NOWHERE)
    buildset = rows.buildsets.get(item.buildset_id or 0)
    change = rows.changes.get(item.change_id or 0)
    over = item.state not in LIVE_ITEMS
    jobs = _jobs(rows, buildset, over, now)
    status = _status(item, buildset, jobs)
    return ItemView(
        id=item.id,
        pipeline=item.pipeline,
        project=rows.projects[item.project_id].name,
        branch=item.branch,
        change=item.change_id,
        patch_set=item.patch_set,
        title=item.commit[:12] if change is None else change.title,
        author="" if change is None else change.author,
        topic=None if change is None else change.topic,
        needs=list(rows.needs.get(item.change_id or 0, ())),
        together=_together(rows, item.change_id),
        commit=item.commit,
        position=item.position,
        state=item.state,
        status=status,
        waiting=_waiting(item, status, jobs, place.before),
        urgent=change is not None and change.urgent,
        lands_with=item.lands_with,
        also=[_alternative(rows, item, other, places, now) for other in others],
        reason=item.reason,
        text=messages.item_reason(item.reason, item.detail),
        proof=_proof(buildset, place),
        jobs=jobs,
        estimate=rows.estimates.items.get(item.id),
        enqueued_at=item.enqueued_at,
        finished_at=item.finished_at,
        seconds=lookup.seconds(item.enqueued_at, item.finished_at, now) or 0.0,
    )


def _together(rows: Rows, change: int | None) -> list[int]:
    """The other changes of a circle of needs that the change is in."""
    if change is None or change not in rows.needs:
        return []
    circle = graph.components(change, lambda number: rows.needs.get(number, ()))[-1]
    return sorted(number for number in circle if number != change)


def _alternative(
    rows: Rows, item: Item, other: Buildset, places: lane.Survey, now: float
) -> AlternativeView:
    jobs = _jobs(rows, other, False, now)
    present = places.items.get(item.id, lane.NOWHERE)
    base = other.role is Role.BASE
    without, besides = lane.difference(present, places.states.get(other.id, lane.NOWHERE))
    return AlternativeView(
        buildset=other.id,
        status=_status(item, other, jobs),
        base=base,
        without=without,
        besides=besides,
        text=messages.also_proved(without, besides, base=base),
    )


def _jobs(rows: Rows, buildset: Buildset | None, over: bool, now: float) -> list[JobView]:
    """`over`: the item has ended, so what has not begun never will."""
    if buildset is None:
        return []
    builds = rows.builds.get(buildset.id, {})
    return [
        _begun(rows, build, job, now)
        if (build := builds.get(job.name)) is not None
        else _not_begun(rows, buildset, job, over)
        for job in buildset.jobs
    ]


def _not_begun(rows: Rows, buildset: Buildset, job: Job, over: bool) -> JobView:
    state = "skipped" if over else "waiting"
    return JobView(
        name=job.name,
        base=job.base,
        label=job.label,
        cell=dict(job.cell),
        needs=list(job.needs),
        voting=job.voting,
        state=state,
        icon=state,
        failures=rows.failures.get((buildset.id, job.name), 0),
        waiting=None if over else _job_waiting(job, None, rows.builds.get(buildset.id, {}), {}),
        estimate=None if over else _estimate(rows, buildset, job, None),
    )


def _begun(rows: Rows, build: Build, job: Job, now: float) -> JobView:
    buildset = rows.buildsets.get(build.buildset_id) or rows.others[build.buildset_id]
    about = (
        rows.failures.get((build.buildset_id, job.name), 0),
        _job_waiting(job, build, rows.builds[build.buildset_id], rows.waits),
        rows.origins.get(build.reused_from or 0),
        _estimate(rows, buildset, job, build),
    )
    if build.state not in _STILL:
        return _job(build, job, *about, now)
    known = _KEPT.get(build.id)
    if known is not None and known[0] is build and known[1] is job and _same(known[2], about):
        return known[3]
    view = _job(build, job, *about, now)
    if len(_KEPT) >= _MOST_KEPT:
        _KEPT.clear()
    _KEPT[build.id] = (build, job, about, view)
    return view


def _same(one: _About, other: _About) -> bool:
    """Whether two views would be the same; estimates of one record are one object."""
    return one[3] is other[3] and one[:3] == other[:3]


_About = tuple[int, str | None, int | None, JobEstimateView | None]

_STILL = frozenset({BuildState.QUEUED, BuildState.FINISHED})
"""The states in which nothing goes on by itself, so that a view stays right while its rows do."""

_MOST_KEPT = 16384
_KEPT: dict[int, tuple[Build, Job, _About, JobView]] = {}
"""Build id → its view, with what it was made of: of thousands of jobs few change between two looks,
and rows that have not changed are the same objects. Past so many, it begins anew."""


def _job(
    build: Build,
    job: Job,
    failures: int,
    waiting: str | None,
    origin: int | None,
    estimate: JobEstimateView | None,
    now: float,
) -> JobView:
    from_build = build.reused_from
    return JobView(
        name=job.name,
        base=job.base,
        label=job.label,
        cell=dict(job.cell),
        needs=list(job.needs),
        voting=job.voting,
        state=str(build.state),
        verdict=build.verdict,
        icon=lookup.icon(build),
        build=build.id,
        attempt=build.attempt,
        failures=failures,
        reason=build.reason,
        waiting=waiting,
        reused=None if from_build is None else ReusedJobView(build=from_build, change=origin),
        estimate=estimate,
        queued_at=build.queued_at,
        started_at=build.started_at,
        finished_at=build.finished_at,
        seconds=lookup.build_seconds(build, now),
    )


def _estimate(
    rows: Rows, buildset: Buildset, job: Job, build: Build | None
) -> JobEstimateView | None:
    if not rows.estimates.usual or (build is not None and build.state is BuildState.FINISHED):
        return None
    return rows.estimates.job(rows.owners[buildset.item_id], job.name, build)


def _job_waiting(
    job: Job, build: Build | None, builds: Mapping[str, Build], waits: Mapping[int, str]
) -> str | None:
    if build is not None:
        if build.state is not BuildState.QUEUED:
            return None
        if build.id in waits:
            return waits[build.id]
    unmet = [
        need
        for need in job.needs
        if need not in builds or builds[need].verdict is not Verdict.SUCCESS
    ]
    return messages.waits_for_needs(unmet) if unmet else messages.waits_for_machine([job.label])


_BY_BUILDSET = {
    BuildsetState.PREPARING: "preparing",
    BuildsetState.CONFLICT: "conflict",
    BuildsetState.MISCONFIGURED: "misconfigured",
}


def _status(item: Item, buildset: Buildset | None, jobs: Sequence[JobView]) -> str:
    if item.state is not ItemState.LIVE:
        return str(item.state)
    if buildset is None or buildset.state is BuildsetState.SUPERSEDED:
        return "waiting"
    if buildset.state in _BY_BUILDSET:
        return _BY_BUILDSET[buildset.state]
    if any(job.voting and _has_failed(job) for job in jobs):
        return "failed"
    if any(job.voting and job.verdict is Verdict.CANCELLED for job in jobs):
        return "waiting"
    if all(job.state == BuildState.FINISHED for job in jobs):
        return "passed"
    begun = any(job.state not in {"waiting", BuildState.QUEUED} for job in jobs)
    return "running" if begun else "waiting"


def _has_failed(job: JobView) -> bool:
    """A rerun that nobody waited for any more leaves what came before it."""
    return job.verdict in lookup.BAD or (job.verdict is Verdict.CANCELLED and job.failures > 0)


def _waiting(item: Item, status: str, jobs: Sequence[JobView], ahead: int | None) -> str | None:
    """What a live item waits for, in words; None when it is done."""
    if item.state is ItemState.LIVE and item.wait is not None:
        return item.wait
    match status:
        case "landing":
            return messages.waits_for_landing()
        case "preparing":
            return messages.waits_for_merge()
        case "conflict":
            return messages.waits_to_be_believed(messages.CONFLICTS, ahead)
        case "misconfigured":
            return messages.waits_to_be_believed(messages.MISCONFIGURED, ahead)
        case "failed":
            return messages.waits_to_be_believed(messages.FAILED, ahead)
        case "passed":
            return messages.waits_for_ahead(ahead) if ahead is not None else None
        case "running":
            done = sum(job.state == BuildState.FINISHED for job in jobs)
            return messages.waits_for_jobs(done, len(jobs))
        case "waiting":
            return _waits_to_begin(jobs)
        case _:
            assert item.state not in LIVE_ITEMS
            return None


def _waits_to_begin(jobs: Sequence[JobView]) -> str:
    """If all that may begin wait for the same, that."""
    texts = {job.waiting for job in jobs if job.state == BuildState.QUEUED and job.waiting}
    if len(texts) == 1:
        return texts.pop()
    labels = sorted({job.label for job in jobs})
    return messages.waits_for_machine(labels) if labels else messages.waits_for_state()
