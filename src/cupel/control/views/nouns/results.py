"""What the tests of a build said, and how one test went over builds."""

from __future__ import annotations

from cupel.control.views.nouns.view import View
from cupel.core.results import Outcome


class TallyView(View):
    """How many tests ended how; `flaky` ones are among those that passed. `bad` is failed + error.

    `text` says that in words, `notices` say what of the results could not be read.
    """

    passed: int
    failed: int
    error: int
    skipped: int
    flaky: int
    bad: int
    total: int
    seconds: float
    text: str
    notices: list[str]


class ResultView(View):
    """How a test ended. `test` names it in its job, in every build, in the addresses of the API.

    `seconds` is None where nobody measured it; `file` and `line` say where it failed, or else
    where it is defined. `text` is short in lists, and whole where one result is asked for.
    """

    test: str
    suite: str
    name: str
    outcome: Outcome
    flaky: bool
    seconds: float | None
    message: str
    text: str
    file: str | None
    line: int | None
    place: str


class SuiteView(View):
    """How the tests of a suite went together; `failed` are errors as well, `seconds` those of all
    of them."""

    suite: str
    total: int
    failed: int
    flaky: int
    skipped: int
    seconds: float


class ResultsView(View):
    """Tests of a build, those that failed first. `tally` is None if it left no results.

    `origin` is the build that really ran. `next` is the `first` of the page that follows. They are
    not `kept` any more once the build's log is not.
    """

    build: int
    origin: int
    job: str
    tally: TallyView | None
    kept: bool
    entries: list[ResultView]
    next: int | None


class TestRunView(View):
    """How a test went in a build; builds with the same `key` are the same question."""

    __test__ = False

    build: int
    job: str
    key: str | None
    at: float
    outcome: Outcome
    flaky: bool
    seconds: float | None
    message: str
    place: str


class TestHistoryView(View):
    """How a test went in a project, newest first. `next` is the `before` of the next page."""

    __test__ = False

    project: str
    test: str
    id: str
    entries: list[TestRunView]
    next: int | None
