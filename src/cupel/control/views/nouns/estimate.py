"""How long something takes yet, as far as that can be told."""

from __future__ import annotations

from cupel.control.views.nouns.view import View


class JobEstimateView(View):
    """How long a job takes, from `passes` passes of it that were seen in its project.

    `usual` is what it takes as often as not. While it runs, `left` are the seconds that it takes
    yet, `share` is the part of it that is done, and `late` is whether nine of ten took less.
    """

    usual: float
    passes: int
    left: float | None = None
    share: float | None = None
    late: bool = False


class ItemEstimateView(View):
    """In how many seconds an item is expected to be proved, and to land, if nothing fails.

    `share` is the part of its proof that is done, by time. What is null is not known; `unknown`
    says why. Where a pass lands all that it holds, `proved_by` is the change behind it whose proof
    is awaited for it too.
    """

    proved: float | None
    lands: float | None
    share: float | None
    unknown: str | None
    proved_by: int | None = None


class QueueEstimateView(View):
    """In how many seconds a gate is expected to be empty, on so many machines, if nothing fails.

    If `empties` is null, that is not known; `unknown` says why, where there is a queue at all.
    """

    empties: float | None
    machines: int
    unknown: str | None
