"""What weeks come to."""

from __future__ import annotations

import datetime as dt

import hypothesis
import pytest
from hypothesis import strategies as st

from cupel.core import trend
from cupel.core.job import Part
from cupel.core.model import ItemState, Pipeline, Purpose, Reason, Verdict
from cupel.core.trend import Approved, Pushed, Ran, Went

MONDAY = dt.datetime(2026, 3, 2, tzinfo=dt.UTC).timestamp()


def ran(id: int = 1, **fields: object) -> Ran:
    values: dict[str, object] = {
        "id": id, "job": "tests", "verdict": Verdict.SUCCESS, "queued_at": MONDAY,
        "started_at": MONDAY + 10, "finished_at": MONDAY + 70, "purpose": Purpose.FIRST,
        "reused_from": None, "buildset_id": 1, "parts": (),
    }  # fmt: skip
    return Ran(**values | fields)  # type: ignore[arg-type]


def went(change: int, end: float | None, **fields: object) -> Went:
    values: dict[str, object] = {
        "id": change, "change_id": change, "patch_set": 1, "pipeline": Pipeline.GATE,
        "state": ItemState.LANDED, "reason": None, "enqueued_at": MONDAY, "finished_at": end,
    }  # fmt: skip
    return Went(**values | fields)  # type: ignore[arg-type]


@hypothesis.given(st.floats(0, 4e9))
def test_a_week_begins_on_monday(at: float) -> None:
    begun = dt.datetime.fromtimestamp(trend.week(at), dt.UTC)
    assert (begun.weekday(), begun.hour, begun.minute, begun.second) == (0, 0, 0, 0)
    assert 0 <= at - trend.week(at) < trend.WEEK


def test_percentiles_are_values_that_were_there() -> None:
    found = trend.spread([float(each) for each in range(100, 0, -1)])
    assert found == trend.Spread(count=100, p50=50.0, p95=95.0, p99=99.0)
    assert trend.spread([]) is None
    assert trend.spread([3.0]) == trend.Spread(count=1, p50=3.0, p95=3.0, p99=3.0)


def test_each_build_is_waste_of_one_kind_at_most() -> None:
    found = trend.effort(
        [
            ran(1),
            ran(2, verdict=Verdict.CANCELLED, purpose=Purpose.RERUN),
            ran(
                3,
                verdict=Verdict.INFRA,
                parts=(Part(name="a", label="x"), Part(name="b", label="x")),
            ),
            ran(4, purpose=Purpose.RETRY, buildset_id=9),
            ran(5, buildset_id=9, verdict=Verdict.FAILURE),
            ran(6, started_at=None, finished_at=None, reused_from=1),
            ran(7, started_at=None, verdict=Verdict.CANCELLED),
        ],
        discarded={9},
        spared={1: 60.0},
    )
    assert (found.aborted, found.infrastructure) == (60.0, 120.0)
    assert (found.repeated, found.discarded) == (60.0, 60.0)
    assert (found.seconds, found.ran, found.reused, found.saved) == (360.0, 5, 1, 60.0)
    assert found.waits == [10.0] * 5
    job = found.jobs["tests"]
    assert (job.runs, job.failures, job.passes) == (3, 1, [60.0, 60.0])


def test_a_landing_takes_from_its_approval() -> None:
    items = [
        went(1, MONDAY + 100),
        went(2, MONDAY + 100),
        went(3, MONDAY + 8 * trend.DAY, enqueued_at=MONDAY + 7.5 * trend.DAY),
        went(4, MONDAY + 100, state=ItemState.REJECTED, reason=Reason.CONFLICT),
        went(5, None, state=ItemState.LIVE),
    ]
    given = [
        Approved(1, 1, MONDAY - 50, None),
        Approved(1, 1, MONDAY - 20, None),
        Approved(1, 1, MONDAY - 1, MONDAY),
        Approved(2, 2, MONDAY - 50, None),
        Approved(2, 1, MONDAY + 5, None),  # once it was in the gate, it waited for nothing
    ]
    assert trend.landings(items, given) == {
        MONDAY: [120.0, 100.0],
        MONDAY + trend.WEEK: [trend.DAY / 2],
    }
    assert trend.rejections(items) == {MONDAY: {Reason.CONFLICT: 1}}


def test_the_first_verdict_counts_for_a_push() -> None:
    items = [
        went(1, MONDAY + 90, pipeline=Pipeline.CHECK, state=ItemState.PASSED),
        went(1, MONDAY + 300),
        went(2, MONDAY + 30, state=ItemState.REMOVED),
    ]
    pushes = [Pushed(1, 1, MONDAY + 10), Pushed(1, 2, MONDAY + 20), Pushed(2, 1, MONDAY)]
    assert trend.verdicts(items, pushes) == {MONDAY: [80.0]}


@pytest.mark.parametrize(
    ("older", "newer", "grew"),
    [
        ([10, 10, 11, 12], [20, 21, 22, 23], True),
        ([10, 10, 11, 12], [12, 12, 13, 13], False),  # within what is ordinary
        ([10.0, 10.0, 10.0, 10.0], [11, 11, 11, 11], False),  # beyond it, but by little
        ([10, 10, 10], [90, 90, 90, 90], False),  # too few
        ([5, 10, 40, 80], [90, 90, 90, 90], False),  # differs widely anyway
    ],
)
def test_what_grew_did_so_beyond_the_ordinary(
    older: list[float], newer: list[float], grew: bool
) -> None:
    assert (trend.growth(older, newer) is not None) is grew


def test_recent_transitions_weigh_more() -> None:
    assert trend.transitions([]) == trend.transitions([True]) == trend.transitions([True] * 9) == 0
    assert trend.transitions([True, False] * 8) == pytest.approx(1.0)
    recent = trend.transitions([False, True, True, True, True, True])
    old = trend.transitions([True, True, True, True, True, False])
    assert recent > old > 0
    # A break that was mended is two transitions, however long it lasted.
    assert trend.transitions([True] * 5 + [False] * 5 + [True] * 5) < 0.2
