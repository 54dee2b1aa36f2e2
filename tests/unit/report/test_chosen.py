"""Tests that are chosen by what they are like."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cupel.core import results
from cupel.core.results import Outcome, Result
from cupel.report.results import chosen, kept
from cupel.report.results.chosen import Choice, Order
from cupel.report.results.kept import Kept


def of(number: int, outcome: Outcome = Outcome.PASSED, *, flaky: bool = False) -> Result:
    took = None if number % 5 == 4 else number / 10
    return Result(
        suite=f"suite {number % 7}",
        name=f"test {number}",
        outcome=outcome,
        seconds=took,
        flaky=flaky,
    )


ORDERED = [
    *(of(n, Outcome.FAILED) for n in range(20)),
    *(of(n, flaky=True) for n in range(20, 25)),
    *(of(n, Outcome.SKIPPED) for n in range(25, 40)),
    *(of(n) for n in range(40, 1300)),
]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Kept]:
    path = tmp_path / "kept"
    with path.open("wb") as opened:
        kept.write(opened, ORDERED, results.tally(ORDERED))
    with Kept(path) as opened:
        yield opened


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("outcome", [None, "failed", "flaky", "skipped", "passed"])
@pytest.mark.parametrize("suite", [None, "suite 3", "none"])
@pytest.mark.parametrize("least", [None, 50.0])
@pytest.mark.parametrize("text", [None, "st 1"])
def test_every_choice_is_what_looking_at_all_would_give(
    order: Order,
    outcome: str | None,
    suite: str | None,
    least: float | None,
    text: str | None,
    file: Kept,
) -> None:
    choice = Choice(outcome=outcome, suite=suite, least=least, text=text, order=order)
    wanted = [each for each in ORDERED if chosen.fits(each, choice)]
    if text:
        wanted = [each for each in wanted if text in each.id]
    if order is Order.SLOWEST:
        wanted.sort(key=lambda each: -(each.seconds or 0.0))
    assert chosen.page(file, choice, 0, 5000) == wanted
    assert chosen.page(file, choice, 3, 4) == wanted[3:7]


def test_suites_are_counted(file: Kept) -> None:
    found = chosen.suites(file, Choice())
    assert sum(each.total for each in found) == len(ORDERED)
    assert sum(each.failed for each in found) == 20
    assert sum(each.flaky for each in found) == 5
    assert sum(each.skipped for each in found) == 15
    assert found[0].failed == max(each.failed for each in found)
    of_three = [each for each in ORDERED if each.suite == "suite 3"]
    (three,) = (each for each in found if each.name == "suite 3")
    assert three.total == len(of_three)
    assert three.seconds == pytest.approx(sum(each.seconds or 0.0 for each in of_three), rel=1e-5)
    (only,) = chosen.suites(file, Choice(suite="suite 3", outcome="failed"))
    assert only.total == only.failed
    slow = chosen.suites(file, Choice(order=Order.SLOWEST))
    assert [each.seconds for each in slow] == sorted((each.seconds for each in slow), reverse=True)


def test_a_hundred_thousand_tests_page_quickly(tmp_path: Path) -> None:
    many = [of(number) for number in range(100_000)]
    path = tmp_path / "many"
    with path.open("wb") as opened:
        kept.write(opened, many, results.tally(many))
    started = time.process_time()
    with Kept(path) as file:
        slowest = chosen.page(file, Choice(order=Order.SLOWEST), 0, 200)
        assert len(chosen.page(file, Choice(suite="suite 3"), 10_000, 200)) == 200
        assert len(chosen.suites(file, Choice())) == 7
    assert slowest[0].seconds == pytest.approx(9999.8)
    assert time.process_time() - started < 2.0
