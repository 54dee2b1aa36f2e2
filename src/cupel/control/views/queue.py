"""What goes on for a branch: its gate in landing order, its checks, what landed lately."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from cupel.control.views import fleet, lane, lookup
from cupel.control.views.nouns import ItemView, JobView, ProofView, QueueView
from cupel.core.model import (
    LIVE_ITEMS,
    Branch,
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Change,
    Item,
    ItemState,
    Job,
    Pipeline,
    Project,
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
    builds: Mapping[int, Mapping[str, Build]]
    """Buildset id → job name → its newest build."""
    waits: Mapping[int, str]
    """Build id → why it has no machine yet, where there is more to say than that."""


async def queue_view(tx: Transaction, project: str, branch: str | None, *, now: float) -> QueueView:
    """The queue of a project's branch, by default its first. Raises NotFound."""
    row = await named(tx, project)
    name = branch or row.branches[0]
    if name not in row.branches:
        raise NotFound(
            f"project {project} has no guarded branch {name}",
            hint=f"it has {', '.join(row.branches)}",
        )
    return (await _queues(tx, [row], {name}, now))[0]


async def queue_views(
    tx: Transaction, *, project: str | None = None, now: float
) -> list[QueueView]:
    """The queues of all guarded branches, of one project or of all. Raises NotFound."""
    rows = await tx.select(Project, order="name") if project is None else [await named(tx, project)]
    return await _queues(tx, rows, None, now)


async def named(tx: Transaction, project: str) -> Project:
    """The project of this name. Raises NotFound."""
    rows = await tx.select(Project, {"name": project}, limit=1)
    if not rows:
        raise NotFound(f"there is no project {project}", hint="`cupel project list` has them all")
    return rows[0]


async def _queues(
    tx: Transaction, projects: Sequence[Project], names: set[str] | None, now: float
) -> list[QueueView]:
    where = {"project_id": {row.id for row in projects}}
    live = await tx.select(Item, {**where, "state": LIVE_ITEMS})
    done = await tx.select(
        Item,
        {**where, "pipeline": Pipeline.GATE, "state": set(ItemState) - LIVE_ITEMS},
        order="finished_at",
        descending=True,
        limit=RECENT * max(1, len(projects)),
    )
    heads = {(row.project_id, row.name): row.head for row in await tx.select(Branch, where)}
    shown = sorted([*live, *done], key=lambda item: (item.position, item.id))
    rows = await rows_of(tx, shown, now)
    items = item_views(rows, shown, lane.places(live, rows.buildsets), now)
    by_branch: dict[tuple[str, str], list[ItemView]] = {}
    for item in items:
        by_branch.setdefault((item.project, item.branch), []).append(item)
    return [
        _queue(row, name, heads.get((row.id, name)), by_branch.get((row.name, name), []))
        for row in projects
        for name in row.branches
        if names is None or name in names
    ]


def _queue(project: Project, branch: str, head: str | None, items: Sequence[ItemView]) -> QueueView:
    live = [item for item in items if item.state in LIVE_ITEMS]
    done = [item for item in items if item.state not in LIVE_ITEMS]
    return QueueView(
        project=project.name,
        branch=branch,
        head=head,
        gate=[item for item in live if item.pipeline is Pipeline.GATE],
        check=[item for item in live if item.pipeline is Pipeline.CHECK],
        post=[item for item in live if item.pipeline is Pipeline.POST],
        recent=sorted(done, key=lambda item: (-(item.finished_at or 0.0), -item.id))[:RECENT],
    )


async def rows_of(tx: Transaction, items: Sequence[Item], now: float) -> Rows:
    """What the views of these items are made of."""
    buildsets = await lookup.by_id(tx, Buildset, (item.buildset_id for item in items))
    builds: dict[int, dict[str, Build]] = {}
    if buildsets:
        for build in await tx.select(Build, {"buildset_id": set(buildsets)}):
            newest = builds.setdefault(build.buildset_id, {})
            if build.job not in newest or newest[build.job].attempt < build.attempt:
                newest[build.job] = build
    return Rows(
        projects=await lookup.by_id(tx, Project, (item.project_id for item in items)),
        changes=await lookup.by_id(tx, Change, (item.change_id for item in items)),
        buildsets=buildsets,
        builds=builds,
        waits=await fleet.waits(tx, [b for of in builds.values() for b in of.values()], now=now),
    )


def item_views(
    rows: Rows, items: Sequence[Item], places: Mapping[int, lane.Place], now: float
) -> list[ItemView]:
    """The views of these items, in their order; `places` are those in their gates."""
    return [_item(rows, item, places.get(item.id, lane.NOWHERE), now) for item in items]


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


def _item(rows: Rows, item: Item, place: lane.Place, now: float) -> ItemView:
    buildset = rows.buildsets.get(item.buildset_id or 0)
    change = rows.changes.get(item.change_id or 0)
    over = item.state not in LIVE_ITEMS
    builds = rows.builds.get(item.buildset_id or 0, {})
    jobs = _jobs(buildset, builds, rows.waits, over, now)
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
        reason=item.reason,
        text=messages.item_reason(item.reason, item.detail),
        proof=_proof(buildset, place),
        jobs=jobs,
        enqueued_at=item.enqueued_at,
        finished_at=item.finished_at,
        seconds=lookup.seconds(item.enqueued_at, item.finished_at, now) or 0.0,
    )


def _jobs(
    buildset: Buildset | None,
    builds: Mapping[str, Build],
    waits: Mapping[int, str],
    over: bool,
    now: float,
) -> list[JobView]:
    if buildset is None:
        return []
    return [_job(job, builds.get(job.name), builds, waits, over, now) for job in buildset.jobs]


def _job(
    job: Job,
    build: Build | None,
    builds: Mapping[str, Build],
    waits: Mapping[int, str],
    over: bool,
    now: float,
) -> JobView:
    """`over`: the item has ended, so what has not begun never will."""
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
    if any(job.voting and job.verdict in lookup.BAD for job in jobs):
        return "failed"
    if all(job.state == BuildState.FINISHED for job in jobs):
        return "passed"
    begun = any(job.state not in {"waiting", BuildState.QUEUED} for job in jobs)
    return "running" if begun else "waiting"


def _waiting(item: Item, status: str, jobs: Sequence[JobView], ahead: int | None) -> str | None:
    """What a live item waits for, in words; None when it is done."""
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
