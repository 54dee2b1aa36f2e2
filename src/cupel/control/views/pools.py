"""Pools: how many machines of each label there are, how many there are to be, and why."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cupel.control.views.fleet import PRESENT
from cupel.control.views.nouns.fleet import LaunchView, PoolView
from cupel.control.views.nouns.trend import SpreadView
from cupel.core import demand, trend
from cupel.core.draft import Draft
from cupel.core.model import Build, BuildState, Host, Machine, MachineState, Pool
from cupel.core.room import Room, makes
from cupel.errors import NotFound
from cupel.store.interface import Transaction

HOUR = 3600.0
DAY = 86_400.0

RECENT = 4000
"""Machines that are looked at for waits, launches and images, newest first."""

DRAWN = 120
"""Launches that are shown one by one."""


class _Past(NamedTuple):
    """What is remembered of a machine."""

    id: int
    label: str
    image: str | None
    created_at: float
    ready_at: float | None
    used_at: float | None
    build_id: int | None


async def pool_list(tx: Transaction, *, now: float) -> list[PoolView]:
    """Every label of the configuration with its machines, by name."""
    pools = await tx.select(Pool, order="label")
    queued = await tx.select(Build, {"state": BuildState.QUEUED})
    present = await tx.select(Machine, {"state": PRESENT})
    hosts = await tx.select(Host)
    past = [
        _Past(*row)
        for row in await tx.values(Machine, _Past._fields, descending=True, limit=RECENT)
    ]
    wanted = await _queued_at(tx, past)
    of_label: defaultdict[str, list[_Past]] = defaultdict(list)
    for each in past:
        of_label[each.label].append(each)
    room = Room(Draft([*pools, *present, *hosts], now=now, ids=itertools.count()))
    return [
        _pool(
            pool,
            sum(each.labels.count(pool.label) for each in queued),
            [each for each in present if each.label == pool.label],
            of_label[pool.label],
            wanted,
            room,
        )
        for pool in pools
        if pool.definition
    ]


async def pool_view(tx: Transaction, label: str, *, now: float) -> PoolView:
    """One label. Raises NotFound."""
    for pool in await pool_list(tx, now=now):
        if pool.label == label:
            return pool
    raise NotFound(f"there is no label {label}", hint="`cupel pool list` has them all")


async def _queued_at(tx: Transaction, past: Iterable[_Past]) -> dict[int, float]:
    """When the builds of machines were queued, by id."""
    ids = {each.build_id for each in past if each.used_at is not None}
    return dict(await tx.values(Build, ("id", "queued_at"), {"id": ids})) if ids else {}


def _pool(
    pool: Pool,
    queued: int,
    present: Sequence[Machine],
    past: Sequence[_Past],
    wanted: Mapping[int, float],
    room: Room,
) -> PoolView:
    now = room.now
    counts = Counter(machine.state for machine in present)
    expected = demand.target(pool, now) - pool.ready
    image = next((each.image for each in past if each.image is not None), None)
    since = [each.created_at for each in past if each.image == image]
    waits = [
        (each.used_at, each.used_at - wanted[each.build_id])
        for each in past
        if each.used_at is not None and each.build_id is not None and each.build_id in wanted
    ]
    made = [each for each in past if each.ready_at is not None and each.ready_at > now - DAY]
    launches = [
        LaunchView(machine=each.id, at=each.ready_at, seconds=each.ready_at - each.created_at)
        for each in sorted(made, key=lambda each: (each.ready_at, each.id))
        if each.ready_at is not None
    ]
    ready = [each for each in present if each.state is MachineState.READY]
    return PoolView(
        label=pool.label,
        ready=pool.ready,
        ceiling=pool.ceiling,
        quota=pool.quota,
        idle=pool.idle,
        target=pool.ready + expected + queued,
        expected=expected,
        queued=queued,
        why=_why(pool, queued, expected),
        next=_next(pool, queued, expected, counts, room),
        counts={state: counts[state] for state in MachineState if state in PRESENT},
        boot_seconds=pool.boot,
        waits_hour=spread([seconds for at, seconds in waits if at > now - HOUR]),
        waits_day=spread([seconds for at, seconds in waits if at > now - DAY]),
        launched=spread([each.seconds for each in launches]),
        launches=launches[-DRAWN:],
        image=image,
        image_seconds=now - min(since) if image is not None else None,
        old=sum(each.image is not None and each.image != image for each in ready),
    )


def _why(pool: Pool, queued: int, expected: int) -> str:
    parts = [f"{pool.ready} kept ready"]
    if queued:
        parts.append(f"{queued} for builds that wait")
    if expected:
        parts.append(f"{expected} for the recent rate of builds")
    bounds = [f"at most {pool.ceiling} in all"] if pool.ceiling is not None else []
    bounds += [f"{pool.quota} for one project"] if pool.quota is not None else []
    return ", ".join(parts) + (f" ({', '.join(bounds)})" if bounds else "")


def _next(
    pool: Pool, queued: int, expected: int, counts: Mapping[MachineState, int], room: Room
) -> str:
    """What is done about a pool now, and why, in a sentence without its end."""
    target = pool.ready + expected + queued
    ready, coming = counts[MachineState.READY], counts[MachineState.BUILDING]
    missing = target - ready - coming
    demanded = _demanded(pool, queued, expected)
    if coming:
        made = f"making {coming}: {demanded}" if demanded else f"making {coming}"
        return made if missing <= 0 else f"{made}; {missing} more wait: {_why_not(pool, room)}"
    if missing > 0:
        return f"{missing} wait to be made ({demanded}): {_why_not(pool, room)}"
    if ready > target:
        return f"{ready - target} more ready than wanted: deleted when idle, or for other labels"
    if ready:
        return f"as many ready as wanted: {demanded}"
    return "nothing to do: it makes machines when builds ask for them"


def _demanded(pool: Pool, queued: int, expected: int) -> str:
    parts = [f"{pool.ready} kept ready"] if pool.ready else []
    if queued:
        parts.append("a build waits" if queued == 1 else f"{queued} builds wait")
    if expected:
        parts.append(f"predicted demand {expected}")
    return ", ".join(parts)


def _why_not(pool: Pool, room: Room) -> str:
    """Why no more machines of a label are made right now."""
    fit = [host for host in room.hosts if makes(host, pool.label)]
    if not fit:
        return "no host makes them" if room.hosts else "no host is connected"
    if room.is_full(pool.label):
        return room.why_full(pool.label)
    if any(room.slots[host.id] > 0 for host in fit):
        return "they are asked for next"
    return "all slots are taken"


def spread(values: Sequence[float]) -> SpreadView | None:
    """The 50th, 95th and 99th percentile, each one of the values; None of no values."""
    found = trend.spread(values)
    return None if found is None else SpreadView(**dataclasses.asdict(found))
