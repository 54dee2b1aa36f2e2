"""What builds amount to, and which come next."""

from __future__ import annotations

import itertools

import pytest

from cupel.core import buildset, host
from cupel.core.buildset import Standing
from cupel.core.draft import Draft
from cupel.core.model import (
    Build,
    BuildsetState,
    BuildState,
    Item,
    ItemState,
    Job,
    Pipeline,
    Policy,
    Reason,
    Verdict,
)
from unit.core import making
from unit.core.making import build, job

POLICY = Policy(attempts=3)
ITEM = Item(
    id=1,
    pipeline=Pipeline.GATE,
    project_id=1,
    branch="main",
    change_id=7,
    patch_set=1,
    commit="c7.1",
    state=ItemState.LIVE,
    position=1,
    buildset_id=1,
    enqueued_at=0.0,
)


def standing(jobs: tuple[Job, ...], *builds: Build) -> tuple[Standing, Reason | None, bool]:
    found = buildset.evaluate(making.buildset(jobs=jobs), list(builds), POLICY)
    return found.standing, found.reason, found.complete


def advanced(jobs: tuple[Job, ...], *builds: Build) -> list[tuple[str, int, str]]:
    """Every build after `advance`: job, attempt, verdict or state."""
    present = making.buildset(jobs=jobs)
    draft = Draft([ITEM, present, *builds], now=2.0, ids=itertools.count(100))
    buildset.advance(draft, ITEM, present, POLICY)
    return [(b.job, b.attempt, str(b.verdict or b.state)) for b in draft.builds(present.id)]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (BuildsetState.PREPARING, (Standing.PENDING, None)),
        (BuildsetState.SUPERSEDED, (Standing.PENDING, None)),
        (BuildsetState.CONFLICT, (Standing.FAILING, Reason.CONFLICT)),
        (BuildsetState.MISCONFIGURED, (Standing.FAILING, Reason.MISCONFIGURED)),
    ],
)
def test_a_state_that_is_not_ready(
    state: BuildsetState, expected: tuple[Standing, Reason | None]
) -> None:
    found = buildset.evaluate(making.buildset(state=state), [], POLICY)
    assert (found.standing, found.reason) == expected


def test_without_jobs_there_is_nothing_to_fail() -> None:
    assert standing(()) == (Standing.SUCCESS, None, True)


def test_a_job_that_has_not_begun_is_pending() -> None:
    assert standing((job(),)) == (Standing.PENDING, None, False)


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (Verdict.FAILURE, Reason.BUILD_FAILED),
        (Verdict.TIMEOUT, Reason.BUILD_FAILED),
        (Verdict.SKIPPED, Reason.BUILD_FAILED),
        (Verdict.CANCELLED, Reason.BUILD_FAILED),
    ],
)
def test_a_voting_job_that_did_not_pass_fails(verdict: Verdict, reason: Reason) -> None:
    assert standing((job(),), build(verdict=verdict)) == (Standing.FAILING, reason, True)


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.SUCCESS])
def test_a_job_without_a_vote_fails_nothing(verdict: Verdict) -> None:
    jobs = (job(), job("lint", voting=False))
    passed = build(verdict=Verdict.SUCCESS)
    lint = [build(n, job="lint", voting=False, verdict=verdict, attempt=n) for n in (2, 3, 4)]
    assert standing(jobs, passed, *lint) == (Standing.SUCCESS, None, True)


def test_success_does_not_wait_for_jobs_without_a_vote() -> None:
    jobs = (job(), job("lint", voting=False))
    assert standing(jobs, build(verdict=Verdict.SUCCESS)) == (Standing.SUCCESS, None, False)


def test_a_failure_does_not_wait_for_the_others() -> None:
    jobs = (job(), job("lint"))
    assert standing(jobs, build(verdict=Verdict.FAILURE)) == (
        Standing.FAILING,
        Reason.BUILD_FAILED,
        False,
    )


def test_a_failure_is_the_reason_even_where_the_infrastructure_failed_too() -> None:
    jobs = (job("lint"), job())
    lost = build(1, job="lint", verdict=Verdict.INFRA, attempt=3)
    failed = build(2, verdict=Verdict.FAILURE)
    assert standing(jobs, lost, failed)[1] is Reason.BUILD_FAILED


def test_the_infrastructure_fails_a_job_only_in_its_last_attempt() -> None:
    lost = [build(n, verdict=Verdict.INFRA, attempt=n) for n in (1, 2, 3)]
    assert standing((job(),), *lost[:2]) == (Standing.PENDING, None, False)
    assert standing((job(),), *lost) == (Standing.FAILING, Reason.INFRASTRUCTURE, True)


