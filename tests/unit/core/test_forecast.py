from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.core import forecast, history
from cupel.core.forecast import Place, Task
from cupel.core.model import History


def test_what_is_queued_waits_for_a_machine_and_for_what_it_needs() -> None:
    tasks = [
        Task(seconds=30.0, running=True),
        Task(seconds=10.0, running=True),
        Task(seconds=5.0),  # on the machine that is free after 10
        Task(seconds=7.0, needs=(0,)),  # its machine is free after 15, what it needs ends at 30
        Task(seconds=1.0, machines=2),
    ]
    assert forecast.ends(tasks, 2) == [30.0, 10.0, 15.0, 37.0, 38.0]


def test_a_task_that_wants_more_machines_than_there_are_has_all_of_them() -> None:
    assert forecast.ends([Task(seconds=3.0, machines=5), Task(seconds=2.0)], 2) == [3.0, 5.0]


@given(st.lists(st.floats(0, 1e6), max_size=30), st.integers(1, 8))
def test_no_machine_does_two_things_at_once(times: list[float], machines: int) -> None:
    found = forecast.ends([Task(seconds=time) for time in times], machines)
    assert all(end >= time for end, time in zip(found, times, strict=True))
    if times:
        assert max(found) * machines >= sum(times) * (1 - 1e-9)
        assert max(found) <= sum(times) * (1 + 1e-9)


def test_an_item_lands_after_those_ahead_but_for_those_that_are_out() -> None:
    places = [
        Place(proved=20.0),
        Place(proved=None, out=True),
        Place(proved=5.0),
        Place(proved=None, behind=True),
        Place(proved=60.0),
        Place(proved=None),
        Place(proved=70.0),
    ]
    assert forecast.landings(places) == [20.0, None, 20.0, 60.0, 60.0, None, None]


def known(seconds: float, passes: float = 40.0, spread: float = 0.2) -> History:
    log = math.log(seconds)
    return History(
        id=1, project_id=1, subject="job tests", passes=passes, runs=passes,
        log_seconds=log, log_square=log * log + spread**2,
    )  # fmt: skip


def test_nothing_is_usual_before_the_first_pass() -> None:
    assert history.usual(None) is None
    assert history.usual(History(id=1, project_id=1, subject="job tests", runs=3.0)) is None
    once = history.usual(known(90.0, passes=1.0, spread=0.0))
    assert once is not None
    assert once.p50 == pytest.approx(90.0)
    assert once.p90 > 1.1 * once.p50


def test_what_is_left_shrinks_with_time_and_grows_again_when_it_is_late() -> None:
    usual = history.usual(known(100.0))
    assert usual is not None
    assert usual.left(0.0) == pytest.approx(100.0)
    assert 45.0 < usual.left(50.0) < 55.0
    assert 0.0 < usual.left(100.0) < 30.0
    assert usual.left(100_000.0) > usual.left(200.0) > 0.0


@given(st.floats(0.01, 1e5), st.floats(0, 1e7), st.floats(0, 3), st.floats(0.1, 300))
def test_what_is_left_is_a_time(
    seconds: float, elapsed: float, spread: float, passes: float
) -> None:
    usual = history.usual(known(seconds, passes, spread))
    assert usual is not None
    assert 0.0 <= usual.left(elapsed) < math.inf
