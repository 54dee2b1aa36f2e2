"""What somebody wants to know who comes by: is it green, what lands, and how long that takes."""

from __future__ import annotations

import enum

from cupel.control.views.nouns.item import ItemView
from cupel.control.views.nouns.view import View


class Health(enum.StrEnum):
    """Whether the head of a branch is good, and if nobody knows, why."""

    GREEN = "green"
    BROKEN = "broken"
    CLOSED = "closed"
    UNPROVED = "unproved"
    EMPTY = "empty"


class HealthView(View):
    """`because` says how that is known, `since` when it came to be, `who` is on it if not green.

    `change` is the one that landed as the head.
    """

    state: Health
    because: str
    since: float | None = None
    change: int | None = None
    who: str | None = None


class TookView(View):
    """How many seconds half of `count` took at most, and 19 of 20; null where there are none."""

    count: int
    median: float | None
    p95: float | None


class TroubleView(View):
    """Something that is not as it should be, since when, and who is on it.

    `about` is a branch, a queue, a host or a test, by its `name`.
    """

    about: str
    name: str
    text: str
    since: float | None
    who: str | None


class FrontProjectView(View):
    """A project's default branch. `landing` are the first of `gate` items in landing order.

    `to_land` is from the request to land, with all approvals that it takes, to the landing;
    `to_verdict` from a push to the first verdict on it. Both are of the last seven days.
    """

    name: str
    queue: str
    branch: str
    head: str | None
    git_url: str
    health: HealthView
    open_changes: int
    check: int
    gate: int
    landing: list[ItemView]
    to_land: TookView
    to_verdict: TookView


class FrontView(View):
    """The server for a passer-by. Of the `slots` of hosts that are there, `busy` are at work."""

    now: float
    projects: list[FrontProjectView]
    troubles: list[TroubleView]
    landed: list[ItemView]
    busy: int
    slots: int
    hosts: int
    builds_running: int
    builds_queued: int
