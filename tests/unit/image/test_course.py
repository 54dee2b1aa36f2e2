"""Which image of a name is used."""

from __future__ import annotations

import pytest

from cupel.image import course
from cupel.image.course import Course

OLD = Course(definition="d1", current="old", built_at=0.0, proved=True)


def test_the_first_image_of_a_name_has_none_to_go_back_to() -> None:
    first = course.built(None, "d", "a", 1.0)
    assert first == Course(definition="d", current="a", built_at=1.0)
    for _ in range(5):
        first = course.ended(first, "a", by_itself=False)
    assert first.current == "a"


def test_machines_move_over_and_back_when_the_first_builds_are_lost() -> None:
    new = course.built(OLD, "d2", "new", 1.0)
    assert (new.current, new.previous, new.proved) == ("new", "old", False)
    new = course.ended(new, "new", by_itself=False)
    assert new.current == "new"
    back = course.ended(new, "new", by_itself=False)
    assert (back.current, back.rejected, back.proved) == ("old", "new", True)


def test_one_build_that_ends_by_itself_proves_an_image() -> None:
    new = course.ended(course.built(OLD, "d2", "new", 1.0), "new", by_itself=False)
    proved = course.ended(new, "new", by_itself=True)
    for _ in range(5):
        proved = course.ended(proved, "new", by_itself=False)
    assert proved.current == "new"


def test_builds_on_other_images_say_nothing() -> None:
    new = course.built(OLD, "d2", "new", 1.0)
    assert course.ended(new, "old", by_itself=False) == new
    assert course.ended(new, "old", by_itself=True) == new


def test_the_same_image_again_is_no_new_one() -> None:
    again = course.built(OLD, "d2", "old", 9.0)
    assert (again.current, again.previous, again.proved) == ("old", None, True)
    assert (again.definition, again.built_at) == ("d2", 9.0)


def test_what_was_given_up_is_not_taken_again_but_the_next_one_is() -> None:
    back = course.roll_back(course.built(OLD, "d2", "new", 1.0))
    assert course.built(back, "d2", "new", 2.0).current == "old"
    assert course.built(back, "d2", "newer", 2.0).current == "newer"


@pytest.mark.parametrize(
    ("known", "definition", "refresh", "now", "due"),
    [
        (None, "d1", None, 0.0, True),
        (OLD, "d1", None, 1e9, False),
        (OLD, "d2", None, 0.0, True),
        (OLD, "d1", 100.0, 99.0, False),
        (OLD, "d1", 100.0, 100.0, True),
    ],
)
def test_when_an_image_is_built(
    known: Course | None, definition: str, refresh: float | None, now: float, due: bool
) -> None:
    assert course.is_due(known, definition, refresh, now) is due


def test_attempts_that_fail_become_rarer() -> None:
    assert course.again_after(0) == 0.0
    pauses = [course.again_after(count) for count in range(1, 6)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == pauses[-2] == 3600.0
