"""How a branch stands, for badges and status files."""

from __future__ import annotations

from collections.abc import Sequence

from cupel.control.views import notice
from cupel.control.views.nouns.notice import BranchState, BranchStatusView, ReportView
from cupel.core.model import (
    LIVE_ITEMS,
    Branch,
    Buildset,
    Item,
    ItemState,
    Pipeline,
    Project,
    Queue,
)
from cupel.errors import NotFound
from cupel.store.interface import Transaction


async def branch_status(tx: Transaction, path: str, *, url: str, now: float) -> BranchStatusView:
    """How `PROJECT/BRANCH` stands; both may have slashes. Raises NotFound."""
    project, name = await _find(tx, path)
    (branch,) = await tx.select(Branch, {"project_id": project.id, "name": name})
    where = {"project_id": project.id, "branch": name}
    landed = await _newest(tx, where | {"pipeline": Pipeline.GATE, "state": ItemState.LANDED})
    after = None
    if landed is not None and await _commit(tx, landed) != branch.head:
        landed = None
    if landed is not None:
        after = await _newest(tx, where | {"pipeline": Pipeline.POST, "commit": branch.head})
    queued = await tx.count(Item, where | {"pipeline": Pipeline.GATE, "state": LIVE_ITEMS})
    queue = await tx.get(Queue, project.queue_id)
    reports: list[ReportView] = []
    for item in filter(None, (landed, after)):
        reports += notice.reports(await notice.item_view(tx, item, now=now), url)
    return BranchStatusView(
        project=project.name,
        branch=name,
        state=_state(branch, landed, after),
        commit=branch.head,
        change=None if landed is None else landed.change_id,
        landed_at=None if landed is None else landed.finished_at,
        queued=queued,
        closed=None if queue is None else queue.closed,
        reports=reports,
    )


def _state(branch: Branch, landed: Item | None, after: Item | None) -> BranchState:
    if branch.head is None:
        return "unborn"
    if landed is None:
        return "unproved"
    return "failing" if after is not None and after.state is ItemState.REJECTED else "passing"


async def _find(tx: Transaction, path: str) -> tuple[Project, str]:
    """The longest name of a project that begins the path, and one of its branches."""
    projects: Sequence[Project] = await tx.select(Project)
    for project in sorted(projects, key=lambda row: len(row.name), reverse=True):
        name = path.removeprefix(f"{project.name}/")
        if name != path and name in project.branches:
            return project, name
    raise NotFound(
        f"there is no guarded branch {path}",
        hint="it is PROJECT/BRANCH; `cupel project list` has them all",
    )


async def _newest(tx: Transaction, where: dict[str, object]) -> Item | None:
    found = await tx.select(Item, where, descending=True, order="finished_at", limit=1)
    return found[0] if found else None


async def _commit(tx: Transaction, landed: Item) -> str | None:
    """What the branch pointed to when the item, and those that landed with it, had landed."""
    last = landed
    if landed.lands_with is not None:
        last = await tx.get(Item, landed.lands_with) or landed
    buildset = None if last.buildset_id is None else await tx.get(Buildset, last.buildset_id)
    return None if buildset is None else buildset.commit
