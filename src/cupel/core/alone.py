"""Confirming a failure by its failed tests alone, where the job says how that is done.

The gate runs a failed job again before it believes in the failure. With `rerun-failed` it first
runs only the tests that failed, on a new machine. If all of them pass, the job has passed on that
state: they have passed now, and the others in the run before. That is a flake. In any other case
the attempt says nothing: what fails alone may pass with the others, so nobody is convicted by it,
and all tests are run again.

What passes alone may still fail together with the others. So such a pass is no evidence, no job may
depend on what it leaves, and an audit runs all tests once what it proved has landed.
"""

from __future__ import annotations

from collections.abc import Sequence

from cupel.core import attempts, events, lenience
from cupel.core.draft import Draft
from cupel.core.lenience import Judged
from cupel.core.model import (
    Build,
    Buildset,
    Item,
    Job,
    Pipeline,
    Role,
    Verdict,
)
from cupel.core.results import FailedTest, Result, Results

MOST = 50
"""Failed tests that are run again alone; where there are more, all tests are."""


def offers(job: Job) -> bool:
    """Whether the job says how to run failed tests alone."""
    return bool(job.steps) and bool(job.steps[-1].rerun_failed)


def first(
    draft: Draft, item: Item, buildset: Buildset, job: Job, tried: Sequence[Build]
) -> int | None:
    """The attempt whose failed tests the next one may run alone; None: it runs all of them."""
    if not offers(job) or item.pipeline is not Pipeline.GATE or buildset.role is not Role.PROOF:
        return None
    counted = attempts.counting(buildset, tried)
    needed = any(job.name in other.needs for other in buildset.jobs)
    if needed or any(build.alone is not None for build in counted):
        return None
    ended = [build for build in counted if build.verdict is not Verdict.CANCELLED]
    last = ended[-1] if ended else None
    if last is None or last.verdict is not Verdict.FAILURE or last.visited_by is not None:
        return None
    return last.id if _only_tests_failed(draft, job, last) else None


def _only_tests_failed(draft: Draft, job: Job, build: Build) -> bool:
    of = draft.find(Results, build.id)
    tests = failed(draft, build.id)
    if of is None or not 0 < len(tests) <= MOST:
        return False
    return lenience.doubt(draft, job, build, of.tally, of.notices, len(tests), build.reason) is None


def failed(draft: Draft, build_id: int | None) -> list[Result]:
    """The tests that failed in a build."""
    rows = [test for test in draft.all(FailedTest) if test.build_id == build_id]
    rows.sort(key=lambda test: test.id)
    return [test.result for test in rows if test.result.is_failed]


def judged(draft: Draft, build: Build, fact: events.BuildFinished, reason: str | None) -> Judged:
    """How a build ends that ran the failed tests of another one alone."""
    if fact.verdict not in (Verdict.SUCCESS, Verdict.FAILURE, Verdict.TIMEOUT):
        return Judged(verdict=fact.verdict, reason=reason)
    count, found = len(failed(draft, build.alone)), fact.findings
    if fact.verdict is not Verdict.SUCCESS:
        why = reason
    elif found is None or found.notices:
        why = "not all results could be read"
    elif found.tally.bad or found.tally.passed < count:
        why = f"{found.tally.passed} of {count} have passed"
    else:
        text = f"what build {build.alone} failed passed alone, the other tests there"
        return Judged(verdict=Verdict.SUCCESS, reason=text)
    text = f"what build {build.alone} failed was run alone, which says nothing: {why}"
    return Judged(verdict=Verdict.CANCELLED, reason=text)
