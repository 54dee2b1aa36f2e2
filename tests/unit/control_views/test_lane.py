"""Who is part of the state that an item is proved on."""

from __future__ import annotations

import pytest

from cupel.control.views import lane
from cupel.control.views.lane import Place
from cupel.core.model import Buildset, Item
from unit.control_views import world


def places(*proofs: tuple[Item, Buildset | None], more: tuple[Buildset, ...] = ()) -> list[Place]:
    buildsets = {b.id: b for b in (*(b for _, b in proofs if b is not None), *more)}
    found = lane.survey([item for item, _ in proofs], buildsets, {1: 9, 2: 9}).items
    return [found[item.id] for item, _ in proofs]


def on(number: int, onto: str, /, **fields: object) -> tuple[Item, Buildset]:
    return world.item(number, number), world.buildset(number + 100, number, onto, **fields)


def test_each_is_proved_on_those_ahead() -> None:
    found = places(on(1, world.HEAD), on(2, world.sha(5101)), on(3, world.sha(5102)))
    assert [place.under for place in found] == [(), (1,), (1, 2)]
    assert [place.before for place in found] == [None, 1, 2]


def test_one_that_is_passed_over_is_ahead_and_not_beneath() -> None:
    found = places(on(1, world.HEAD), on(2, world.sha(5101)), on(3, world.sha(5101)))
    assert (found[2].under, found[2].before) == ((1,), 2)


def test_a_state_that_its_maker_will_perhaps_not_land_on_is_known_too() -> None:
    """The second is expected to land on the head, and the third is proved on its other state."""
    other = world.buildset(150, 2, world.sha(5101))
    found = places(on(1, world.HEAD), on(2, world.HEAD), on(3, other.commit or ""), more=(other,))
    assert [place.under for place in found] == [(), (), (1, 2)]


def test_the_states_of_other_projects_count() -> None:
    first, made = on(1, world.HEAD)
    second = world.item(2, 2, project_id=2)
    beside = world.buildset(102, 2, "other head", beside=((1, made.commit),))
    found = places((first, made), (second, beside))
    assert found[1] == Place(under=(1,), count=1, before=1)


def test_without_a_state_there_is_only_who_is_ahead() -> None:
    assert places(on(1, world.HEAD), (world.item(2, 2), None))[1] == Place(before=1)


@pytest.mark.parametrize(
    ("present", "other", "expected"),
    [
        (Place(under=(1, 2), count=2), Place(under=(1,), count=1), ([2], [])),
        (Place(under=(1,), count=1), Place(under=(1, 2), count=2), ([], [2])),
        (Place(under=(2, 3), count=9), Place(under=(1, 2), count=8), ([3], [])),
        (Place(under=(2, 3), count=3), Place(), ([2, 3], [])),
    ],
)
def test_what_differs_between_two_states(
    present: Place, other: Place, expected: tuple[list[int], list[int]]
) -> None:
    assert lane.difference(present, other) == expected
