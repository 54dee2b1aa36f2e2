"""Everything that stands between a change and its branch, and what takes it away."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from cupel.control.views import lookup
from cupel.control.views.nouns.change import Block, BlockView
from cupel.control.views.nouns.item import ItemView, JobView
from cupel.core import admission
from cupel.core.admission import Cause
from cupel.core.draft import Draft
from cupel.core.model import (
    LIVE_ITEMS,
    Approval,
    BuildState,
    Change,
    ChangeState,
    ItemState,
    Pipeline,
    Project,
    Queue,
    Verdict,
)
from cupel.report import blocks
from cupel.report.blocks import Said

_KINDS = {
    Cause.CIRCLE: Block.CIRCLE,
    Cause.OUTDATED: Block.OUTDATED,
    Cause.ABANDONED: Block.DEPENDENCY,
    Cause.ELSEWHERE: Block.DEPENDENCY,
    Cause.UNAPPROVED: Block.DEPENDENCY,
    Cause.UNASKED: Block.DEPENDENCY,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A change with what decides on its way: its approvals, those that count, and its items,
    newest first."""

    change: Change
    approvals: Sequence[Approval]
    counted: Sequence[Approval]
    items: Sequence[ItemView]


def blocked(draft: Draft, seen: Seen) -> list[BlockView]:
    """What stands between a change and its branch; nothing once it has landed."""
    change = seen.change
    if change.state is ChangeState.ABANDONED:
        return [_view(Block.ABANDONED, blocks.abandoned())]
    if change.state is ChangeState.LANDED:
        return []
    queue = draft.queue(change.project_id)
    found: list[BlockView] = []
    if queue.closed is not None:
        found.append(_view(Block.TREE, blocks.tree(queue)))
    own = [item for item in seen.items if item.patch_set == change.patch_set]
    gate = next((item for item in own if item.pipeline is Pipeline.GATE), None)
    if gate is not None and gate.state in LIVE_ITEMS:
        found += _inside(gate, change)
    else:
        found += _outside(draft, seen, queue, gate)
        check = next((item for item in own if item.pipeline is Pipeline.CHECK), None)
        if check is not None:
            found += _of_proof(check, change)
    return sorted(found, key=lambda each: each.cure is None)


def _view(
    kind: Block, said: Said, changes: Iterable[int] = (), builds: Iterable[int] = ()
) -> BlockView:
    return BlockView(
        kind=kind,
        text=said.text,
        cure=said.cure,
        command=said.command,
        changes=list(changes),
        builds=list(builds),
    )


def _outside(draft: Draft, seen: Seen, queue: Queue, gate: ItemView | None) -> list[BlockView]:
    """What keeps it out of the gate."""
    change, found = seen.change, []
    if gate is not None and gate.state in (ItemState.REJECTED, ItemState.REMOVED):
        said = blocks.left(gate.reason, gate.text or "", change)
        builds = [job.build for job in _failed(gate) if job.build is not None]
        found.append(_view(Block.LEFT, said, builds=builds))
    policy = draft.get(Project, change.project_id).policy
    given = len({row.user for row in seen.counted})
    if given < policy.approvals:
        standing = [row for row in seen.approvals if row.withdrawn_at is None]
        now = [row for row in standing if row.patch_set == change.patch_set]
        said = blocks.approvals(
            change,
            given,
            policy.approvals,
            of_owner=not policy.self_approval and any(r.user == change.owner for r in now),
            older=len({row.user for row in standing} - {row.user for row in now}),
        )
        found.append(_view(Block.APPROVALS, said))
    if not change.wants_land:
        found.append(_view(Block.REQUEST, blocks.unasked(change)))
    for each in admission.obstacles(draft, change):
        said = blocks.obstacle(each, queue)
        found.append(_view(_KINDS[each.cause], said, changes=[each.change]))
    return found


def _inside(item: ItemView, change: Change) -> list[BlockView]:
    """What an item of the gate waits for."""
    found = _of_proof(item, change)
    if item.waiting is not None and item.status not in ("running", "waiting", "passed"):
        found.append(_view(Block.PROOF, blocks.waiting(item.waiting)))
    elif item.status == "waiting" and not any(b.kind is Block.MACHINE for b in found):
        found.append(_view(Block.PROOF, blocks.waiting(item.waiting or "")))
    if item.proof is not None and item.proof.ahead_count:
        nearest, count = item.proof.ahead[-1], item.proof.ahead_count
        found.append(_view(Block.AHEAD, blocks.ahead(nearest, count), changes=item.proof.ahead))
    return found


def _of_proof(item: ItemView, change: Change) -> list[BlockView]:
    """What has gone wrong in proving it, and what of that is not done yet."""
    goes_on = item.state in LIVE_ITEMS
    if item.status == "conflict" or str(item.reason) == "conflict":
        detail = item.proof.detail if item.proof is not None else None
        return [_view(Block.CONFLICT, blocks.conflict(detail, change))]
    if item.status == "misconfigured" or str(item.reason) == "misconfigured":
        return [_view(Block.CONFIGURATION, blocks.misconfigured())]
    found: list[BlockView] = []
    if failed := _failed(item):
        rerun = goes_on and item.pipeline is Pipeline.GATE
        said = blocks.failing(
            [job.name for job in failed], item.pipeline, decided=not rerun, change=change
        )
        builds = [job.build for job in failed if job.build is not None]
        found.append(_view(Block.JOB, said, builds=builds))
    if goes_on:
        found += _not_done(item)
    return found


def _not_done(item: ItemView) -> list[BlockView]:
    """Jobs that wait for a machine, by what they wait for, and those that take their time."""
    required = [job for job in item.jobs if job.voting]
    found: list[BlockView] = []
    waits: dict[str, list[JobView]] = {}
    for job in required:
        if job.state == BuildState.QUEUED and job.waiting:
            waits.setdefault(job.waiting, []).append(job)
    for why, jobs in waits.items():
        builds = [job.build for job in jobs if job.build is not None]
        said = blocks.machine([job.name for job in jobs], why)
        found.append(_view(Block.MACHINE, said, builds=builds))
    left = [job for job in required if job.verdict is None]
    if left and item.proof is not None:
        builds = [job.build for job in left if job.build is not None]
        said = blocks.running([job.name for job in left], len(required))
        found.append(_view(Block.RUNNING, said, builds=builds))
    return found


def _failed(item: ItemView) -> list[JobView]:
    """Its required jobs whose newest attempt did not pass."""
    bad = (*lookup.BAD, Verdict.CANCELLED)
    return [
        job
        for job in item.jobs
        if job.voting
        and job.verdict in bad
        and (job.verdict is not Verdict.CANCELLED or job.failures > 0)
    ]
