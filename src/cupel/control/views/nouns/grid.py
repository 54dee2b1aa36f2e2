"""Tests over builds."""

from __future__ import annotations

from cupel.control.views.nouns.build import BuildRef
from cupel.control.views.nouns.view import View


class GridRowView(View):
    """A test and what became of it in each build of the grid: failed, flaky, skipped, passed or
    absent. `state` is failing, flaky, mended, skipped, passed or absent; `score` how much it went
    to and fro, from 0 to 1, with recent times weighing more. `build` is the newest that has it."""

    test: str
    name: str
    state: str
    outcomes: list[str]
    failures: int
    score: float
    build: int | None
    is_new: bool


class GridGroupView(View):
    """Tests whose names have something in common; `name` is empty for the rest."""

    name: str
    rows: list[GridRowView]


class ClusterView(View):
    """Failures with the same error, but for what differs from time to time."""

    key: str
    error: str
    count: int
    tests: int
    builds: list[int]


class GridView(View):
    """The tests of a job over its newest builds. `tests` are all there are, of which `hidden` were
    left out since they passed in all of these builds, and `more` since there are too many."""

    project: str
    job: str
    builds: list[BuildRef]
    groups: list[GridGroupView]
    clusters: list[ClusterView]
    tests: int
    hidden: int
    more: int
    next: int | None


class TimedView(View):
    """How long a test takes, in the middle of the newer builds; `before`, if it has grown since."""

    name: str
    seconds: float
    before: float | None


class TimesView(View):
    """The slowest tests of a job, and those that have grown, in as many of its newest builds."""

    project: str
    job: str
    builds: int
    slowest: list[TimedView]
    grown: list[TimedView]
