"""What hosts and machines have been through, and what that says of a host."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from cupel.control.views import fleet, lookup, status
from cupel.control.views.nouns.fleet import LoadThenView
from cupel.control.views.nouns.past import (
    HostBuildView,
    HostPastView,
    MachinePastView,
    MachineStateView,
    RateView,
)
from cupel.core import host as hosts
from cupel.core.model import Build, BuildState, Event, Item, Machine, MachineState, Project, Verdict
from cupel.errors import NotFound
from cupel.host.messages import HostLoad
from cupel.log.loads import COLUMNS, LoadStore
from cupel.store.interface import Transaction

COUNTED = 1000
"""Machines of a host, the newest, whose builds its rates are of; of all others, as many."""

LISTED = 50
"""Builds that are listed one by one."""

EVENTS = 100

_SURE = 1.959964
"""Standard deviations that 95 of 100 cases lie within."""

_FAILED = frozenset({Verdict.FAILURE, Verdict.TIMEOUT})
_COUNTED = frozenset({Verdict.SUCCESS, Verdict.INFRA}) | _FAILED

_STATES: Mapping[str, MachineState] = MappingProxyType(
    {
        "machine.failed": MachineState.ERROR,
        "machine.held": MachineState.HELD,
        "machine.deleting": MachineState.DELETING,
        "machine.delete-asked": MachineState.DELETING,
    }
)
"""What state an event says that a machine has come to; others are told by the machine's times."""


async def host_past(
    tx: Transaction, name: str, *, now: float, loads: Mapping[str, HostLoad] = fleet.NO_LOADS
) -> HostPastView:
    """What a host has been through. Raises NotFound."""
    view = await fleet.host_view(tx, name, now=now, loads=loads)
    mine = await tx.select(Machine, {"host_id": view.id}, descending=True, limit=COUNTED)
    builds = await _ended(tx, (each.build_id for each in mine if not each.part))
    others = [
        build_id
        for host_id, build_id, part in await tx.values(
            Machine, ("host_id", "build_id", "part"), descending=True, limit=4 * COUNTED
        )
        if host_id != view.id and not part
    ][:COUNTED]
    elsewhere = await _ended(tx, others)
    events = await tx.select(Event, {"host_id": view.id}, descending=True, limit=EVENTS)
    lost, lost_elsewhere = _rate(builds, {Verdict.INFRA}), _rate(elsewhere, {Verdict.INFRA})
    return HostPastView(
        host=view,
        builds=await _builds(tx, builds[:LISTED], now),
        lost=lost,
        failed=_rate(builds, _FAILED),
        lost_elsewhere=lost_elsewhere,
        failed_elsewhere=_rate(elsewhere, _FAILED),
        verdict=compared(lost, lost_elsewhere),
        quarantined=sum(each.kind == "host.quarantined" for each in events),
        events=await status.event_views(tx, events),
    )


def host_loads(loads: LoadStore, name: str, *, seconds: float, now: float) -> list[LoadThenView]:
    """How busy a host was in the last so many seconds, oldest first."""
    return [
        LoadThenView.model_validate({"at": at, **dict(zip(COLUMNS, row, strict=True))})
        for at, row in loads.read(name, now - seconds, now)
    ]


async def machine_past(tx: Transaction, id: int, *, now: float) -> MachinePastView:
    """What a machine has been through. Raises NotFound."""
    machine = await tx.get(Machine, id)
    if machine is None:
        raise NotFound(f"there is no machine {id}", hint="`cupel machine list --gone` has them")
    view = await fleet.machine_view(tx, id, now=now)
    events = await tx.select(Event, {"machine_id": id}, limit=EVENTS)
    build = await tx.get(Build, machine.build_id) if machine.build_id is not None else None
    return MachinePastView(
        machine=view,
        states=list(states(machine, events, build, now)),
        events=await status.event_views(tx, events),
    )


