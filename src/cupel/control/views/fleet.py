"""Machines and the hosts that make them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from cupel.control.views import lookup
from cupel.control.views.nouns.fleet import HostView, LoadView, MachineView
from cupel.control.views.nouns.view import Page
from cupel.core import host as hosts
from cupel.core import waiting
from cupel.core.draft import Draft
from cupel.core.hold import Hold
from cupel.core.model import (
    Build,
    Buildset,
    BuildState,
    Host,
    HostState,
    Item,
    Machine,
    MachineState,
    Pool,
    Project,
    Row,
    Verdict,
)
from cupel.core.semaphore import HOLDING
from cupel.errors import NotFound
from cupel.host.messages import HostLoad
from cupel.store.interface import Transaction

PRESENT = frozenset(MachineState) - {MachineState.GONE}
"""The states of a machine that takes a place on its host."""

NO_LOADS: Mapping[str, HostLoad] = MappingProxyType({})

KNOWN = frozenset(HostState) - {HostState.FORGOTTEN}


async def machine_list(
    tx: Transaction,
    *,
    now: float,
    gone: bool = False,
    limit: int = 50,
    before: int | None = None,
) -> Page[MachineView]:
    """The machines that exist, newest first; with `gone` those that did, too."""
    where = None if gone else {"state": PRESENT}
    rows = await tx.select(Machine, where, descending=True, limit=limit + 1, before=before)
    return Page(
        entries=await _machines(tx, rows[:limit], now),
        next=rows[limit - 1].id if len(rows) > limit else None,
    )


async def machine_view(tx: Transaction, id: int, *, now: float) -> MachineView:
    """One machine. Raises NotFound."""
    row = await tx.get(Machine, id)
    if row is None:
        raise NotFound(f"there is no machine {id}")
    return (await _machines(tx, [row], now))[0]


async def host_list(
    tx: Transaction, *, now: float, loads: Mapping[str, HostLoad] = NO_LOADS
) -> list[HostView]:
    """Every host that is not forgotten with the machines that are on it, by name, as is `loads`."""
    rows = await tx.select(Host, {"state": KNOWN}, order="name")
    present = await _machines(tx, await tx.select(Machine, {"state": PRESENT}), now)
    return [
        _host(
            host,
            [machine for machine in present if machine.host == host.name],
            now,
            loads.get(host.name),
        )
        for host in rows
    ]


async def host_view(
    tx: Transaction, name: str, *, now: float, loads: Mapping[str, HostLoad] = NO_LOADS
) -> HostView:
    """One host. Raises NotFound."""
    for host in await host_list(tx, now=now, loads=loads):
        if host.name == name:
            return host
    raise NotFound(f"there is no host {name}", hint="`cupel host list` has them all")


async def waits(
    tx: Transaction, builds: Iterable[Build], *, now: float, known: Iterable[Buildset] = ()
) -> dict[int, str]:
    """By id, why which of these builds has no machine yet; see `waiting.reasons`.

    The buildsets that are `known` need not be read.
    """
    queued = [build for build in builds if build.state is BuildState.QUEUED]
    if not queued:
        return {}
    states = {build.buildset_id for build in queued}
    held = await tx.select(Build, {"state": HOLDING})
    lost = await tx.select(Build, {"buildset_id": states, "verdict": Verdict.INFRA})
    there = {row.id: row for row in known}
    wanted = states | {build.buildset_id for build in held}
    rows: list[Row] = [
        *held,
        *lost,
        *there.values(),
        *await tx.select(Buildset, {"id": wanted - set(there)}),
        *await tx.select(Machine, {"state": PRESENT}),
        *await tx.select(Machine, {"id": {build.machine_id for build in lost}}),
        *await tx.select(Host),
        *await tx.select(Pool),
    ]
    return waiting.reasons(Draft(rows, now=now, ids=itertools.count()), queued)


def command(machine: Machine) -> str | None:
    """What opens a shell in a machine, while it can be entered."""
    if machine.state not in (MachineState.USED, MachineState.HELD):
        return None
    part = f" --machine {machine.part}" if machine.part else ""
    return f"cupel shell {machine.build_id}{part}"


def _host(host: Host, machines: list[MachineView], now: float, load: HostLoad | None) -> HostView:
    return HostView(
        id=host.id,
        name=host.name,
        state=host.state,
        slots=host.slots,
        used=len(machines),
        labels=list(host.labels),
        detail=host.detail,
        last_seen=host.last_seen,
        strikes=host.strikes,
        quarantined_until=host.quarantined_until,
        waiting=hosts.why_no_builds(host, now),
        machines=machines,
        draining=host.draining,
        refuses=host.refuses,
        load=None if load is None else LoadView(**dataclasses.asdict(load)),
        cpu=host.cpu,
        system=host.system,
    )


async def _machines(tx: Transaction, rows: Sequence[Machine], now: float) -> list[MachineView]:
    hosts = await lookup.by_id(tx, Host, (row.host_id for row in rows))
    builds = await lookup.by_id(tx, Build, (row.build_id for row in rows))
    items = await lookup.by_id(tx, Item, (build.item_id for build in builds.values()))
    projects = await lookup.by_id(tx, Project, (build.project_id for build in builds.values()))
    holds = await lookup.by_id(tx, Hold, (row.hold_id for row in rows))
    views = []
    for row in rows:
        build = builds.get(row.build_id or 0)
        hold = holds.get(row.hold_id or 0)
        views.append(
            MachineView(
                id=row.id,
                label=row.label,
                image=row.image,
                host=hosts[row.host_id].name if row.host_id in hosts else "",
                state=row.state,
                detail=row.detail,
                build=row.build_id,
                job=build.job if build else None,
                project=projects[build.project_id].name if build else None,
                change=items[build.item_id].change_id if build else None,
                created_at=row.created_at,
                ready_at=row.ready_at,
                gone_at=row.gone_at,
                used_at=row.used_at,
                visitors=row.visitors,
                hold=row.hold_id,
                held_by=None if hold is None else hold.owner,
                held_until=row.held_until,
                command=command(row),
                part=row.part,
                boot_seconds=row.ready_at and row.ready_at - row.created_at,
                seconds=lookup.seconds(row.created_at, row.gone_at, now) or 0.0,
            )
        )
    return views
