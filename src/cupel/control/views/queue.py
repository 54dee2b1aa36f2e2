"""What goes on for a branch: its gate in landing order, its checks, what landed lately."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from cupel.control import load
from cupel.control.views import fleet, lane, lookup
from cupel.control.views.nouns.item import AlternativeView, ItemView, JobView, ProofView
from cupel.control.views.nouns.project import HeadView
from cupel.control.views.nouns.queue import KeptOutView, QueueView, RulesView
from cupel.core import admission
from cupel.core.draft import Draft
from cupel.core.model import (
    LIVE_ITEMS,
    Branch,
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Change,
    ChangeState,
    Item,
    ItemState,
    Job,
    Pipeline,
    Project,
    Queue,
    Role,
    Verdict,
)
from cupel.errors import NotFound
from cupel.report import messages
from cupel.store.interface import Transaction

RECENT = 10


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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A queue with its projects, by name, and one of the branches that it is for."""

    queue: Queue
    projects: tuple[Project, ...]
    branch: str


async def queue_view(tx: Transaction, name: str, branch: str | None, *, now: float) -> QueueView:
    """The queue of the project of this name, or of this name, for one branch.

    By default that is the project's first. Raises NotFound.
    """
    return (await _views(tx, [await line_of(tx, name, branch)], now))[0]


async def line_of(tx: Transaction, name: str, branch: str | None) -> Line:
    """The same, before anything is read of what goes on in it."""
    queue, project = await _queue_of(tx, name)
    lines = await _lines(tx, [queue])
    default = project.branches[0] if project else next((line.branch for line in lines), None)
    found = [line for line in lines if line.branch == (branch or default)]
    if not found:
        raise NotFound(
            f"no project of the queue {queue.name} has a guarded branch {branch}",
            hint=f"there is {', '.join(line.branch for line in lines)}",
        )
    return found[0]


async def queue_views(
    tx: Transaction, *, project: str | None = None, now: float
) -> list[QueueView]:
    """The queues for all guarded branches, or one's alone, named by itself or a project of it.

    Raises NotFound.
    """
    if project is None:
        queues = await tx.select(Queue, order="name")
    else:
        queues = [(await _queue_of(tx, project))[0]]
    return await _views(tx, await _lines(tx, queues), now)


async def rules_list(tx: Transaction) -> list[RulesView]:
    """The rules of every queue, by its name."""
    projects = await tx.select(Project, order="name")
    return [_rules(row, projects) for row in await tx.select(Queue, order="name")]


async def rules_view(tx: Transaction, name: str) -> RulesView:
    """The rules of the queue of this name, or else of the project of this name. Raises NotFound."""
    found = await tx.select(Queue, {"name": name})
    queue = found[0] if found else (await _queue_of(tx, name))[0]
    return _rules(queue, await tx.select(Project, {"queue_id": queue.id}, order="name"))


def _rules(queue: Queue, projects: Iterable[Project]) -> RulesView:
    return RulesView(
        name=queue.name,
        landing=queue.landing,
        planner=queue.planner,
        window=queue.window,
        window_floor=queue.window_floor,
        window_ceiling=queue.window_ceiling,
        cycles=queue.cycles,
        closed=queue.closed,
        closed_by=queue.closed_by,
        projects=[row.name for row in projects if row.queue_id == queue.id],
    )


async def _queue_of(tx: Transaction, name: str) -> tuple[Queue, Project | None]:
    """The queue of the project of this name, which comes with it; else the queue of this name."""
    projects = await tx.select(Project, {"name": name})
    if not projects:
        return await _queue(tx, name), None
    return (await tx.select(Queue, {"id": [projects[0].queue_id]}))[0], projects[0]


async def _queue(tx: Transaction, name: str) -> Queue:
    """The queue of this name. Raises NotFound."""
    found = await tx.select(Queue, {"name": name})
    if not found:
        raise NotFound(
            f"there is no project or queue {name}",
            hint="`cupel project list` and `cupel queue list` have them all",
        )
    return found[0]


async def named(tx: Transaction, project: str) -> Project:
    """The project of this name. Raises NotFound."""
    rows = await tx.select(Project, {"name": project}, limit=1)
    if not rows:
        raise NotFound(f"there is no project {project}", hint="`cupel project list` has them all")
    return rows[0]


async def _lines(tx: Transaction, queues: Sequence[Queue]) -> list[Line]:
    """Each queue for each branch that a project of it guards."""
    where = {"queue_id": {row.id for row in queues}}
    projects = await tx.select(Project, where, order="name")
    lines = []
    for queue in queues:
        own = tuple(row for row in projects if row.queue_id == queue.id)
        for branch in dict.fromkeys(name for row in own for name in row.branches):
            guarding = tuple(row for row in own if branch in row.branches)
            lines.append(Line(queue=queue, projects=guarding, branch=branch))
    return lines


async def _views(tx: Transaction, lines: Sequence[Line], now: float) -> list[QueueView]:
    projects = {row.id: row for line in lines for row in line.projects}
    where = {"project_id": set(projects)}
    live = await tx.select(Item, {**where, "state": LIVE_ITEMS})
    done = await tx.select(
        Item,
        {**where, "pipeline": Pipeline.GATE, "state": set(ItemState) - LIVE_ITEMS},
        order="finished_at",
        descending=True,
        limit=RECENT * max(1, len(lines)),
    )
    heads = {(row.project_id, row.name): row.head for row in await tx.select(Branch, where)}
    shown = sorted([*live, *done], key=lambda item: (item.position, item.id))
    rows = await rows_of(tx, shown, now)
    items = item_views(rows, shown, survey(rows, live), now)
    kept_out = await _kept_out(tx, projects)
    return [_view(line, heads, items, kept_out) for line in lines]


