"""All of a change: its patch sets, approvals, what it needs, and everything tried for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from cupel.control import load
from cupel.control.views import blocked as blocks
from cupel.control.views import cause, chain, cost, estimate, lane, lookup
from cupel.control.views import item as items
from cupel.control.views.nouns.build import AttemptView
from cupel.control.views.nouns.cause import CauseView
from cupel.control.views.nouns.change import (
    ApprovalView,
    BuildsetView,
    ChangeRef,
    ChangeView,
    CostView,
    HistoryView,
    PatchSetView,
    PlaceView,
)
from cupel.control.views.nouns.item import ItemView
from cupel.core import admission
from cupel.core.draft import Draft
from cupel.core.model import (
    LIVE_ITEMS,
    Approval,
    Build,
    Buildset,
    Change,
    ChangeState,
    Item,
    ItemState,
    PatchSet,
    Pipeline,
    Policy,
    Project,
    Queue,
    Verdict,
)
from cupel.errors import Bug, NotFound
from cupel.log.store import LogStore
from cupel.report import messages
from cupel.store.interface import Transaction


async def change_ref(tx: Transaction, id: int) -> ChangeRef:
    """A change in one line. Raises NotFound."""
    change = await _change(tx, id)
    return lookup.change_ref(change, await lookup.by_id(tx, Project, [change.project_id]))


async def _change(tx: Transaction, id: int) -> Change:
    change = await tx.get(Change, id)
    if change is None:
        raise NotFound(f"there is no change {id}", hint="`cupel change list` has them all")
    return change


async def change_view(
    tx: Transaction, id: int, *, now: float, logs: LogStore | None = None
) -> ChangeView:
    """All of a change. Raises NotFound. Why builds did not pass is left out without `logs`."""
    change = await _change(tx, id)
    patch_sets = await tx.select(PatchSet, {"change_id": id}, order="number", descending=True)
    approvals = await tx.select(Approval, {"change_id": id})
    newest = next((row for row in patch_sets if row.number == change.patch_set), None)
    if newest is None:
        raise Bug(f"change {id} has no patch set {change.patch_set}")
    draft = await load.with_needs(tx, [change])
    needed_by = await _needed_by(tx, id)
    found = await lookup.by_id(tx, Change, chain.numbers(newest))
    needs = [found[number] for number in chain.numbers(newest) if number in found]
    projects = {row.id: row for row in draft.all(Project)}
    policy = projects[change.project_id].policy
    counted = counting(change, approvals, policy)
    tried = await _tried(tx, change, draft.queue(change.project_id), now)
    items = tried.histories
    why = [] if logs is None else await _causes(tx, logs, change, items)
    seen = blocks.Seen(
        change=change,
        approvals=approvals,
        counted=counted,
        items=[history.item for history in items],
    )
    return ChangeView(
        **dict(lookup.change_ref(change, projects)),
        key=change.key,
        description=change.description,
        owner=change.owner,
        commit=newest.commit,
        landed_commit=change.landed_commit,
        approvals=[_approval(row, counted) for row in approvals],
        approvals_given=len({row.user for row in counted}),
        approvals_needed=policy.approvals,
        needs=[lookup.change_ref(row, projects) for row in needs],
        needed_by=[lookup.change_ref(row, projects) for row in needed_by],
        patch_sets=[_patch_set(row) for row in patch_sets],
        items=items,
        waiting=_waiting(change, items, len({row.user for row in counted}), draft),
        kept_out=_kept_out(draft, change),
        causes=why,
        blocked=blocks.blocked(draft, seen),
        place=tried.place,
        costs=tried.costs,
        chain=await chain.chain(tx, draft, change),
        text=_why_not_landed(change, items),
    )


def counting(change: Change, approvals: Sequence[Approval], policy: Policy) -> list[Approval]:
    """The approvals that stand for the newest patch set, under the project's policy."""
    return [
        row
        for row in approvals
        if row.patch_set == change.patch_set
        and row.withdrawn_at is None
        and (policy.self_approval or row.user != change.owner)
    ]


def _kept_out(draft: Draft, change: Change) -> list[str]:
    if change.state is not ChangeState.OPEN:
        return []
    return [obstacle.text for obstacle in admission.obstacles(draft, change)]


async def _causes(
    tx: Transaction, logs: LogStore, change: Change, items: Sequence[HistoryView]
) -> list[CauseView]:
    """Why builds of the newest place of the newest patch set did not pass, unless it has."""
    if not items or items[0].item.patch_set != change.patch_set:
        return []
    if items[0].item.state in (ItemState.PASSED, ItemState.LANDED):
        return []
    item = items[0].item.id
    builds = await tx.select(Build, {"item_id": item})
    states = await tx.select(Buildset, {"item_id": item})
    return await cause.causes(tx, logs, cause.to_tell(builds, states))


async def _needed_by(tx: Transaction, id: int) -> list[Change]:
    """The changes whose newest patch set stands on this change, and open ones that name it."""
    open_ones = {row.id: row for row in await tx.select(Change, {"state": ChangeState.OPEN})}
    naming = [
        row
        for row in await tx.select(PatchSet, {"change_id": set(open_ones)})
        if id in row.depends_on
    ]
    needing = [*await tx.select(PatchSet, {"needs_change": id}), *naming]
    changes = await lookup.by_id(tx, Change, (row.change_id for row in needing))
    newest = {row.change_id for row in needing if changes[row.change_id].patch_set == row.number}
    return [changes[child] for child in sorted(newest)]


