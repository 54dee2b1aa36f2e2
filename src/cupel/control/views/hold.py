"""Machines that are kept for people."""

from __future__ import annotations

from collections.abc import Sequence

from cupel.control.views import fleet, lookup
from cupel.control.views.nouns.hold import HeldView, HoldView
from cupel.core.hold import Hold, HoldState
from cupel.core.model import Build, Host, Machine, MachineState, Project
from cupel.errors import NotFound
from cupel.store.interface import Transaction

_STANDING = (HoldState.OPEN, HoldState.FULL)


async def hold_list(
    tx: Transaction, *, now: float, over: bool = False, limit: int = 100
) -> list[HoldView]:
    """The holds that stand, the newest first; with `over` those that did, too."""
    where = None if over else {"state": _STANDING}
    return await _views(tx, await tx.select(Hold, where, descending=True, limit=limit), now)


async def hold_view(tx: Transaction, id: int, *, now: float) -> HoldView:
    """One hold. Raises NotFound."""
    hold = await tx.get(Hold, id)
    if hold is None:
        raise NotFound(f"there is no hold {id}", hint="`cupel hold list` has them")
    return (await _views(tx, [hold], now))[0]


async def _views(tx: Transaction, rows: Sequence[Hold], now: float) -> list[HoldView]:
    machines = await tx.select(Machine, {"state": (MachineState.HELD,)})
    projects = await lookup.by_id(tx, Project, (row.project_id for row in rows))
    builds = await lookup.by_id(tx, Build, (machine.build_id for machine in machines))
    hosts = await lookup.by_id(tx, Host, (machine.host_id for machine in machines))
    return [
        HoldView(
            id=row.id,
            owner=row.owner,
            reason=row.reason,
            state=row.state,
            project=projects[row.project_id].name if row.project_id in projects else None,
            change=row.change_id,
            build=row.build_id,
            job=row.job,
            left=row.left,
            seconds=row.seconds,
            created_at=row.created_at,
            expires_at=row.expires_at,
            until_left=row.until_left,
            ended_at=row.ended_at,
            detail=row.detail,
            machines=[
                _held(machine, builds.get(machine.build_id or 0), hosts[machine.host_id].name, now)
                for machine in machines
                if machine.hold_id == row.id
            ],
        )
        for row in rows
    ]


def _held(machine: Machine, build: Build | None, host: str, now: float) -> HeldView:
    until = machine.held_until or now
    return HeldView(
        machine=machine.id,
        build=machine.build_id,
        job=None if build is None else build.job,
        label=machine.label,
        host=host,
        until=until,
        seconds_left=max(until - now, 0.0),
        visitors=machine.visitors,
        command=fleet.command(machine) or "",
        part=machine.part,
    )
