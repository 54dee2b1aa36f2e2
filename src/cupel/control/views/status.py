"""The server at a glance: its projects and how much of everything is alive; and what happened."""

from __future__ import annotations

from collections import Counter

import cupel
from cupel.control.views import fleet, lookup, queue
from cupel.control.views.nouns.event import EventView
from cupel.control.views.nouns.project import (
    BranchView,
    CountsView,
    PolicyView,
    ProjectView,
    StatusView,
)
from cupel.control.views.nouns.view import Page
from cupel.core.model import (
    LIVE_ITEMS,
    Branch,
    Build,
    BuildState,
    Change,
    ChangeState,
    Event,
    Host,
    HostState,
    Item,
    Machine,
    Pipeline,
    Project,
    Queue,
)
from cupel.store.interface import Transaction

SCANNED = 2_000
"""Events that are read for a page of those that are about something."""


def git_url(url: str, project: str) -> str:
    """The remote of a project on the server at `url`."""
    return f"{url}/{project}.git"


async def status_view(tx: Transaction, *, url: str, now: float) -> StatusView:
    """The server at a glance."""
    return StatusView(
        version=cupel.__version__,
        url=url,
        now=now,
        counts=await _counts(tx),
        projects=await project_list(tx, url=url),
    )


async def project_list(tx: Transaction, *, url: str) -> list[ProjectView]:
    """Every project, by name."""
    return await _projects(tx, await tx.select(Project, order="name"), url)


async def project_view(tx: Transaction, name: str, *, url: str) -> ProjectView:
    """One project. Raises NotFound."""
    return (await _projects(tx, [await queue.named(tx, name)], url))[0]


async def _projects(tx: Transaction, rows: list[Project], url: str) -> list[ProjectView]:
    where = {"project_id": {row.id for row in rows}}
    heads = {(row.project_id, row.name): row.head for row in await tx.select(Branch, where)}
    gate = await tx.select(Item, {**where, "pipeline": Pipeline.GATE, "state": LIVE_ITEMS})
    open_changes = await tx.select(Change, {**where, "state": ChangeState.OPEN})
    queues = await lookup.by_id(tx, Queue, (row.queue_id for row in rows))
    queued = Counter(item.project_id for item in gate)
    opened = Counter(change.project_id for change in open_changes)
    return [
        ProjectView(
            id=row.id,
            name=row.name,
            queue=queues[row.queue_id].name,
            branches=[
                BranchView(name=name, head=heads.get((row.id, name))) for name in row.branches
            ],
            policy=PolicyView(
                approvals=row.policy.approvals,
                self_approval=row.policy.self_approval,
                attempts=row.policy.attempts,
                merge=row.policy.merge,
                keep_check=row.policy.keep_check,
            ),
            git_url=git_url(url, row.name),
            open_changes=opened[row.id],
            queue_length=queued[row.id],
            created_at=row.created_at,
        )
        for row in rows
    ]


async def _counts(tx: Transaction) -> CountsView:
    hosts = await tx.select(Host, {"state": HostState.CONNECTED})
    return CountsView(
        changes_open=await tx.count(Change, {"state": ChangeState.OPEN}),
        items_live=await tx.count(Item, {"state": LIVE_ITEMS}),
        queue_length=await tx.count(Item, {"state": LIVE_ITEMS, "pipeline": Pipeline.GATE}),
        builds_queued=await tx.count(Build, {"state": BuildState.QUEUED}),
        builds_running=await tx.count(
            Build, {"state": {BuildState.STARTING, BuildState.RUNNING, BuildState.CANCELLING}}
        ),
        machines=await tx.count(Machine, {"state": fleet.PRESENT}),
        hosts_connected=len(hosts),
        slots=sum(host.slots for host in hosts),
    )


async def event_list(
    tx: Transaction,
    *,
    after: int | None = None,
    before: int | None = None,
    change: int | None = None,
    project: str | None = None,
    about: str | None = None,
    limit: int = 100,
) -> Page[EventView]:
    """Events, newest first; those after `after`, oldest first, if that is given.

    `about` is what the kind begins with: `build` is of all that happens to builds. A page of those
    may have fewer than `limit`, and still have a `next`. Raises NotFound for the project.
    """
    where: dict[str, object] = {} if change is None else {"change_id": change}
    if project is not None:
        where["project_id"] = (await queue.named(tx, project)).id
    forward = after is not None
    most = limit if about is None else SCANNED
    rows = await tx.select(
        Event, where, descending=not forward, limit=most + 1, after=after, before=before
    )
    fitting = [row for row in rows[:most] if about is None or row.kind.startswith(f"{about}.")]
    shown = fitting[:limit]
    last = shown[-1].id if len(fitting) > limit else rows[most - 1].id if len(rows) > most else None
    return Page(entries=await event_views(tx, shown), next=last)


async def event_views(tx: Transaction, rows: list[Event]) -> list[EventView]:
    projects = await lookup.by_id(tx, Project, (row.project_id for row in rows))
    return [
        EventView(
            id=row.id,
            at=row.at,
            kind=row.kind,
            project=projects[row.project_id].name if row.project_id in projects else None,
            change=row.change_id,
            item=row.item_id,
            build=row.build_id,
            machine=row.machine_id,
            user=row.user,
            text=row.text,
        )
        for row in rows
    ]