def test_the_last_attempt_counts() -> None:
    lost, passed = build(1, verdict=Verdict.INFRA), build(2, attempt=2, verdict=Verdict.SUCCESS)
    assert standing((job(),), lost, passed) == (Standing.SUCCESS, None, True)


def test_jobs_without_needs_begin_at_once() -> None:
    assert advanced((job(), job("lint"))) == [("tests", 1, "queued"), ("lint", 1, "queued")]


def test_a_job_waits_for_what_it_needs() -> None:
    jobs = (job("package"), job("upload", needs=("package",)))
    assert advanced(jobs, build(1, job="package")) == [("package", 1, "queued")]
    assert advanced(jobs, build(1, job="package", verdict=Verdict.SUCCESS)) == [
        ("package", 1, "success"),
        ("upload", 1, "queued"),
    ]


def test_a_job_waits_for_the_next_attempt_at_what_it_needs() -> None:
    jobs = (job("package"), job("upload", needs=("package",)))
    assert advanced(jobs, build(1, job="package", verdict=Verdict.INFRA)) == [
        ("package", 1, "infra"),
        ("package", 2, "queued"),
    ]


@pytest.mark.parametrize("voting", [True, False])
def test_what_needs_a_failed_job_is_skipped_all_the_way_up(voting: bool) -> None:
    jobs = (
        job("lint", voting=voting),
        job("package", needs=("lint",)),
        job("upload", needs=("package",)),
    )
    assert advanced(jobs, build(1, job="lint", voting=voting, verdict=Verdict.FAILURE)) == [
        ("lint", 1, "failure"),
        ("package", 1, "skipped"),
        ("upload", 1, "skipped"),
    ]


def test_a_skipped_build_says_why() -> None:
    present = making.buildset(jobs=(job("lint"), job("package", needs=("lint",))))
    failed = build(1, job="lint", verdict=Verdict.TIMEOUT)
    draft = Draft([ITEM, present, failed], now=2.0, ids=itertools.count(100))
    buildset.advance(draft, ITEM, present, POLICY)
    assert draft.builds(1)[1].reason == "needs lint, which ended as timeout"


def test_attempts_end() -> None:
    lost = [build(n, verdict=Verdict.INFRA, attempt=n) for n in (1, 2, 3)]
    assert advanced((job(),), *lost)[2:] == [("tests", 3, "infra")]


def test_a_restart_is_no_mark_against_a_build() -> None:
    lost = [build(n, verdict=Verdict.INFRA, attempt=n, reason=host.RESTARTED) for n in range(1, 6)]
    assert advanced((job(),), *lost)[5:] == [("tests", 6, "queued")]


@pytest.mark.parametrize("reason", [host.RESTARTED, f"{host.PROTECTED}: its memory was short"])
def test_a_build_that_always_brings_its_host_down_ends_too(reason: str) -> None:
    attempts = range(1, 31)
    lost = [build(n, verdict=Verdict.INFRA, attempt=n, reason=reason) for n in attempts]
    assert standing((job(),), *lost[:-1]) == (Standing.PENDING, None, False)
    assert standing((job(),), *lost) == (Standing.FAILING, Reason.INFRASTRUCTURE, True)


def test_advancing_twice_begins_once() -> None:
    present = making.buildset(jobs=(job(),))
    draft = Draft([ITEM, present], now=2.0, ids=itertools.count(100))
    buildset.advance(draft, ITEM, present, POLICY)
    version = draft.version
    buildset.advance(draft, ITEM, present, POLICY)
    assert draft.version == version


@pytest.mark.parametrize(
    ("state", "started_too", "expected"),
    [
        (BuildState.QUEUED, True, (BuildState.FINISHED, Verdict.CANCELLED)),
        (BuildState.QUEUED, False, (BuildState.FINISHED, Verdict.CANCELLED)),
        (BuildState.STARTING, True, (BuildState.CANCELLING, None)),
        (BuildState.RUNNING, True, (BuildState.CANCELLING, None)),
        (BuildState.RUNNING, False, (BuildState.RUNNING, None)),
        (BuildState.CANCELLING, True, (BuildState.CANCELLING, None)),
    ],
)
def test_stopping(
    state: BuildState, started_too: bool, expected: tuple[BuildState, Verdict | None]
) -> None:
    draft = Draft([making.buildset(), build(state=state)], now=2.0, ids=itertools.count(100))
    buildset.stop(draft, making.buildset(), "why", started_too=started_too)
    [stopped] = draft.builds(1)
    assert (stopped.state, stopped.verdict) == expected
