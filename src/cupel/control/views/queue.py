"""What goes on for a branch: its gate in landing order, its checks, what landed lately."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

from cupel.control import load
from cupel.control.views import estimate, lookup
from cupel.control.views import item as places
from cupel.control.views.estimate import Estimates
from cupel.control.views.nouns.estimate import QueueEstimateView
from cupel.control.views.nouns.item import ItemView
from cupel.control.views.nouns.project import HeadView
from cupel.control.views.nouns.queue import KeptOutView, QueueView, RulesView
from cupel.core import admission
from cupel.core.draft import Draft
from cupel.core.model import (
    LIVE_ITEMS,
    Branch,
    Change,
    ChangeState,
    Item,
    ItemState,
    Pipeline,
    Project,
    Queue,
    Reason,
)
from cupel.errors import NotFound
from cupel.report import messages
from cupel.store.interface import Transaction

RECENT = 10

NO_ESTIMATE = QueueEstimateView(empties=None, machines=0, unknown=None)

_NARROWING = frozenset({Reason.BUILD_FAILED, Reason.TIMED_OUT, Reason.CONFLICT})
"""Why items are rejected, which halves a window."""


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


async def branches(tx: Transaction, name: str) -> list[str]:
    """The branches that the queue of this name, or of the project of this name, is for.

    Raises NotFound.
    """
    queue, _ = await _queue_of(tx, name)
    return [line.branch for line in await _lines(tx, [queue])]


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
    rows = await places.rows_of(tx, shown, now)
    known = await _estimates(tx, lines, shown, rows, now)
    rows = dataclasses.replace(rows, estimates=known)
    items = places.item_views(rows, shown, places.survey(rows, live), now)
    there = {row.change_id for row in live if row.pipeline is Pipeline.GATE}
    kept_out = await _kept_out(tx, projects, there)
    return [_view(line, heads, items, kept_out, known) for line in lines]


async def _estimates(
    tx: Transaction, lines: Sequence[Line], items: Sequence[Item], rows: places.Rows, now: float
) -> Estimates:
    queues = {line.queue.id: line.queue for line in lines}
    of = {row.id: row.queue_id for row in rows.projects.values()}
    gates: dict[tuple[int, str], list[Item]] = {(line.queue.id, line.branch): [] for line in lines}
    for each in items:
        lane = (of[each.project_id], each.branch)
        if each.pipeline is Pipeline.GATE and each.state in LIVE_ITEMS and lane in gates:
            gates[lane].append(each)
    known = estimate.Known(projects=rows.projects, buildsets=rows.buildsets, builds=rows.builds)
    return await estimate.estimates(tx, queues.values(), gates, known, now)


def _view(
    line: Line,
    heads: Mapping[tuple[int, str], str | None],
    items: Sequence[ItemView],
    kept_out: Sequence[KeptOutView],
    known: Estimates,
) -> QueueView:
    names = {row.name for row in line.projects}
    own = [each for each in items if each.project in names and each.branch == line.branch]
    live = [item for item in own if item.state in LIVE_ITEMS]
    done = [item for item in own if item.state not in LIVE_ITEMS]
    recent = sorted(done, key=lambda item: (-(item.finished_at or 0.0), -item.id))[:RECENT]
    return QueueView(
        name=line.queue.name,
        branch=line.branch,
        rules=_rules(line.queue, line.projects),
        window=_window(line.queue, recent),
        heads=[
            HeadView(project=row.name, head=heads.get((row.id, line.branch)))
            for row in line.projects
        ],
        estimate=known.queues.get((line.queue.id, line.branch), NO_ESTIMATE),
        gate=[item for item in live if item.pipeline is Pipeline.GATE],
        check=[item for item in live if item.pipeline is Pipeline.CHECK],
        post=[item for item in live if item.pipeline in (Pipeline.POST, Pipeline.PERIODIC)],
        recent=recent,
        kept_out=[
            each
            for each in kept_out
            if each.change.project in names and each.change.branch == line.branch
        ],
    )


def _window(queue: Queue, recent: Sequence[ItemView]) -> str | None:
    """How many items may be under way, and why it is not more, in words."""
    if queue.window is None:
        return None
    rejected = (each.change for each in recent if each.reason in _NARROWING)
    return messages.window(
        queue.window, queue.window_floor, queue.window_ceiling, next(rejected, None)
    )


async def _kept_out(
    tx: Transaction, projects: Mapping[int, Project], there: Collection[int | None]
) -> list[KeptOutView]:
    """The changes that are to land and are not `there`, in the order of their requests."""
    where = {"project_id": set(projects), "wants_land": True, "state": ChangeState.OPEN}
    changes = await tx.select(Change, where, order="land_asked_at")
    changes = [change for change in changes if change.id not in there]
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
