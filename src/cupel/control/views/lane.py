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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """A commit's place: the item that made it, with how far back in its queue that stands."""

    item: Item
    rank: int
    place: Place


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Places by item id, of the state that each is expected to land on; and by buildset id."""

    items: dict[int, Place] = dataclasses.field(default_factory=dict)
    states: dict[int, Place] = dataclasses.field(default_factory=dict)


def survey(
    items: Sequence[Item],
    buildsets: Mapping[int, Buildset],
    queues: Mapping[int, int] | None = None,
) -> Survey:
    """The places of the live items of gates; a gate's items must all be there.

    `buildsets` may hold more states of an item than the one that it is expected to land on: what
    is behind may be proved on any of them. `queues` says by project which queue it shares.
    """
    live = [row for row in items if row.pipeline is Pipeline.GATE and row.state in LIVE_ITEMS]
    states: dict[int, list[Buildset]] = {}
    for buildset in buildsets.values():
        states.setdefault(buildset.item_id, []).append(buildset)
    makers: dict[str, _State] = {}
    found = Survey()
    last: dict[tuple[int, str], int | None] = {}
    for rank, item in enumerate(sorted(live, key=lambda row: (row.position, row.id))):
        gate = ((queues or {}).get(item.project_id, item.project_id), item.branch)
        found.items[item.id] = Place(before=last.get(gate))
        made: dict[str, _State] = {}
        for buildset in states.get(item.id, []):
            place = _place(buildset, makers, last.get(gate))
            found.states[buildset.id] = place
            if buildset.id == item.buildset_id:
                found.items[item.id] = place
            if buildset.commit is not None:
                made[buildset.commit] = _State(item=item, rank=rank, place=place)
        makers |= made
        last[gate] = item.change_id
    return found


def difference(present: Place, other: Place) -> tuple[list[int], list[int]]:
    """The changes that `other` lacks of `present`, and those that it has besides.

    Only as far back as both list what is under them.
    """
    common = set(present.under) & set(other.under)
    mine, theirs = _since(present, common), _since(other, common)
    return [n for n in mine if n not in common], [n for n in theirs if n not in common]


def _since(place: Place, common: set[int]) -> tuple[int, ...]:
    """What is under a place; of one that lists only the nearest, no farther than what is common."""
    if place.count == len(place.under) or not common:
        return place.under
    return place.under[min(place.under.index(number) for number in common) :]


def _place(buildset: Buildset, makers: Mapping[str, _State], before: int | None) -> Place:
    """The place of a state: on what the last of the items made that it holds, or on the branch."""
    beneath = (buildset.onto, *(commit for _, commit in buildset.beside))
    known = [makers[commit] for commit in beneath if commit is not None and commit in makers]
    maker = max(known, key=lambda state: state.rank, default=None)
    if maker is None or maker.item.change_id is None:
        return Place(before=before)
    under = (*maker.place.under, maker.item.change_id)[-SHOWN:]
    return Place(under=under, count=maker.place.count + 1, before=before)
