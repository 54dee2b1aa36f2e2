"""What is seen of jobs and authors, and what is expected after it."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.core import history
from cupel.core.draft import Draft
from cupel.core.model import (
    Build,
    Change,
    History,
    Item,
    ItemState,
    Pipeline,
    Reason,
    Row,
    Verdict,
)
from unit.core import making
from unit.core.making import Core, build, buildset, change, patch_set

COUNTS = st.floats(0.0, 300.0)


def draft(*rows: Row) -> Draft:
    return Draft(rows, now=100.0, ids=itertools.count(1000))


def ran(id: int, verdict: Verdict = Verdict.SUCCESS, seconds: float = 60.0, **fields: Any) -> Build:
    return build(id, verdict=verdict, started_at=0.0, finished_at=seconds, **fields)


def told(*builds: Build) -> Draft:
    """After these builds have ended one after the other."""
    made = draft()
    for each in builds:
        made.put(each)
        history.build_ended(made, each)
    return made


def seen(made: Draft, subject: str = "job tests") -> History:
    found = made.history(1, subject)
    assert found is not None
    return found


# What is seen of builds.


def test_a_pass_counts_with_its_time() -> None:
    after = seen(told(ran(1, seconds=60.0)))
    assert (after.runs, after.passes, after.failures, after.flakes) == (1.0, 1.0, 0.0, 0.0)
    assert math.exp(after.log_seconds) == pytest.approx(60.0)
    assert after.log_square == pytest.approx(after.log_seconds**2)


def test_a_failure_counts_against_the_change() -> None:
    after = seen(told(ran(1, Verdict.FAILURE)))
    assert (after.runs, after.passes, after.failures) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize(
    "verdict", [Verdict.TIMEOUT, Verdict.INFRA, Verdict.CANCELLED, Verdict.SKIPPED]
)
def test_other_ends_say_nothing(verdict: Verdict) -> None:
    assert told(ran(1, verdict)).history(1, "job tests") is None


def test_a_pass_after_failures_on_one_state_is_a_flake() -> None:
    made = told(ran(1, Verdict.FAILURE), ran(2, Verdict.FAILURE), ran(3))
    after = seen(made)
    assert after.flakes == pytest.approx(history.FADE + history.FADE**2)
    assert after.failures == pytest.approx(0.0)
    [event] = [event for event in made.events if event.kind == "build.flaked"]
    assert (event.build_id, event.text) == (3, "tests passed after it had failed on the same")


def test_a_failure_is_refuted_once() -> None:
    after = seen(told(ran(1, Verdict.FAILURE), ran(2), ran(3)))
    assert after.flakes == pytest.approx(history.FADE**2)


@pytest.mark.parametrize("other", [{"buildset_id": 2}, {"job": "lint"}])
def test_a_failure_elsewhere_is_no_flake(other: dict[str, Any]) -> None:
    made = told(ran(1, Verdict.FAILURE, **other), ran(2))
    assert seen(made).flakes == 0.0
    assert [event.kind for event in made.events] == []


@pytest.mark.parametrize(
    ("key", "item", "flakes"), [("key", 1, 1), ("other", 1, 0), (None, 1, 0), ("key", 2, 0)]
)
def test_a_pass_of_the_same_inputs_on_another_state_of_the_item_is_a_flake(
    key: str | None, item: int, flakes: int
) -> None:
    made = draft()
    made.put(buildset())
    made.put(buildset(id=2, number=2, item_id=item))
    for each in (
        ran(1, Verdict.FAILURE, key="key"),
        ran(2, buildset_id=2, item_id=item, key=key),
    ):
        made.put(each)
        history.build_ended(made, each)
    assert [event.kind for event in made.events] == ["build.flaked"] * flakes


def test_what_was_seen_fades_to_half_in_two_hundred_runs() -> None:
    first = ran(1, Verdict.FAILURE)
    after = seen(told(first, *(ran(number, buildset_id=9) for number in range(2, 202))))
    assert after.failures == pytest.approx(0.5)
    assert after.runs < 1 / (1 - history.FADE)


def test_a_build_that_a_host_ran_is_remembered() -> None:
    core = Core()
    core.push(7)
    core.prepare()
    [action] = core.runs()
    core.begin(action.machine.id)
    core.now += 41.0
    core.finish(action.machine.id)
    [row] = core.draft().all(History)
    assert (row.subject, row.runs) == ("job tests", 1.0)
    assert math.exp(row.log_seconds) == pytest.approx(42.0)


@given(st.lists(st.sampled_from([Verdict.SUCCESS, Verdict.FAILURE]), max_size=40))
def test_counts_never_contradict_each_other(verdicts: list[Verdict]) -> None:
    made = told(*(ran(number, verdict) for number, verdict in enumerate(verdicts, 1)))
    after = made.history(1, "job tests") or making.history()
    assert min(after.runs, after.passes, after.failures, after.flakes) >= 0.0
    assert after.passes + after.failures + after.flakes <= after.runs + 1e-9


# How long a job takes.


def of_times(*times: float) -> Draft:
    return told(*(ran(number, seconds=time) for number, time in enumerate(times, 1)))


def test_an_unknown_job_takes_a_third_of_its_timeout_or_ten_minutes() -> None:
    assert history.seconds(draft(), 1, "tests", 900.0).p50 == pytest.approx(300.0)
    assert history.seconds(draft(), 1, "tests", 86400.0).p50 == pytest.approx(600.0)


def test_a_known_job_takes_what_it_took() -> None:
    steady = history.seconds(of_times(*[100.0] * 100), 1, "tests", 1800.0)
    assert steady.p50 == pytest.approx(100.0, rel=0.05)
    assert steady.mean == pytest.approx(100.0, rel=0.1)
    assert 100.0 < steady.p90 < 150.0


def test_the_median_follows_a_lognormal_sample() -> None:
    """Quantiles of a lognormal with median 100 and spread 0.5, in a mixed order."""
    normal = [-1.5, 0.3, 1.1, -0.4, 0.9, -0.8, 0.1, 1.5, -1.1, -0.1] * 10
    estimate = history.seconds(
        of_times(*(100.0 * math.exp(0.5 * z) for z in normal)), 1, "tests", 1800.0
    )
    assert estimate.p50 == pytest.approx(100.0, rel=0.1)
    assert estimate.p90 == pytest.approx(100.0 * math.exp(0.5 * 1.28), rel=0.2)


@given(
    st.lists(st.floats(0.0, 1e5), max_size=20),
    st.floats(0.1, 1e5),
)
def test_durations_are_ordered_and_within_the_timeout(times: list[float], timeout: float) -> None:
    estimate = history.seconds(of_times(*times), 1, "tests", timeout)
    assert 0.0 < estimate.p50 <= estimate.p90 <= timeout
    assert estimate.p50 <= estimate.mean <= timeout


@given(st.lists(st.floats(1.0, 1000.0), min_size=1, max_size=10), st.floats(1.1, 3.0))
def test_slower_runs_make_for_longer_estimates(times: list[float], factor: float) -> None:
    fast = history.seconds(of_times(*times), 1, "tests", 1e6)
    slow = history.seconds(of_times(*(time * factor for time in times)), 1, "tests", 1e6)
    assert slow.p50 > fast.p50


# How often it flakes.


def test_an_unknown_job_flakes_one_time_in_fifty() -> None:
    assert history.flake_rate(draft(), 1, "tests") == pytest.approx(0.02)


@given(COUNTS, COUNTS)
def test_a_flake_rate_is_a_probability_that_grows_with_flakes(runs: float, flakes: float) -> None:
    flakes = min(flakes, runs)
    rate = history.flake_rate(draft(making.history(runs=runs, flakes=flakes)), 1, "tests")
    more = history.flake_rate(draft(making.history(runs=runs + 1, flakes=flakes + 1)), 1, "tests")
    less = history.flake_rate(draft(making.history(runs=runs + 1, flakes=flakes)), 1, "tests")
    assert 0.0 < less < rate < more < 1.0


# How likely a change is bad.


def item(id: int, pipeline: Pipeline, state: ItemState, **fields: Any) -> Item:
    made = Item(
        id=id,
        pipeline=pipeline,
        project_id=1,
        branch="main",
        change_id=7,
        patch_set=1,
        commit="c",
        state=state,
        position=id,
        buildset_id=None,
        enqueued_at=0.0,
    )
    return replace(made, **fields)


PASSED = item(50, Pipeline.CHECK, ItemState.PASSED)
FAILED = item(50, Pipeline.CHECK, ItemState.REJECTED, reason=Reason.BUILD_FAILED)
LEFT = item(40, Pipeline.GATE, ItemState.REJECTED, reason=Reason.BUILD_FAILED)


def prior(*rows: Row, of: Change | None = None, **version: Any) -> float:
    whole = draft(patch_set(7, **version), *rows)
    return history.prior_bad(whole, of or change(7))


def author(**fields: Any) -> History:
    return making.history("author ada", id=2, **fields)


def project(**fields: Any) -> History:
    return making.history(history.PROJECT, id=3, **fields)


def test_a_check_that_passed_speaks_for_the_change_and_one_that_failed_against_it() -> None:
    assert prior(PASSED) < prior() < prior(FAILED)
    assert prior(PASSED) < 0.1


def test_only_the_check_of_this_patch_set_counts_and_only_its_verdict() -> None:
    assert prior(replace(FAILED, patch_set=2)) == prior()
    assert prior(replace(FAILED, reason=Reason.INFRASTRUCTURE)) == prior()
    assert prior(replace(FAILED, state=ItemState.REMOVED, reason=Reason.ENTERED_GATE)) == prior()
    assert prior(FAILED, replace(PASSED, id=51)) == prior(PASSED)


def test_where_all_pass_their_check_it_says_little_to_have_passed() -> None:
    checked = project(runs=200.0, failures=20.0, passes=200.0)
    assert prior(checked, PASSED) == pytest.approx(0.1, abs=0.02)
    unchecked = project(runs=200.0, failures=20.0)
    assert prior(unchecked) == pytest.approx(0.1, abs=0.02)


def test_earlier_rejections_count_unless_they_were_ours() -> None:
    assert prior() < prior(LEFT) < prior(LEFT, replace(LEFT, id=41))
    assert prior(replace(LEFT, reason=Reason.INFRASTRUCTURE)) == prior()
    assert prior(replace(LEFT, change_id=8)) == prior()


def test_large_changes_are_a_little_worse() -> None:
    small, large = prior(files=1, lines=2), prior(files=200, lines=50_000)
    assert small < prior() < large < 2.5 * prior()
    assert prior(files=0, lines=0) == prior()


def test_an_urgent_change_is_mostly_a_repair() -> None:
    assert prior(of=change(7, urgent=True)) < prior()


def test_an_author_is_like_the_project_until_the_record_says_otherwise() -> None:
    assert prior(project(runs=100.0, failures=30.0)) > prior()
    assert prior(author(runs=2.0, failures=2.0)) < 0.5
    assert prior(author(runs=100.0)) < prior() < prior(author(runs=100.0, failures=50.0))


@given(
    COUNTS,
    st.floats(0.0, 1.0),
    COUNTS,
    st.floats(0.0, 1.0),
    st.integers(0, 10**7),
    st.integers(0, 10**5),
    st.sampled_from([(), (PASSED,), (FAILED,)]),
    st.integers(0, 9),
)
def test_a_prior_is_bounded_and_lower_after_a_landing_than_after_a_rejection(
    runs: float,
    bad: float,
    own: float,
    own_bad: float,
    lines: int,
    files: int,
    check: tuple[Item, ...],
    rejected: int,
) -> None:
    rows: list[Row] = [
        project(runs=runs, failures=runs * bad),
        author(runs=own, failures=own * own_bad),
        patch_set(7, lines=lines, files=files),
        *check,
        *(replace(LEFT, id=number) for number in range(10, 10 + rejected)),
    ]
    before, landed, left = draft(*rows), draft(*rows), draft(*rows)
    history.change_landed(landed, change(7))
    history.change_rejected(left, change(7))
    low, high = history.BOUNDS
    assert low <= history.prior_bad(before, change(7)) <= high
    assert seen(landed, "author ada").failures <= own * own_bad
    assert seen(left, "author ada").failures > seen(landed, "author ada").failures
    assert history.prior_bad(landed, change(7)) <= history.prior_bad(left, change(7))


def test_the_reasons_add_up() -> None:
    version = patch_set(7, lines=100, files=2)
    rows: list[Row] = [version, PASSED, LEFT, author(runs=9.0, failures=1.0)]
    made = draft(*rows)
    reasons = history.reason_for(made, change(7, urgent=True))
    assert [name for name, _ in reasons] == [
        "the project's record",
        "the record of ada",
        "passed its check",
        "size",
        "rejected before",
        "urgent",
    ]
    odds = sum(value for _, value in reasons)
    assert history.prior_bad(made, change(7, urgent=True)) == pytest.approx(
        1 / (1 + math.exp(-odds))
    )


def test_many_priors_are_what_each_is_alone() -> None:
    made = draft(patch_set(7), patch_set(8), FAILED, replace(PASSED, id=60, change_id=8))
    several = history.priors(made, [change(7), change(8)])
    assert several == {
        7: history.prior_bad(made, change(7)),
        8: history.prior_bad(made, change(8)),
    }


def test_changes_are_remembered_for_the_author_and_the_project() -> None:
    made = draft(patch_set(7), PASSED)
    history.change_landed(made, change(7))
    history.change_rejected(made, change(7, author="eve"))
    assert seen(made, "author eve").failures == 1.0
    assert seen(made, "author ada").failures == 0.0
    whole = seen(made, history.PROJECT)
    assert whole.runs == whole.passes == pytest.approx(1.0 + history.FADE)
    assert whole.failures == 1.0
