"""The lifecycles as a page of diagrams: `python -m cupel.report.diagrams` prints it."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any

from cupel.core import cache, hold, lifecycle, model

Table = Mapping[tuple[Any, str], Any]

_INTRODUCTION = """\
# Lifecycles

Whatever has a state goes from one to the next by a table in `cupel/core/lifecycle.py`, and an event
that a table lacks is a bug, reported as one. This page is made from those tables by
`python -m cupel.report.diagrams`; a test compares them.
"""

_CHAPTERS: Sequence[tuple[str, str, Table, enum.StrEnum]] = (
    (
        "Change",
        (
            "A commit proposed for a branch. A change that is given up while its landing is under"
            " way has landed all the same: the branch says so."
        ),
        lifecycle.CHANGE,
        model.ChangeState.OPEN,
    ),
    (
        "Item",
        (
            "A change's place in a pipeline. `pass` ends items of `check` and `post`, which do not"
            " land; it may be run again there (`retry`). A refused landing is proved again on the"
            " branch as it is then."
        ),
        lifecycle.ITEM,
        model.ItemState.LIVE,
    ),
    (
        "Buildset",
        (
            "The builds of one item on one state. When another state is to be proved, this one is"
            " superseded: its builds stop, and a new buildset takes its place. To be run again, the"
            " same state is made once more, with the jobs that it had."
        ),
        lifecycle.BUILDSET,
        model.BuildsetState.PREPARING,
    ),
    (
        "Build",
        (
            "One attempt at a job. It is over when its machine has said so or is gone, never"
            " before: until then it is only being cancelled."
        ),
        lifecycle.BUILD,
        model.BuildState.QUEUED,
    ),
    (
        "Machine",
        (
            "A machine is used once: nothing leads back to `ready`. `found` is for a machine that a"
            " host has although we thought it gone; all that can happen to it is to be deleted."
        ),
        lifecycle.MACHINE,
        model.MachineState.NEW,
    ),
    (
        "Cache",
        (
            "What a build saved for later ones. One of the gate is a `candidate`, which nobody"
            " gets, until its change lands on the state that the build ran on; a job of `post` or"
            " an audit saves one that is `ready` at once."
        ),
        lifecycle.CACHE,
        cache.CacheState.CANDIDATE,
    ),
    (
        "Hold",
        (
            "Somebody wants machines kept. It is full once all are that were asked for, and over"
            " when their time is, when they are released or lost, or when nothing came in time."
        ),
        lifecycle.HOLD,
        hold.HoldState.OPEN,
    ),
)


def page() -> str:
    """The page, as it stands in `docs/explanation/lifecycles.md`."""
    return "\n".join([_INTRODUCTION, *(_chapter(*chapter) for chapter in _CHAPTERS)])


def _chapter(title: str, text: str, table: Table, first: enum.StrEnum) -> str:
    edges = [f"    {at} --> {to}: {event}" for (at, event), to in table.items()]
    ends = sorted({to for to in table.values() if not any(at is to for at, _ in table)})
    lines = [
        f"## {title}",
        "",
        text,
        "",
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {first}",
        *edges,
        *(f"    {end} --> [*]" for end in ends),
        "```",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")