def _view(
    line: Line,
    heads: Mapping[tuple[int, str], str | None],
    items: Sequence[ItemView],
    kept_out: Sequence[KeptOutView],
) -> QueueView:
    names = {row.name for row in line.projects}
    own = [each for each in items if each.project in names and each.branch == line.branch]
    live = [item for item in own if item.state in LIVE_ITEMS]
    done = [item for item in own if item.state not in LIVE_ITEMS]
    return QueueView(
        name=line.queue.name,
        branch=line.branch,
        rules=_rules(line.queue, line.projects),
        heads=[
            HeadView(project=row.name, head=heads.get((row.id, line.branch)))
            for row in line.projects
        ],
        gate=[item for item in live if item.pipeline is Pipeline.GATE],
        check=[item for item in live if item.pipeline is Pipeline.CHECK],
        post=[item for item in live if item.pipeline in (Pipeline.POST, Pipeline.PERIODIC)],
        recent=sorted(done, key=lambda item: (-(item.finished_at or 0.0), -item.id))[:RECENT],
        kept_out=[
            each
            for each in kept_out
            if each.change.project in names and each.change.branch == line.branch
        ],
    )


async def _kept_out(tx: Transaction, projects: Mapping[int, Project]) -> list[KeptOutView]:
    """The changes that are to land and are not in the gate, in the order of their requests."""
    where = {"project_id": set(projects), "wants_land": True, "state": ChangeState.OPEN}
    changes = await tx.select(Change, where, order="land_asked_at")
    draft = await load.with_needs(tx, changes)
    return [
        KeptOutView(change=lookup.change_ref(change, projects), text=_why_kept_out(draft, change))
        for change in changes
        if draft.gate_item(change.id) is None
    ]


def _why_kept_out(draft: Draft, change: Change) -> str:
    if (why := admission.why_not(draft, change)) is not None:
        return why
    approved = admission.is_approved(draft, change)
    return messages.waits_for_entry() if approved else messages.LACKS_APPROVAL


def survey(rows: Rows, live: Sequence[Item]) -> lane.Survey:
    """Who stands where, with all items of a gate and what their views are made of."""
    queues = {row.id: row.queue_id for row in rows.projects.values()}
    return lane.survey(live, {**rows.buildsets, **rows.others}, queues)


async def rows_of(tx: Transaction, items: Sequence[Item], now: float) -> Rows:
    """What the views of these items are made of."""
    buildsets = await lookup.by_id(tx, Buildset, (item.buildset_id for item in items))
    gate = {row.id for row in items if row.pipeline is Pipeline.GATE and row.state in LIVE_ITEMS}
    states = set(BuildsetState) - {BuildsetState.SUPERSEDED}
    there = await tx.select(Buildset, {"item_id": gate, "state": states, "finished_at": None})
    others = {row.id: row for row in there if row.id not in buildsets}
    builds: dict[int, dict[str, Build]] = {}
    failures: Counter[tuple[int, str]] = Counter()
    if buildsets or others:
        found = await tx.select(Build, {"buildset_id": {*buildsets, *others}})
        for build in sorted(found, key=lambda build: build.attempt):
            newest = builds.setdefault(build.buildset_id, {})
            before = newest.get(build.job)
            if before is not None and build.verdict is Verdict.CANCELLED:
                continue  # one that nobody waited for any more says nothing; the one before does
            if before is not None and before.verdict is Verdict.FAILURE:
                failures[build.buildset_id, build.job] += 1
            newest[build.job] = build
    return Rows(
        projects=await lookup.by_id(tx, Project, (item.project_id for item in items)),
        changes=await lookup.by_id(tx, Change, (item.change_id for item in items)),
        buildsets=buildsets,
        others=others,
        builds=builds,
        failures=failures,
        waits=await fleet.waits(tx, [b for of in builds.values() for b in of.values()], now=now),
    )


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
        enqueued_at=item.enqueued_at,
        finished_at=item.finished_at,
        seconds=lookup.seconds(item.enqueued_at, item.finished_at, now) or 0.0,
    )


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
    if buildset is None:
        return []
    builds = rows.builds.get(buildset.id, {})
    return [
        _job(job, builds, rows.waits, over, now).model_copy(
            update={"failures": rows.failures.get((buildset.id, job.name), 0)}
        )
        for job in buildset.jobs
    ]


def _job(
    job: Job, builds: Mapping[str, Build], waits: Mapping[int, str], over: bool, now: float
) -> JobView:
    """`over`: the item has ended, so what has not begun never will."""
    build = builds.get(job.name)
    unmet = [
        need
        for need in job.needs
        if need not in builds or builds[need].verdict is not Verdict.SUCCESS
    ]
    view = JobView(
        name=job.name,
        base=job.base,
        label=job.label,
        cell=dict(job.cell),
        needs=list(job.needs),
        voting=job.voting,
        state="skipped" if over else "waiting",
        icon="skipped" if over else "waiting",
        waiting=None if over else _job_waiting(job, build, unmet, waits),
    )
    return view if build is None else view.model_copy(update=_build_fields(build, now))


def _build_fields(build: Build, now: float) -> dict[str, object]:
    return {
        "state": str(build.state),
        "verdict": build.verdict,
        "icon": lookup.icon(build),
        "build": build.id,
        "attempt": build.attempt,
        "reason": build.reason,
        "queued_at": build.queued_at,
        "started_at": build.started_at,
        "finished_at": build.finished_at,
        "seconds": lookup.build_seconds(build, now),
    }


def _job_waiting(
    job: Job, build: Build | None, unmet: Sequence[str], waits: Mapping[int, str]
) -> str | None:
    if build is not None and build.state is not BuildState.QUEUED:
        return None
    if build is not None and build.id in waits:
        return waits[build.id]
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
