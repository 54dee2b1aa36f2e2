"""Planning: from a snapshot, everything that should be different now. Level-triggered."""

from __future__ import annotations

from cupel.core import admission, caching, holding, independent, lenience, pool, queue
from cupel.core.draft import Draft
from cupel.errors import Bug

_ROUNDS = 10_000
"""A bound that no sound plan reaches: a round changes rows, and lifecycles only go forward."""


def decide(draft: Draft) -> None:
    """Put every row that follows from the draft's rows, until nothing more follows."""
    lenience.expire(draft)
    for _ in range(_ROUNDS):
        before = draft.version
        admission.plan(draft)
        independent.plan(draft)
        if draft.version != before or queue.plan(draft):
            continue
        caching.plan(draft)
        holding.plan(draft)
        pool.plan(draft)
        return
    raise Bug("planning does not come to rest")
