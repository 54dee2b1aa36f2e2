"""All of a build: its steps, its machine, what it needed, what it left and its other attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cupel.control.views import cache, fleet, lookup, queue, results
from cupel.control.views.artefact import artefact_list
from cupel.control.views.cause import causes
from cupel.control.views.change import attempt_view, attempts
from cupel.control.views.evidence import offer_view
from cupel.control.views.nouns.build import (
    AttemptView,
    BuildRef,
    BuildView,
    MachineRef,
    NeedView,
    ReusedView,
    SpanView,
    StepView,
    UsageView,
)
from cupel.control.views.nouns.view import Page
from cupel.core import timeline
from cupel.core.hold import Hold
from cupel.core.model import (
    Build,
    Buildset,
    BuildState,
    Change,
    Evidence,
    Host,
    Item,
    Job,
    Machine,
    Project,
    Step,
    StepResult,
    Usage,
)
from cupel.errors import NotFound
from cupel.log.store import LogStore
from cupel.report import messages
from cupel.store.interface import Transaction


async def build_list(
    tx: Transaction,
    *,
    now: float,
    project: str | None = None,
    state: BuildState | None = None,
    limit: int = 50,
    before: int | None = None,
) -> Page[BuildRef]:
    """Builds that fit, newest first."""
    where: dict[str, object] = {}
    if project is not None:
        where["project_id"] = (await queue.named(tx, project)).id
    if state is not None:
        where["state"] = state
    rows = await tx.select(Build, where, descending=True, limit=limit + 1, before=before)
    shown = rows[:limit]
    return Page(
        entries=await _refs(tx, shown, now),
        next=shown[-1].id if len(rows) > limit else None,
    )


async def refs(tx: Transaction, ids: Sequence[int], *, now: float) -> list[BuildRef]:
    """The builds of these ids, in this order; those that there are not are left out."""
    rows = await lookup.by_id(tx, Build, ids)
    return await _refs(tx, [rows[number] for number in ids if number in rows], now)


async def _refs(tx: Transaction, rows: Sequence[Build], now: float) -> list[BuildRef]:
    items = await lookup.by_id(tx, Item, (row.item_id for row in rows))
    changes = await lookup.by_id(tx, Change, (item.change_id for item in items.values()))
    projects = await lookup.by_id(tx, Project, (row.project_id for row in rows))
    return [_ref(row, items[row.item_id], changes, projects[row.project_id], now) for row in rows]


async def build_row(tx: Transaction, id: int) -> Build:
    """The build of this number. Raises NotFound."""
    build = await tx.get(Build, id)
    if build is None:
        raise NotFound(f"there is no build {id}")
    return build


async def build_ref(tx: Transaction, build: Build, now: float) -> BuildRef:
    """A build in one line."""
    item = (await lookup.by_id(tx, Item, [build.item_id]))[build.item_id]
    changes = await lookup.by_id(tx, Change, [item.change_id])
    projects = await lookup.by_id(tx, Project, [build.project_id])
    return _ref(build, item, changes, projects[build.project_id], now)


async def build_view(
    tx: Transaction, id: int, *, now: float, logs: LogStore | None = None
) -> BuildView:
    """All of a build. Raises NotFound. What its log says is left out without `logs`."""
    build = await build_row(tx, id)
    item = (await lookup.by_id(tx, Item, [build.item_id]))[build.item_id]
    buildset = (await lookup.by_id(tx, Buildset, [build.buildset_id]))[build.buildset_id]
    changes = await lookup.by_id(tx, Change, [item.change_id])
    projects = await lookup.by_id(tx, Project, [build.project_id])
    siblings = await tx.select(Build, {"buildset_id": buildset.id})
    job = next((job for job in buildset.jobs if job.name == build.job), None)
    ref = _ref(build, item, changes, projects[build.project_id], now)
    return BuildView(
        **dict(ref),
        branch=item.branch,
        item=item.id,
        buildset=buildset.id,
        current=buildset.id == item.buildset_id,
        onto=buildset.onto,
        commit=buildset.commit,
        tree=buildset.tree,
        cell=dict(job.cell) if job else {},
        env=dict(job.env) if job else {},
        inputs=list(job.inputs) if job else [],
        timeout=job.timeout if job else None,
        steps=_steps(job.steps if job else (), build.steps, build.state, now),
        usage=_usage(build.usage),
        on=await _machine(tx, build),
        machines=[part.name for part in build.parts],
        needs=_needs(job, siblings),
        attempts=attempts([row for row in siblings if row.job == build.job], now),
        beside=_beside(siblings, now),
        timeline=_timeline(build, await _row(tx, build), now),
        artefacts=await artefact_list(tx, id),
        caches=await cache.uses(tx, build),
        log_lines=None if logs is None else logs.reader(id).line_count,
        cause=None if logs is None else next(iter(await causes(tx, logs, [build])), None),
        notice=buildset.notice,
        key=build.key,
        reused=await _reused(tx, build, now),
        refuted_by=await _refuted_by(tx, build),
        visited_by=build.visited_by,
        services=tuple(each.name for each in job.services) if job else (),
        waiting=(await fleet.waits(tx, [build], now=now)).get(id),
        tests=await results.tally_view(tx, build),
        offer=offer_view(build),
    )


def _ref(
    build: Build, item: Item, changes: Mapping[int, Change], project: Project, now: float
) -> BuildRef:
    change = changes.get(item.change_id or 0)
    return BuildRef(
        **dict(attempt_view(build, now)),
        project=project.name,
        pipeline=build.pipeline,
        change=item.change_id,
        patch_set=item.patch_set,
        title=item.commit[:12] if change is None else change.title,
        label=build.label,
        waited=lookup.waited(build, now),
    )


async def _reused(tx: Transaction, build: Build, now: float) -> ReusedView | None:
    """The build that really ran, if this one did not."""
    origin = await tx.get(Build, build.reused_from) if build.reused_from is not None else None
    if origin is None:
        return None
    item = await tx.get(Item, origin.item_id)
    buildset = await tx.get(Buildset, origin.buildset_id)
    change = await tx.get(Change, item.change_id) if item is not None and item.change_id else None
    return ReusedView(
        build=origin.id,
        change=None if change is None else change.id,
        title="" if change is None else change.title,
        commit=None if buildset is None else buildset.commit,
        finished_at=origin.finished_at,
        seconds=lookup.build_seconds(origin, now),
        offer=offer_view(origin),
    )


async def _refuted_by(tx: Transaction, build: Build) -> int | None:
    passes = await tx.select(Evidence, {"build_id": build.reused_from or build.id})
    return next((each.refuted_by for each in passes if each.withdrawn_at is not None), None)


async def _machine(tx: Transaction, build: Build) -> MachineRef | None:
    if build.machine_id is None:
        return None
    machine = await tx.get(Machine, build.machine_id)
    if machine is None:
        return None
    host = await tx.get(Host, machine.host_id)
    hold = None if machine.hold_id is None else await tx.get(Hold, machine.hold_id)
    return MachineRef(
        id=machine.id,
        state=machine.state,
        host=host.name if host else "",
        image=machine.image,
        detail=machine.detail,
        held_until=machine.held_until,
        held_by=None if hold is None else hold.owner,
        command=fleet.command(machine),
    )


async def _row(tx: Transaction, build: Build) -> Machine | None:
    return None if build.machine_id is None else await tx.get(Machine, build.machine_id)


def _beside(siblings: Sequence[Build], now: float) -> list[AttemptView]:
    """The newest build of each job of a state, in the order in which they were asked for."""
    newest = {row.job: row for row in sorted(siblings, key=lambda row: (row.attempt, row.id))}
    return attempts(sorted(newest.values(), key=lambda row: (row.queued_at, row.id)), now)


def _timeline(build: Build, machine: Machine | None, now: float) -> list[SpanView]:
    spans = timeline.of(build, machine, now)
    whole = sum(span.seconds for span in spans) or 1.0
    return [
        SpanView(
            phase=span.phase,
            text=span.name or messages.PHASES.get(span.phase, ""),
            step=span.step,
            start=span.start,
            seconds=span.seconds,
            share=span.seconds / whole,
            lasts=span.lasts,
        )
        for span in spans
    ]


def _needs(job: Job | None, siblings: Sequence[Build]) -> list[NeedView]:
    if job is None:
        return []
    newest = {row.job: row.id for row in sorted(siblings, key=lambda row: row.attempt)}
    return [NeedView(job=need, build=newest.get(need)) for need in job.needs]


def _steps(
    asked: Sequence[Step], done: Sequence[StepResult], state: BuildState, now: float
) -> list[StepView]:
    """The steps in their order: what was asked for, and how far each got."""
    scripts = {step.name: step.text for step in asked}
    names = [step.name for step in asked]
    names = names if len(names) >= len(done) else [result.name for result in done]
    results = [*done, *([None] * (len(names) - len(done)))]
    return [
        _step(number, name, scripts.get(name, ""), result, state, now)
        for number, (name, result) in enumerate(zip(names, results, strict=True), start=1)
    ]


def _step(
    number: int, name: str, run: str, result: StepResult | None, state: BuildState, now: float
) -> StepView:
    if result is None:
        return StepView(
            number=number,
            name=name,
            run=run,
            state="waiting",
            exit_status=None,
            started_at=None,
            finished_at=None,
            seconds=None,
            usage=UsageView(),
        )
    return StepView(
        number=number,
        name=name,
        run=run,
        state=_step_state(result, state),
        exit_status=result.exit_status,
        started_at=result.started_at,
        finished_at=result.finished_at,
        seconds=lookup.seconds(result.started_at, result.finished_at, now),
        usage=_usage(result.usage),
    )


def _step_state(result: StepResult, state: BuildState) -> str:
    if result.exit_status is not None:
        return "success" if result.exit_status == 0 else "failure"
    ended = result.finished_at is not None or state is BuildState.FINISHED
    return "killed" if ended else "running"


def _usage(usage: Usage) -> UsageView:
    return UsageView(cpu_seconds=usage.cpu_seconds, memory_peak=usage.memory_peak)
