"""How many machines of a label will be asked for while the next one is being made."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

from cupel.core.draft import Draft
from cupel.core.model import Build, Pool

FADE = 600.0
"""Seconds after which a build that asked for a label counts 1/e of what it did."""

SURE = 0.95
"""How often what is kept should suffice."""

_MOST = 500.0
"""Arrivals during a boot beyond which no distribution is needed, only the mean."""

_NEWS = 0.3
"""The weight of the newest boot in the mean."""


def count(draft: Draft) -> None:
    """Add the builds that were made since this was last asked to the arrivals of their labels."""
    pools = {pool.label: pool for pool in draft.all(Pool)}
    if not pools:
        return
    news: defaultdict[str, list[int]] = defaultdict(list)
    for build in draft.all(Build):
        for label in build.labels:
            pool = pools.get(label)
            if pool is not None and build.id > pool.counted and build.queued_at <= draft.now:
                news[label].append(build.id)
    for label, ids in news.items():
        pool = pools[label]
        draft.put(
            replace(
                pool,
                arrivals=_faded(pool, draft.now) + len(ids),
                arrivals_at=draft.now,
                counted=max(ids),
            )
        )


def booted(draft: Draft, label: str, seconds: float) -> None:
    """A machine of the label took so long to make."""
    for pool in draft.all(Pool):
        if pool.label == label:
            before = seconds if pool.boot is None else pool.boot
            draft.put(replace(pool, boot=before + _NEWS * (seconds - before)))


def expected(pool: Pool, now: float) -> int:
    """So many builds will ask for the label during one boot, or fewer, in SURE of all cases.

    Arrivals at the recent rate, independent of each other (Poisson).
    """
    return quantile(_faded(pool, now) / FADE * (pool.boot or 0.0))


def target(pool: Pool, now: float) -> int:
    """So many machines are to be ready besides those that builds wait for already."""
    return pool.ready + expected(pool, now) if pool.ready else 0


def quantile(mean: float) -> int:
    """The smallest number that a Poisson variable of this mean does not exceed in SURE of cases."""
    if mean > _MOST:
        return math.ceil(mean + 1.645 * math.sqrt(mean))
    number, chance = 0, math.exp(-mean)
    known = chance
    while known < SURE:
        number += 1
        chance *= mean / number
        known += chance
    return number


def _faded(pool: Pool, now: float) -> float:
    return pool.arrivals * math.exp(-max(0.0, now - pool.arrivals_at) / FADE)
