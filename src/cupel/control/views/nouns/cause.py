"""What a person wants to know first of a build that did not pass: whose fault, and the error."""

from __future__ import annotations

from cupel.control.views.nouns.view import View
from cupel.core.blame import Blame


class ProofText(View):
    """What speaks for a finding, in words, and the builds in which it is seen."""

    text: str
    builds: list[int]


class BlameView(View):
    """Whose fault a build is; if not `sure`, that is the likeliest of what is known."""

    blame: Blame
    sure: bool
    text: str
    proofs: list[ProofText]


class ErrorLine(View):
    """A line of the log, of those that say what went wrong; `number` is its place, from 1.

    `found` is whether it looks like an error; else it is one of the last that were printed. The
    `main` one is the first to look at.
    """

    number: int
    text: str
    found: bool
    main: bool


class FailingTest(View):
    """A test that failed, the first line of what it said, and where.

    One that is `flaky` has both failed and passed where nothing that it depends on differed.
    """

    name: str
    message: str
    place: str
    flaky: bool


class CauseView(View):
    """Why a build did not pass: whose fault it is, and what to look at first.

    `tests` are the first of `failing` that failed; `lines` those of the log that matter.
    """

    build: int
    job: str
    reason: str | None
    blame: BlameView
    tests: list[FailingTest]
    failing: int
    lines: list[ErrorLine]
    """Empty where tests say it all, and where there is no log."""
