"""Holds: machines that are kept after their builds for a person to look at. `holding` decides."""

from __future__ import annotations

import dataclasses
import enum


class HoldState(enum.StrEnum):
    """`open`: more machines are to be kept. `full`: all that were asked for are. `over`: none."""

    OPEN = "open"
    FULL = "full"
    OVER = "over"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """That `owner` wants machines kept, and for how long each: `seconds`.

    It is for builds of `build_id`, or for those that fail, of `job`, `change_id` and `project_id`,
    as far as these are given. `left` machines may still be kept, until `expires_at`. One that is
    `until_left` was not asked for: a job kept its machine for whoever comes, or somebody was in it
    when its build ended; it goes on until they have left. `detail` is why it is over, or why a
    machine was not kept.
    """

    id: int
    owner: str
    reason: str
    state: HoldState
    left: int
    seconds: float
    created_at: float
    expires_at: float
    project_id: int | None = None
    change_id: int | None = None
    build_id: int | None = None
    job: str | None = None
    until_left: bool = False
    ended_at: float | None = None
    detail: str | None = None
