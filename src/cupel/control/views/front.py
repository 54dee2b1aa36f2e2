"""The server for somebody who comes by, of as few rows as that takes.

Each project takes two small selects of its own: what landed there last, and what ran after that.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from cupel.control.views import item, lane, lookup, took
from cupel.control.views.nouns.front import (
    FrontProjectView,
    FrontView,
    Health,
    HealthView,
    TroubleView,
)
from cupel.control.views.nouns.item import ItemView
from cupel.control.views.status import git_url
from cupel.core.model import (
    LIVE_ITEMS,
    Branch,
    Build,
    Buildset,
    BuildState,
    Change,
    ChangeState,
    Host,
    HostState,
    Item,
    ItemState,
    Machine,
    MachineState,
    Pipeline,
    Project,
    Queue,
)
from cupel.core.quarantine import Quarantine
from cupel.store.interface import Transaction, Where

FIRST = 3
"""Items of each gate that are shown: those which land next."""

LANDED = 8
"""Landings that are shown, of all projects."""

BUSY = frozenset({MachineState.USED, MachineState.HELD})
RUNNING = frozenset({BuildState.STARTING, BuildState.RUNNING, BuildState.CANCELLING})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What is known of default branches: project id → what stands there."""

    heads: Mapping[int, str | None]
    landed: Mapping[int, Item]
    """The newest landing."""
    commits: Mapping[int, str | None]
    """Buildset id → the commit that was proved."""
    after: Mapping[int, Item]
    """The newest run of what is built after landing, or from time to time, that has ended."""
    changes: Mapping[int, Change]


async def front_view(tx: Transaction, *, url: str, now: float) -> FrontView:
    """Everything of it, as it is now."""
    projects = await tx.select(Project, order="name")
    queues = await lookup.by_id(tx, Queue, (row.queue_id for row in projects))
    live = await tx.select(Item, {"state": LIVE_ITEMS}, order="position")
    recent = await _ended(tx, {"pipeline": Pipeline.GATE, "state": ItemState.LANDED}, LANDED)
    seen = await _seen(tx, projects)
    gates = {row.id: _of(live, row, Pipeline.GATE) for row in projects}
    shown = await _items(tx, [*(i for gate in gates.values() for i in gate[:FIRST]), *recent], now)
    times = await took.times(tx, now)
    opened = Counter(
        number for _, number in await tx.values(
            Change, ("id", "project_id"), {"state": ChangeState.OPEN}
        )
    )  # fmt: skip
    health = {row.id: _health(row, queues[row.queue_id], seen) for row in projects}
    machines = await _machines(tx)
    return FrontView(
        now=now,
        projects=[
            FrontProjectView(
                name=row.name,
                queue=queues[row.queue_id].name,
                branch=row.branches[0],
                head=seen.heads.get(row.id),
                git_url=git_url(url, row.name),
                health=health[row.id],
                open_changes=opened[row.id],
                check=len(_of(live, row, Pipeline.CHECK)),
                gate=len(gates[row.id]),
                landing=[shown[each.id] for each in gates[row.id][:FIRST]],
                to_land=times.to_land(row.id),
                to_verdict=times.to_verdict(row.id),
            )
            for row in projects
        ],
        troubles=[
            *_troubles(projects, queues, health),
            *await _hosts(tx, now),
            *await _quarantined(tx, now),
        ],
        landed=[shown[each.id] for each in recent],
        busy=machines[0],
        slots=machines[1],
        hosts=machines[2],
        builds_running=await tx.count(Build, {"state": RUNNING}),
        builds_queued=await tx.count(Build, {"state": BuildState.QUEUED}),
    )


def _of(live: Sequence[Item], project: Project, pipeline: Pipeline) -> list[Item]:
    branch = project.branches[0]
    return [
        row for row in live
        if row.project_id == project.id and row.branch == branch and row.pipeline is pipeline
    ]  # fmt: skip


async def _ended(tx: Transaction, where: Where, limit: int) -> list[Item]:
    """The items that ended last."""
    return await tx.select(Item, where, order="finished_at", descending=True, limit=limit)


async def _items(tx: Transaction, rows: Sequence[Item], now: float) -> dict[int, ItemView]:
    if not rows:
        return {}
    made = await item.rows_of(tx, rows, now)
    views = item.item_views(made, rows, lane.Survey(), now)
    return {view.id: view for view in views}


