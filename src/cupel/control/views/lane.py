"""Who stands before whom in a gate, and who is part of the state that an item is proved on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from cupel.core.model import LIVE_ITEMS, Buildset, Item, Pipeline

SHOWN = 10
"""How many of the changes that an item is proved on are listed; the rest are only counted."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An item's place in its gate.

    `under` are the changes between the head of the branch and the item, in landing order: the
    nearest of `count`. `before` is the change just ahead, whether the item is proved on it or not.
    """

    under: tuple[int, ...] = ()
    count: int = 0
    before: int | None = None


NOWHERE = Place()


def places(items: Sequence[Item], buildsets: Mapping[int, Buildset]) -> dict[int, Place]:
    """Item id → its place, for the live items of gates; a gate's items must all be there."""
    live = [row for row in items if row.pipeline is Pipeline.GATE and row.state in LIVE_ITEMS]
    makers: dict[str, Item] = {}
    found: dict[int, Place] = {}
    last: dict[tuple[int, str], int | None] = {}
    for item in sorted(live, key=lambda row: (row.position, row.id)):
        buildset = buildsets.get(item.buildset_id or 0)
        maker = makers.get(buildset.onto or "") if buildset is not None else None
        gate = (item.project_id, item.branch)
        found[item.id] = _place(maker, found, last.get(gate))
        last[gate] = item.change_id
        if buildset is not None and buildset.commit is not None:
            makers[buildset.commit] = item
    return found


def _place(maker: Item | None, found: Mapping[int, Place], before: int | None) -> Place:
    """The place of an item that is proved on what `maker` made, or on the head of the branch."""
    if maker is None or maker.change_id is None:
        return Place(before=before)
    base = found[maker.id]
    under = (*base.under, maker.change_id)[-SHOWN:]
    return Place(under=under, count=base.count + 1, before=before)
