"""Holds, as they are shown."""

from __future__ import annotations

from cupel.control.views.nouns.view import View
from cupel.core.hold import HoldState


class HeldView(View):
    """A machine that is held: `until` when, and how to get into it. `part` is its name in a build
    that has several."""

    machine: int
    build: int | None
    job: str | None
    label: str
    host: str
    until: float
    seconds_left: float
    visitors: int
    command: str
    part: str = ""


class HoldView(View):
    """Who wants machines kept, for how long (`seconds`), and those that are.

    `left` more may be kept, until `expires_at`. `detail` is why it is over, or why a machine was
    not kept. One that is `until_left` ends once whoever comes has left.
    """

    id: int
    owner: str
    reason: str
    state: HoldState
    project: str | None
    change: int | None
    build: int | None
    job: str | None
    left: int
    seconds: float
    created_at: float
    expires_at: float
    until_left: bool
    ended_at: float | None
    detail: str | None
    machines: list[HeldView]
