"""Pools: how many machines of each label there are, how many there are to be, and why."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from cupel.control.views.fleet import PRESENT
from cupel.control.views.lookup import by_id
from cupel.control.views.nouns.fleet import PoolView
from cupel.core import demand
from cupel.core.model import Build, BuildState, Machine, MachineState, Pool
from cupel.errors import NotFound
from cupel.store.interface import Transaction

DAY = 86_400.0

RECENT = 1000
"""Machines that are looked at for waits and images, newest first."""


async def pool_list(tx: Transaction, *, now: float) -> list[PoolView]:
    """Every label of the configuration with its machines, by name."""
    queued = Counter(each.label for each in await tx.select(Build, {"state": BuildState.QUEUED}))
    present = await tx.select(Machine, {"state": PRESENT})
    recent = await tx.select(Machine, descending=True, limit=RECENT)
    builds = await by_id(tx, Build, (each.build_id for each in recent))
    waited: dict[str, list[float]] = {}
    for machine in recent:
        build = builds.get(machine.build_id or 0)
        if build is not None and machine.used_at is not None and machine.used_at > now - DAY:
            waited.setdefault(machine.label, []).append(machine.used_at - build.queued_at)
    return [
        _pool(
            pool,
            queued[pool.label],
            [each for each in present if each.label == pool.label],
            [each for each in recent if each.label == pool.label],
            waited.get(pool.label, []),
            now,
        )
        for pool in await tx.select(Pool, order="label")
        if pool.definition
    ]


async def pool_view(tx: Transaction, label: str, *, now: float) -> PoolView:
    """One label. Raises NotFound."""
    for pool in await pool_list(tx, now=now):
        if pool.label == label:
            return pool
    raise NotFound(f"there is no label {label}", hint="`cupel pool list` has them all")


def _pool(
    pool: Pool,
    queued: int,
    present: Sequence[Machine],
    recent: Sequence[Machine],
    waited: list[float],
    now: float,
) -> PoolView:
    counts = Counter(machine.state for machine in present)
    target = demand.target(pool, now)
    image = next((each.image for each in recent if each.image is not None), None)
    since = [each.created_at for each in recent if each.image == image]
    return PoolView(
        label=pool.label,
        ready=pool.ready,
        ceiling=pool.ceiling,
        quota=pool.quota,
        idle=pool.idle,
        target=target + queued,
        expected=target - pool.ready,
        queued=queued,
        why=_why(pool, queued, target - pool.ready),
        counts={state: counts[state] for state in MachineState if state in PRESENT},
        boot_seconds=pool.boot,
        waits=percentiles(waited),
        image=image,
        image_seconds=now - min(since) if image is not None else None,
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


def percentiles(values: Sequence[float]) -> tuple[float, float, float] | None:
    """The 50th, 90th and 99th percentile, each one of the values; None of no values."""
    if not values:
        return None
    ordered = sorted(values)
    at = [ordered[math.ceil(part * len(ordered)) - 1] for part in (0.5, 0.9, 0.99)]
    return at[0], at[1], at[2]
