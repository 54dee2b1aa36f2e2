"""What differs between two builds of a job."""

from __future__ import annotations

from cupel.control.views.nouns.build import BuildRef
from cupel.control.views.nouns.image import PackageChangeView
from cupel.control.views.nouns.view import View
from cupel.core.results import Outcome


class FactDifferenceView(View):
    """A fact of how they ran that is not the same; null where one has none such."""

    what: str
    old: str | None
    new: str | None


class StepDifferenceView(View):
    """How long a step took in each, in seconds; null where it did not run."""

    name: str
    old: float | None
    new: float | None


class LandedView(View):
    """A commit that the newer one is merged onto and the older one was not.

    `change` is the one that it brought, where that is known.
    """

    commit: str
    title: str
    author: str
    at: float
    change: int | None


class TestDifferenceView(View):
    """A test that ended otherwise; `old` is null for one that there was not."""

    __test__ = False

    test: str
    id: str
    old: Outcome | None
    new: Outcome | None
    message: str


class TestsDifferenceView(View):
    """`failing` failed in the newer one and not in the older; `fixed` the other way round.

    Both are bounded. Totals are of all tests.
    """

    __test__ = False

    failing: list[TestDifferenceView]
    fixed: list[TestDifferenceView]
    old_total: int
    new_total: int


class ComparisonView(View):
    """What differs between `old`, by default the last build of the job that passed, and `new`.

    `differences` are those of how they ran, `same` the names of what is the same. `packages` are
    null where those of an image are not known here, `landed` where the commits are not, `tests`
    where one has left no results. `more_landed`: there are more commits than these. `text` sums
    it up.
    """

    text: str
    old: BuildRef
    new: BuildRef
    differences: list[FactDifferenceView]
    same: list[str]
    packages: list[PackageChangeView] | None
    landed: list[LandedView] | None
    more_landed: bool
    steps: list[StepDifferenceView]
    tests: TestsDifferenceView | None
    old_log_lines: int
    new_log_lines: int
