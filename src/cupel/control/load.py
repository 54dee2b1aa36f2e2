"""Which rows a decision reads: those that a fact concerns, and those that planning looks at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from cupel.core import events
from cupel.core.model import (
    LIVE_ITEMS,
    Approval,
    Branch,
    Build,
    Buildset,
    BuildState,
    Change,
    ChangeState,
    Host,
    Item,
    Machine,
    MachineState,
    PatchSet,
    Project,
    Row,
)
from cupel.store.interface import Transaction

_LIVE = tuple(LIVE_ITEMS)
_UNFINISHED = tuple(state for state in BuildState if state is not BuildState.FINISHED)
_THERE = tuple(state for state in MachineState if state is not MachineState.GONE)


async def everything_live(tx: Transaction) -> list[Row]:
    """All that planning looks at: what has not come to its end, and what that refers to."""
    items = await tx.select(Item, {"state": _LIVE})
    builds = await tx.select(Build, {"state": _UNFINISHED})
    buildset_ids = {item.buildset_id for item in items if item.buildset_id is not None}
    builds += await tx.select(Build, {"buildset_id": buildset_ids, "state": (BuildState.FINISHED,)})
    buildset_ids |= {build.buildset_id for build in builds}
    buildsets = await tx.select(Buildset, {"id": buildset_ids})
    known = {item.id for item in items}
    items += await tx.select(Item, {"id": {b.item_id for b in buildsets} - known})
    machines = await tx.select(Machine, {"state": _THERE})
    past = {b.machine_id for b in builds if b.machine_id is not None} - {m.id for m in machines}
    machines += await tx.select(Machine, {"id": past})
    return [
        *items,
        *buildsets,
        *builds,
        *machines,
        *await tx.select(Host),
        *await tx.select(Project),
        *await tx.select(Branch),
        *await _changes_of(tx, items),
    ]


async def _changes_of(tx: Transaction, items: Sequence[Item]) -> list[Row]:
    """The changes of items, those that want to land, and what open ones of them need, downwards.

    Below a change that has ended nothing is looked at: history is not walked.
    """
    found = await tx.select(Change, {"wants_land": True, "state": (ChangeState.OPEN,)})
    known = {change.id: change for change in found}
    missing = {item.change_id for item in items if item.change_id is not None} - set(known)
    found += await tx.select(Change, {"id": missing})
    patch_sets: list[PatchSet] = []
    while found:
        known |= {change.id: change for change in found}
        versions = await tx.select(PatchSet, {"change_id": {change.id for change in found}})
        patch_sets += versions
        open_ones = {change.id for change in found if change.state is ChangeState.OPEN}
        needed = {p.needs_change for p in versions if p.change_id in open_ones and p.needs_change}
        missing = needed - set(known)
        found = await tx.select(Change, {"id": missing}) if missing else []
    approvals = await tx.select(Approval, {"change_id": set(known), "withdrawn_at": None})
    return [*known.values(), *patch_sets, *approvals]


async def concerning(tx: Transaction, facts: Iterable[events.Fact]) -> list[Row]:
    """The rows that recording these facts reads."""
    rows: dict[tuple[type[Row], int], Row] = {}
    for fact in facts:
        for row in await _concerning(tx, fact):
            rows[type(row), row.id] = row
    return list(rows.values())


async def _concerning(tx: Transaction, fact: events.Fact) -> Sequence[Row]:
    match fact:
        case events.ProjectAdded():
            return ()
        case events.ChangePushed():
            return await _stack(tx, fact.change.project_id, fact.change.id)
        case (
            events.Approved()
            | events.ApprovalWithdrawn()
            | events.LandAsked()
            | events.DequeueAsked()
            | events.Abandoned()
        ):
            change = await tx.get(Change, fact.change_id)
            return await _stack(tx, change.project_id, change.id) if change is not None else ()
        case events.HeadSeen():
            where = {"project_id": fact.project_id, "name": fact.branch}
            return await tx.select(Branch, where)
        case events.StatePrepared() | events.StateConflicted() | events.StateMisconfigured():
            buildset = await tx.get(Buildset, fact.buildset_id)
            if buildset is None:
                return ()
            return [buildset, *await tx.select(Item, {"id": [buildset.item_id]})]
        case events.Landed() | events.LandingRefused():
            return await _landing(tx, fact.item_id)
        case events.HostConnected():
            return [
                *await _on_host(tx, fact.name),
                *await tx.select(Machine, {"id": fact.machines}),
            ]
        case events.HostLost():
            return await _on_host(tx, fact.name)
        case events.HostSeen():
            return await tx.select(Host, {"name": fact.name})
        case (
            events.MachineReady()
            | events.StepsChanged()
            | events.BuildFinished()
            | events.MachineGone()
        ):
            return await _on_machines(tx, [fact.machine_id])
        case _:
            assert_never(fact)


async def _stack(tx: Transaction, project_id: int, change_id: int) -> list[Row]:
    """The change and the project's open ones, with what decides on their way into the gate."""
    changes = await tx.select(Change, {"project_id": project_id, "state": (ChangeState.OPEN,)})
    if change_id not in {change.id for change in changes}:
        changes += await tx.select(Change, {"id": [change_id]})
    known = {change.id for change in changes}
    patch_sets = await tx.select(PatchSet, {"change_id": known})
    below = {p.needs_change for p in patch_sets if p.needs_change is not None} - known
    changes += await tx.select(Change, {"id": below})
    ids = {change.id for change in changes}
    return [
        *changes,
        *patch_sets,
        *await tx.select(PatchSet, {"change_id": below}),
        *await tx.select(Approval, {"change_id": ids}),
        *await tx.select(Item, {"change_id": ids, "state": _LIVE}),
        *await tx.select(Project, {"id": [project_id]}),
    ]


async def _landing(tx: Transaction, item_id: int) -> list[Row]:
    item = await tx.get(Item, item_id)
    if item is None or item.buildset_id is None:
        return []
    return [
        item,
        *await tx.select(Project, {"id": [item.project_id]}),
        *await tx.select(Branch, {"project_id": item.project_id, "name": item.branch}),
        *await tx.select(Change, {"id": [item.change_id]}),
        *await tx.select(Buildset, {"id": [item.buildset_id]}),
        *await tx.select(Build, {"buildset_id": [item.buildset_id]}),
    ]


async def _on_host(tx: Transaction, name: str) -> list[Row]:
    hosts = await tx.select(Host, {"name": name})
    where = {"host_id": [host.id for host in hosts], "state": _THERE}
    machines = await tx.select(Machine, where)
    found = await _on_machines(tx, [machine.id for machine in machines])
    return [*hosts, *found]


async def _on_machines(tx: Transaction, ids: Sequence[int]) -> list[Row]:
    machines = await tx.select(Machine, {"id": ids})
    return [
        *machines,
        *await tx.select(Host, {"id": {machine.host_id for machine in machines}}),
        *await tx.select(Build, {"machine_id": ids, "state": _UNFINISHED}),
    ]
