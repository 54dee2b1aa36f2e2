"""Which image of a name machines are made of, and when it is built anew. Decides only."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

FIRST = 2
"""So many first builds that fail by no fault of their own, and the image before is used again.

One may be bad luck; with the third in a row, the host itself would be held for broken.
"""

_PAUSES = (60.0, 600.0, 3600.0)
"""Seconds until an image that could not be built is tried again, the last one repeated."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The images of a name: `current` is used, `previous` was before it.

    `definition` is the hash of what `current` was built of, at `built_at`. Until it is `proved`,
    `failures` counts the builds on it that were lost. `rejected` is the digest that was given up.
    """

    definition: str
    current: str
    built_at: float
    previous: str | None = None
    proved: bool = False
    failures: int = 0
    rejected: str | None = None


def built(course: Course | None, definition: str, digest: str, now: float) -> Course:
    """Move over to a new image, unless it is the one that was given up."""
    if course is None:
        return Course(definition=definition, current=digest, built_at=now)
    if digest in (course.current, course.rejected):
        return replace(course, definition=definition, built_at=now)
    return Course(
        definition=definition, current=digest, built_at=now, previous=course.current, proved=False
    )


def ended(course: Course, digest: str, *, by_itself: bool) -> Course:
    """What a build on the image `digest` says: it ended by itself, or was lost to infrastructure.

    When the first builds on a new image are all lost, the image before it is used again.
    """
    if digest != course.current or course.proved:
        return course
    if by_itself:
        return replace(course, proved=True, failures=0)
    failures = course.failures + 1
    if failures < FIRST or course.previous is None:
        return replace(course, failures=failures)
    return roll_back(course)


def roll_back(course: Course) -> Course:
    """Use the image before again; the current one is not moved over to any more."""
    if course.previous is None:
        return course
    return replace(
        course,
        current=course.previous,
        previous=None,
        proved=True,
        failures=0,
        rejected=course.current,
    )


def is_due(course: Course | None, definition: str, refresh: float | None, now: float) -> bool:
    """Whether a name's image is to be built: there is none, or it is of the past."""
    if course is None or course.definition != definition:
        return True
    return refresh is not None and now - course.built_at >= refresh


def again_after(failures: int) -> float:
    """Seconds from the last of so many failed attempts in a row to the next."""
    return _PAUSES[min(failures, len(_PAUSES)) - 1] if failures else 0.0
