"""A queue with its rules."""

from __future__ import annotations

from cupel.control.views.nouns.change import ChangeRef
from cupel.control.views.nouns.estimate import QueueEstimateView
from cupel.control.views.nouns.item import ItemView
from cupel.control.views.nouns.project import HeadView
from cupel.control.views.nouns.view import View
from cupel.core.model import Landing


class RulesView(View):
    """The rules of a queue, and the projects that share it. `closed` is why nothing lands.

    `window` is how many items may be under way now, between `window_floor` and `window_ceiling`;
    null is any number.
    """

    name: str
    landing: Landing
    planner: str
    window: int | None
    window_floor: int
    window_ceiling: int | None
    cycles: bool
    closed: str | None
    closed_by: str | None
    projects: list[str]


class KeptOutView(View):
    """A change that is to land and cannot enter the gate yet, and why."""

    change: ChangeRef
    text: str


class QueueView(View):
    """What goes on in a queue for one branch, of all projects that share it.

    `gate` is in landing order; `recent` left it, newest first; `kept_out` wait to enter it. `heads`
    are the branch in each project. `window` is how many items may be under way and why it is not
    more, in words; null where there is no limit.
    """

    name: str
    branch: str
    rules: RulesView
    window: str | None
    heads: list[HeadView]
    estimate: QueueEstimateView
    gate: list[ItemView]
    check: list[ItemView]
    post: list[ItemView]
    recent: list[ItemView]
    kept_out: list[KeptOutView]
