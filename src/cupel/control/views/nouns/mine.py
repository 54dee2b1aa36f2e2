"""What concerns one user: their changes, and what they have asked for."""

from __future__ import annotations

from cupel.control.views.nouns.change import ChangeRef
from cupel.control.views.nouns.flake import QuarantineView
from cupel.control.views.nouns.hold import HoldView
from cupel.control.views.nouns.item import JobView
from cupel.control.views.nouns.view import View
from cupel.core.model import Pipeline


class OwnChangeView(ChangeRef):
    """An open change. `status` is one word, `text` what is wrong with it or what it waits for.

    One that `needs_owner` does not go on by itself: something failed, or somebody has to be asked.
    `pipeline` and `jobs` are those of its newest place, if it has one.
    """

    status: str
    text: str
    needs_owner: bool
    pipeline: Pipeline | None
    jobs: list[JobView]


class LandedView(ChangeRef):
    """A change that has landed, as `commit`, and when."""

    commit: str | None
    landed_at: float


class MineView(View):
    """What concerns a user. Changes are those that they have pushed first, the newest first.

    `landed` are the last twenty. `holds` stand; `quarantines` are those in force that they own.
    """

    user: str
    changes: list[OwnChangeView]
    landed: list[LandedView]
    holds: list[HoldView]
    quarantines: list[QuarantineView]
