"""Machines and the hosts that make them."""

from __future__ import annotations

from collections.abc import Sequence

from cupel.control.views import lookup
from cupel.control.views.nouns import HostView, MachineView, Page
from cupel.core.model import Build, Host, Item, Machine, MachineState, Project
from cupel.errors import NotFound
from cupel.store.interface import Transaction

PRESENT = frozenset(MachineState) - {MachineState.GONE}
"""The states of a machine that takes a place on its host."""


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


async def host_list(tx: Transaction, *, now: float) -> list[HostView]:
    """Every host with the machines that are on it, by name."""
    hosts = await tx.select(Host, order="name")
    present = await _machines(tx, await tx.select(Machine, {"state": PRESENT}), now)
    return [
        _host(host, [machine for machine in present if machine.host == host.name]) for host in hosts
    ]


async def host_view(tx: Transaction, name: str, *, now: float) -> HostView:
    """One host. Raises NotFound."""
    for host in await host_list(tx, now=now):
        if host.name == name:
            return host
    raise NotFound(f"there is no host {name}", hint="`cupel host list` has them all")


def _host(host: Host, machines: list[MachineView]) -> HostView:
    return HostView(
        id=host.id,
        name=host.name,
        state=host.state,
        slots=host.slots,
        used=len(machines),
        labels=list(host.labels),
        detail=host.detail,
        last_seen=host.last_seen,
        machines=machines,
    )


async def _machines(tx: Transaction, rows: Sequence[Machine], now: float) -> list[MachineView]:
    hosts = await lookup.by_id(tx, Host, (row.host_id for row in rows))
    builds = await lookup.by_id(tx, Build, (row.build_id for row in rows))
    items = await lookup.by_id(tx, Item, (build.item_id for build in builds.values()))
    projects = await lookup.by_id(tx, Project, (build.project_id for build in builds.values()))
    views = []
    for row in rows:
        build = builds.get(row.build_id or 0)
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
                boot_seconds=row.ready_at and row.ready_at - row.created_at,
                seconds=lookup.seconds(row.created_at, row.gone_at, now) or 0.0,
            )
        )
    return views
