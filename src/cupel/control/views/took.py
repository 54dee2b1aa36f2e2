"""How long landings and first verdicts took lately, by project."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from cupel.control.views import lookup
from cupel.control.views.nouns.front import TookView
from cupel.core.model import Approval, Change, Item, ItemState, PatchSet, Pipeline
from cupel.store.interface import Transaction

LATELY = 7 * 86400.0
MOST = 250
"""Items that are looked at, of all projects: enough for a 19th of 20."""

DECIDED = frozenset({ItemState.PASSED, ItemState.REJECTED, ItemState.LANDED})
DECIDING = frozenset({Pipeline.CHECK, Pipeline.GATE})


@dataclasses.dataclass(frozen=True, slots=True)
class Times:
    """Seconds, by project."""

    landings: Mapping[int, Sequence[float]]
    verdicts: Mapping[int, Sequence[float]]

    def to_land(self, project: int) -> TookView:
        return took(self.landings.get(project, ()))

    def to_verdict(self, project: int) -> TookView:
        return took(self.verdicts.get(project, ()))


def took(seconds: Sequence[float]) -> TookView:
    """By nearest rank: each is the time of one of them."""
    if not seconds:
        return TookView(count=0, median=None, p95=None)
    ranked = sorted(seconds)
    return TookView(count=len(ranked), median=_rank(ranked, 0.5), p95=_rank(ranked, 0.95))


def _rank(ranked: Sequence[float], share: float) -> float:
    return ranked[math.ceil(share * len(ranked)) - 1]


async def times(tx: Transaction, now: float) -> Times:
    """Of the last seven days, or of what ended last if that is more."""
    where = {"pipeline": DECIDING, "state": DECIDED}
    found = await tx.select(Item, where, order="finished_at", descending=True, limit=MOST)
    ended = [
        row for row in found
        if row.change_id is not None and (row.finished_at or 0.0) > now - LATELY
    ]  # fmt: skip
    numbers = {row.change_id for row in ended}
    if not numbers:
        return Times({}, {})
    changes = await lookup.by_id(tx, Change, numbers)
    approvals = await tx.select(Approval, {"change_id": numbers})
    pushed = await tx.select(PatchSet, {"change_id": numbers})
    return Times(_landings(ended, changes, approvals), _verdicts(ended, pushed))


def _landings(
    ended: Iterable[Item], changes: Mapping[int, Change], approvals: Iterable[Approval]
) -> dict[int, list[float]]:
    approved: defaultdict[int, list[float]] = defaultdict(list)
    for row in approvals:
        approved[row.change_id].append(row.created_at)
    found: defaultdict[int, list[float]] = defaultdict(list)
    for item in ended:
        if item.state is ItemState.LANDED and item.change_id is not None and item.finished_at:
            asked = [changes[item.change_id].land_asked_at or 0.0, *approved[item.change_id]]
            begun = max((at for at in asked if 0.0 < at <= item.enqueued_at), default=None)
            found[item.project_id].append(item.finished_at - (begun or item.enqueued_at))
    return found


def _verdicts(ended: Iterable[Item], pushed: Iterable[PatchSet]) -> dict[int, list[float]]:
    at = {(row.change_id, row.number): row.created_at for row in pushed}
    first: dict[tuple[int, int], Item] = {}
    for item in sorted(ended, key=lambda row: row.finished_at or 0.0):
        if item.change_id is not None and item.patch_set is not None:
            first.setdefault((item.change_id, item.patch_set), item)
    found: defaultdict[int, list[float]] = defaultdict(list)
    for key, item in first.items():
        if key in at and item.finished_at is not None:
            found[item.project_id].append(item.finished_at - at[key])
    return found