def states(
    machine: Machine, events: Iterable[Event], build: Build | None, now: float
) -> Iterator[MachineStateView]:
    """The states of a machine in time. That it is deleted after its build is no event: it is what
    follows from the build's end."""
    found: dict[MachineState, tuple[float, str | None]] = {
        MachineState.BUILDING: (machine.created_at, None)
    }
    times = (
        (MachineState.READY, machine.ready_at),
        (MachineState.USED, machine.used_at),
        (MachineState.GONE, machine.gone_at),
    )
    found |= {state: (at, None) for state, at in times if at is not None}
    for event in events:
        state = _STATES.get(event.kind)
        if state is not None:
            found.setdefault(state, (event.at, event.text or None))
    over = build is not None and build.finished_at is not None and machine.used_at is not None
    if over and machine.state in (MachineState.DELETING, MachineState.GONE):
        assert build is not None
        if MachineState.HELD not in found and build.finished_at is not None:
            found.setdefault(MachineState.DELETING, (build.finished_at, "its build has ended"))
    if machine.state not in found:
        found[machine.state] = (max(at for at, _ in found.values()), machine.detail)
    ordered = sorted(found.items(), key=lambda each: (each[1][0], [*MachineState].index(each[0])))
    ends = [at for _, (at, _) in ordered[1:]]
    for number, (state, (at, why)) in enumerate(ordered):
        end = ends[number] if number < len(ends) else now
        seconds = None if state is MachineState.GONE else max(end - at, 0.0)
        yield MachineStateView(state=state, at=at, seconds=seconds, why=why)


def rate(count: int, total: int) -> RateView:
    """A part of `total`, with its interval (Wilson's score, which is sane for few and for none)."""
    part, square = count / total, _SURE * _SURE
    middle = (part + square / (2 * total)) / (1 + square / total)
    spread = (
        _SURE
        * math.sqrt(part * (1 - part) / total + square / (4 * total * total))
        / (1 + square / total)
    )
    return RateView(
        count=count,
        builds=total,
        part=part,
        low=max(middle - spread, 0.0),
        high=min(middle + spread, 1.0),
    )


def compared(here: RateView | None, elsewhere: RateView | None) -> str:
    """What two rates of lost builds say of a host."""
    if here is None:
        return "no build has ended here yet"
    if elsewhere is None:
        return "there are no builds of other hosts to compare with"
    if here.low > elsewhere.high:
        return "it loses more builds than the other hosts"
    if here.high < elsewhere.low:
        return "it loses fewer builds than the other hosts"
    return "no difference from the other hosts can be told from so many builds"


async def _ended(tx: Transaction, ids: Iterable[int | None]) -> list[Build]:
    """Of these builds those that count, newest first."""
    builds = await lookup.by_id(tx, Build, ids)
    return sorted(
        (
            each
            for each in builds.values()
            if each.state is BuildState.FINISHED
            and each.verdict in _COUNTED
            and not (each.verdict is Verdict.INFRA and hosts.is_nobodys_fault(each))
        ),
        key=lambda each: (each.finished_at or 0.0, each.id),
        reverse=True,
    )


def _rate(builds: Sequence[Build], verdicts: Iterable[Verdict]) -> RateView | None:
    if not builds:
        return None
    counts = Counter(build.verdict for build in builds)
    return rate(sum(counts[verdict] for verdict in verdicts), len(builds))


async def _builds(tx: Transaction, builds: Sequence[Build], now: float) -> list[HostBuildView]:
    items = await lookup.by_id(tx, Item, (each.item_id for each in builds))
    projects = await lookup.by_id(tx, Project, (each.project_id for each in builds))
    return [
        HostBuildView(
            id=each.id,
            machine=each.machine_id or 0,
            job=each.job,
            project=projects[each.project_id].name,
            change=items[each.item_id].change_id,
            verdict=each.verdict or Verdict.INFRA,
            reason=each.reason,
            started_at=each.started_at,
            finished_at=each.finished_at,
            seconds=lookup.build_seconds(each, now),
        )
        for each in builds
    ]
