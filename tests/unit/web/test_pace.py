"""Who is told when. Every moment is an argument, so nothing here waits."""

from __future__ import annotations

from cupel.web.budget import Budget
from cupel.web.pace import Pace


def pace(*, rate: float = 10.0, burst: float = 2.0, gap: float = 0.25) -> Pace[str]:
    return Pace(Budget(rate=rate, burst=burst), gap=gap)


def test_the_first_is_told_at_once_and_what_follows_is_gathered() -> None:
    told = pace()
    told.ask("ada", 5.0)
    assert told.take(5.0) == ["ada"]
    for moment in (5.01, 5.02, 5.03):
        told.ask("ada", moment)
        assert told.take(moment) == []
    assert told.next(5.03) == 5.25
    assert told.take(5.25) == ["ada"]
    assert told.next(5.25) is None


def test_all_together_are_told_no_more_often_than_the_budget_allows() -> None:
    told = pace(rate=10.0, burst=2.0)
    for number in range(12):
        told.ask(f"reader {number}", 0.0)
    seen = {0.0: told.take(0.0)}
    now = 0.0
    while (then := told.next(now)) is not None:
        now = then
        seen[now] = told.take(now)
    assert seen[0.0] == ["reader 0", "reader 1"]
    assert [who for each in seen.values() for who in each] == [f"reader {n}" for n in range(12)]
    assert 0.99 <= now <= 1.01


def test_whoever_waits_to_be_told_is_told_once() -> None:
    told = pace(burst=1.0)
    told.ask("first", 0.0)
    for _ in range(100):
        told.ask("second", 0.0)
    assert told.take(0.0) == ["first"]
    assert told.take(0.5) == ["second"]
    assert told.next(0.5) is None


def test_people_go_before_the_crowd() -> None:
    told = pace(burst=1.0)
    for number in range(50):
        told.ask(f"reader {number}", 0.0)
    told.ask("grace", 0.0, first=True)
    assert told.take(0.0) == ["grace"]


def test_one_who_was_told_just_now_does_not_hold_up_the_others() -> None:
    told = pace(burst=5.0)
    told.ask("ada", 0.0)
    told.take(0.0)
    told.ask("ada", 0.1)
    told.ask("grace", 0.1)
    assert told.take(0.1) == ["grace"]
    assert told.take(0.25) == ["ada"]


def test_nobody_starves() -> None:
    """With something happening all the time, everybody gets the same."""
    told = pace(rate=10.0, burst=1.0)
    readers = [f"reader {number}" for number in range(20)]
    count = dict.fromkeys(readers, 0)
    for step in range(1000):
        now = step / 10
        for who in readers:
            told.ask(who, now)
        for who in told.take(now):
            count[who] += 1
    assert max(count.values()) - min(count.values()) <= 1
    assert sum(count.values()) >= 999


def test_who_has_left_is_not_told() -> None:
    told = pace(burst=1.0)
    told.ask("ada", 0.0)
    told.ask("grace", 0.0)
    told.forget("ada")
    assert told.take(0.0) == ["grace"]


def test_a_budget_fills_up_to_its_burst_and_may_owe() -> None:
    budget = Budget(rate=0.1, burst=0.5)
    assert budget.left(0.0) == 0.5
    budget.spend(0.8, 0.0)
    assert budget.wait(0.001, 0.0) > 3.0
    assert abs(budget.left(4.0) - 0.1) < 1e-9
    assert budget.left(1000.0) == 0.5
    assert budget.wait(0.001, 1000.0) == 0.0
