"""Where items stand in a gate's queue: to the front, and first. An item's `position` says it.

Positions only have an order: they may be negative, and there may be gaps between them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from cupel.core.draft import Draft
from cupel.core.model import Change, Item, ItemState, Pipeline

Lane = tuple[int, str]
"""A queue, by its id, and a branch: what is in line with each other."""


def standing(draft: Draft, lane: Lane) -> list[Item]:
    """The live items of the lane, in queue order."""
    return [
        entry
        for entry in draft.live_items(Pipeline.GATE)
        if (draft.queue(entry.project_id).id, entry.branch) == lane
    ]


def promote(draft: Draft, lane: Lane, change_ids: Sequence[int]) -> None:
    """Put these changes first, in this order; the rest keeps its own, and so do landing items."""
    order = standing(draft, lane)
    _move(draft, order, change_ids, _after(order, frozenset()))


def expedite(draft: Draft, lane: Lane, change_ids: Sequence[int]) -> None:
    """Put these changes to the front, behind those that are urgent already."""
    order = standing(draft, lane)
    others = _urgent(draft, order) - set(change_ids)
    _move(draft, order, change_ids, _after(order, others))


def make_way(
    draft: Draft, lane: Lane, change_ids: Sequence[int], count: int
) -> Sequence[int | None]:
    """Positions for `count` new items at the front, behind urgent ones and `change_ids`.

    Of `change_ids`, which the new ones need, those that are there already move to the front too.
    None is the end, where nothing stands behind.
    """
    expedite(draft, lane, change_ids)
    order = standing(draft, lane)
    at = _after(order, _urgent(draft, order) | set(change_ids))
    if at == len(order):
        return [None] * count
    limit = order[at].position - count
    free = list(range(limit, order[at].position))
    for entry in reversed(order[:at]):
        limit = min(entry.position, limit - 1)
        draft.put(replace(entry, position=limit))
    return free


def _urgent(draft: Draft, order: Sequence[Item]) -> set[int]:
    ids = (entry.change_id for entry in order)
    return {number for number in ids if number and draft.get(Change, number).urgent}


def _after(order: Sequence[Item], ahead: Collection[int]) -> int:
    """How many items stand up to the last one that is landing or one of these changes."""
    behind = 0
    for count, entry in enumerate(order, 1):
        if entry.state is ItemState.LANDING or entry.change_id in ahead:
            behind = count
    return behind


def _move(draft: Draft, order: Sequence[Item], change_ids: Sequence[int], front: int) -> None:
    """Give the positions that there are to the same items in their new order.

    What stands where it stood keeps its position.
    """
    live = {entry.change_id: entry for entry in order if entry.state is ItemState.LIVE}
    moved = [live[number] for number in dict.fromkeys(change_ids) if number in live]
    ahead = [entry for entry in order[:front] if entry not in moved]
    behind = [entry for entry in order[front:] if entry not in moved]
    places = [entry.position for entry in order]
    for entry, position in zip((*ahead, *moved, *behind), places, strict=True):
        draft.put(replace(entry, position=position))