def _approval(row: Approval, counted: Sequence[Approval]) -> ApprovalView:
    return ApprovalView(
        user=row.user,
        patch_set=row.patch_set,
        created_at=row.created_at,
        withdrawn_at=row.withdrawn_at,
        counts=row in counted,
    )


def _patch_set(row: PatchSet) -> PatchSetView:
    return PatchSetView(
        number=row.number,
        commit=row.commit,
        tree=row.tree,
        parent=row.parent,
        needs_change=row.needs_change,
        depends_on=list(row.depends_on),
        files=row.files,
        lines=row.lines,
        pushed_by=row.pushed_by,
        created_at=row.created_at,
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """All that was tried for a change, newest item first, and where in the gate it is."""

    histories: list[HistoryView]
    place: PlaceView | None = None
    costs: list[CostView]


async def _tried(tx: Transaction, change: Change, queue: Queue, now: float) -> _Tried:
    own = await tx.select(Item, {"change_id": change.id}, descending=True)
    if not own:
        return _Tried(histories=[], costs=[])
    rows = await items.rows_of(tx, own, now)
    places, place = lane.Survey(), None
    if any(row.state in LIVE_ITEMS and row.pipeline is Pipeline.GATE for row in own):
        gate = await _gate(tx, change, queue)
        places, known = await items.known_of(tx, gate)
        gates = {(queue.id, change.branch): gate}
        estimates = await estimate.estimates(tx, [queue], gates, known, now)
        rows = dataclasses.replace(rows, estimates=estimates)
        numbers = [row.change_id for row in gate]
        if change.id in numbers:
            place = PlaceView(queue=queue.name, place=numbers.index(change.id) + 1, of=len(numbers))
    views = items.item_views(rows, own, places, now)
    ids = {row.id for row in own}
    buildsets = await tx.select(Buildset, {"item_id": ids}, descending=True)
    builds = await tx.select(Build, {"item_id": ids})
    tried = {view.id: view for view in attempts(builds, now)}
    histories = [
        HistoryView(
            item=view,
            buildsets=[
                _buildset(
                    buildset, row, [tried[b.id] for b in builds if b.buildset_id == buildset.id]
                )
                for buildset in buildsets
                if buildset.item_id == row.id
            ],
        )
        for row, view in zip(own, views, strict=True)
    ]
    costs = await cost.costs(tx, builds, buildsets, now)
    return _Tried(histories=histories, place=place, costs=costs)


async def _gate(tx: Transaction, change: Change, queue: Queue) -> list[Item]:
    """The items of the gate that the change is in, in landing order."""
    beside = await tx.select(Project, {"queue_id": queue.id})
    gate = await tx.select(
        Item,
        {
            "project_id": {row.id for row in beside},
            "branch": change.branch,
            "pipeline": Pipeline.GATE,
            "state": LIVE_ITEMS,
        },
    )
    return sorted(gate, key=lambda item: (item.position, item.id))


def _buildset(row: Buildset, item: Item, builds: list[AttemptView]) -> BuildsetView:
    return BuildsetView(
        id=row.id,
        number=row.number,
        state=row.state,
        role=row.role,
        current=row.id == item.buildset_id,
        onto=row.onto,
        commit=row.commit,
        tree=row.tree,
        detail=row.detail,
        notice=row.notice,
        builds=builds,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


def attempts(builds: Sequence[Build], now: float) -> list[AttemptView]:
    """The builds of an item, or some of them, in their order."""
    views: list[AttemptView] = []
    failed: set[tuple[str, object]] = set()
    for build in builds:
        view = attempt_view(build, now)
        asked = {(build.job, build.buildset_id), (build.job, build.key or build.buildset_id)}
        if build.verdict is Verdict.SUCCESS and asked & failed and build.reused_from is None:
            view = view.model_copy(update={"flaked": True})
            failed -= asked
        elif build.verdict is Verdict.FAILURE:
            failed |= asked
        views.append(view)
    return views


def attempt_view(build: Build, now: float) -> AttemptView:
    return AttemptView(
        id=build.id,
        job=build.job,
        attempt=build.attempt,
        voting=build.voting,
        state=build.state,
        verdict=build.verdict,
        icon=lookup.icon(build),
        reason=build.reason,
        machine=build.machine_id,
        queued_at=build.queued_at,
        started_at=build.started_at,
        finished_at=build.finished_at,
        seconds=lookup.build_seconds(build, now),
        reused_from=build.reused_from,
        but_for=build.but_for,
        why=messages.PURPOSES.get(build.purpose, ""),
    )


def _waiting(change: Change, items: Sequence[HistoryView], given: int, draft: Draft) -> str | None:
    """What an open change waits for on its way to the branch, in words."""
    if change.state is not ChangeState.OPEN:
        return None
    gate = [view.item for view in items if view.item.pipeline is Pipeline.GATE]
    if gate and gate[0].state in LIVE_ITEMS:
        return gate[0].waiting
    if (never := admission.never(draft, change)) is not None:
        return never
    approvals = draft.get(Project, change.project_id).policy.approvals
    if given < approvals:
        return messages.waits_for_approvals(given, approvals)
    if not change.wants_land:
        return messages.waits_for_land()
    return admission.why_not(draft, change) or messages.waits_for_entry()


def _why_not_landed(change: Change, items: Sequence[HistoryView]) -> str | None:
    """Why the newest patch set was last rejected or removed from the gate, if it was."""
    gate: list[ItemView] = [view.item for view in items if view.item.pipeline is Pipeline.GATE]
    if change.state is ChangeState.LANDED or not gate or gate[0].patch_set != change.patch_set:
        return None
    left = gate[0].state in {ItemState.REJECTED, ItemState.REMOVED}
    return gate[0].text if left else None
