"""What a search has found, by kind."""

from __future__ import annotations

from cupel.control.views.nouns.build import BuildRef
from cupel.control.views.nouns.change import ChangeRef
from cupel.control.views.nouns.view import View


class JumpView(View):
    """What was named exactly: a change, a build, a machine or a commit; `text` says what it is."""

    kind: str
    id: int
    text: str


class FoundTest(View):
    """A test of the newest results of a job, which `build` left."""

    project: str
    job: str
    test: str
    digest: str
    outcome: str
    build: int
    at: float


class FoundName(View):
    """A `project`, a `host` or a `machine`, whose name is its number; `text` says what it is
    like."""

    kind: str
    name: str
    text: str


class LogHit(View):
    """A line of a log, in three parts: before, in and after what fits. `number` is from 0."""

    number: int
    text: tuple[str, str, str]
    before: str | None
    after: str | None


class FoundLog(View):
    """A build whose log has `lines` lines that fit; `hits` are the first of them."""

    build: BuildRef
    lines: int
    hits: list[LogHit]


class LogsReached(View):
    """How far a search of logs has got, newest first.

    Of `searched` logs, `skipped` had not to be read. `lines` lines of `logs` logs fit: exactly so
    many if it is `complete`, otherwise at least. It looked back to the build `back_to`, of the time
    `back_at`. `next` is the `before` with which to go on. A search that is `stuck` was stopped in
    the midst of a log, by an expression that takes too long.
    """

    searched: int
    skipped: int
    lines: int
    logs: int
    complete: bool
    stuck: bool
    back_to: int | None
    back_at: float | None
    next: int | None
    seconds: float


class FoundLogs(View):
    entries: list[FoundLog]
    reached: LogsReached


class Count(View):
    """How many there are: exactly, or at least if not all could be looked at in the time."""

    number: int
    complete: bool


class SearchView(View):
    """What was found, best first, by kind; what was not looked for is empty, its count None."""

    text: str
    jumps: list[JumpView]
    changes: list[ChangeRef]
    changes_count: Count | None = None
    builds: list[BuildRef]
    builds_count: Count | None = None
    tests: list[FoundTest]
    tests_count: Count | None = None
    projects: list[FoundName]
    machines: list[FoundName]
    logs: FoundLogs | None = None
