"""A test that failed in a build, with all that is known of it elsewhere."""

from __future__ import annotations

from cupel.control.views.nouns.view import View
from cupel.core.results import Outcome


class FailingView(View):
    """A test that failed, or was flaky, in a build; `text` is an excerpt of what it said.

    It is `known` to be flaky if it has failed and passed on the same inputs. It failed first in the
    build `first`, at `first_at`, of those that are remembered; `others` are builds in which it
    failed in the same way, the newest first, `more` of them beside these. `line` is where the log
    names it, from 1.
    """

    test: str
    suite: str
    name: str
    outcome: Outcome
    flaky: bool
    known: bool
    seconds: float | None
    message: str
    text: str
    place: str
    first: int
    first_at: float
    others: list[int]
    more: int
    line: int | None