async def _seen(tx: Transaction, projects: Sequence[Project]) -> _Seen:
    branches = await tx.select(Branch, {"project_id": {row.id for row in projects}})
    heads = {(row.project_id, row.name): row.head for row in branches}
    landed, after = {}, {}
    for row in projects:
        where = {"project_id": row.id, "branch": row.branches[0]}
        gate = {**where, "pipeline": Pipeline.GATE, "state": ItemState.LANDED}
        landed[row.id] = await _ended(tx, gate, 1)
        later = {
            **where,
            "pipeline": {Pipeline.POST, Pipeline.PERIODIC},
            "state": {ItemState.PASSED, ItemState.REJECTED},
        }
        after[row.id] = await _ended(tx, later, 1)
    newest = {number: rows[0] for number, rows in landed.items() if rows}
    proofs = await lookup.by_id(tx, Buildset, (row.buildset_id for row in newest.values()))
    return _Seen(
        heads={row.id: heads.get((row.id, row.branches[0])) for row in projects},
        landed=newest,
        commits={row.id: row.commit for row in proofs.values()},
        after={number: rows[0] for number, rows in after.items() if rows},
        changes=await lookup.by_id(tx, Change, (row.change_id for row in newest.values())),
    )


def _health(project: Project, queue: Queue, seen: _Seen) -> HealthView:
    """A closed queue goes before all: nothing lands there, whatever the branch is like."""
    head, landed = seen.heads.get(project.id), seen.landed.get(project.id)
    if queue.closed is not None:
        return HealthView(state=Health.CLOSED, because=queue.closed, who=queue.closed_by)
    if head is None:
        return HealthView(state=Health.EMPTY, because="nothing has landed yet")
    is_ours = landed is not None and seen.commits.get(landed.buildset_id or 0) == head
    change = seen.changes.get(landed.change_id or 0) if landed is not None and is_ours else None
    after = seen.after.get(project.id)
    if after is not None and after.commit == head and after.state is ItemState.REJECTED:
        return HealthView(
            state=Health.BROKEN,
            because=f"what runs {_WHEN[after.pipeline]} failed on exactly this commit",
            since=after.finished_at,
            change=None if change is None else change.id,
            who=None if change is None else change.owner,
        )
    if landed is None or not is_ours:
        return HealthView(
            state=Health.UNPROVED, because="nothing has been proved on this commit yet"
        )
    return HealthView(
        state=Health.GREEN,
        because="exactly this commit passed before it landed",
        since=landed.finished_at,
        change=landed.change_id,
    )


_WHEN = {Pipeline.POST: "after landing", Pipeline.PERIODIC: "from time to time"}


def _troubles(
    projects: Sequence[Project], queues: Mapping[int, Queue], health: Mapping[int, HealthView]
) -> list[TroubleView]:
    closed = [
        TroubleView(about="queue", name=row.name, text=f"closed: {row.closed}", since=None,
                    who=row.closed_by)
        for row in queues.values() if row.closed is not None
    ]  # fmt: skip
    broken = [
        TroubleView(about="branch", name=row.name, text=f"{row.branches[0]} is broken: "
                    f"{health[row.id].because}", since=health[row.id].since,
                    who=health[row.id].who)
        for row in projects if health[row.id].state is Health.BROKEN
    ]  # fmt: skip
    return [*broken, *closed]


async def _hosts(tx: Transaction, now: float) -> list[TroubleView]:
    """Hosts that make no machines, though nobody wanted that."""
    rows = await tx.select(Host, {"state": HostState.LOST}, order="name")
    lost = [
        TroubleView(about="host", name=row.name, text=row.detail or "the connection was lost",
                    since=row.last_seen, who=None)
        for row in rows
    ]  # fmt: skip
    there = await tx.select(Host, {"state": HostState.CONNECTED}, order="name")
    aside = [
        TroubleView(about="host", name=row.name, text=f"set aside: {row.detail or 'it failed'}",
                    since=None, who=None)
        for row in there if (row.quarantined_until or 0.0) > now
    ]  # fmt: skip
    return [*lost, *aside]


async def _quarantined(tx: Transaction, now: float) -> list[TroubleView]:
    """Tests that may fail for a while, by who is on them."""
    by_owner: defaultdict[str, list[Quarantine]] = defaultdict(list)
    for row in await tx.select(Quarantine):
        if row.is_in_force(now):
            by_owner[row.owner].append(row)
    return [
        TroubleView(
            about="test",
            name=rows[0].name,
            text=_others(rows),
            since=min(row.created_at for row in rows),
            who=owner,
        )
        for owner, rows in sorted(by_owner.items())
    ]


def _others(rows: Sequence[Quarantine]) -> str:
    more = len({row.test for row in rows}) - 1
    if more == 0:
        return "may fail for a while"
    return f"and {more} other {'test' if more == 1 else 'tests'} may fail for a while"


async def _machines(tx: Transaction) -> tuple[int, int, int]:
    """How many slots have a machine at work, how many there are, and on how many hosts."""
    hosts = await tx.select(Host, {"state": HostState.CONNECTED})
    where = {"state": BUSY, "host_id": _ids(hosts)}
    busy = await tx.count(Machine, where) if hosts else 0
    return busy, sum(host.slots for host in hosts), len(hosts)


def _ids(rows: Iterable[Host]) -> set[int]:
    return {row.id for row in rows}
