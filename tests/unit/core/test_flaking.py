"""Which tests are found to be flaky, by which builds, and how often they are."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from cupel.core import flake, flaking, results
from cupel.core.draft import Draft
from cupel.core.flake import Flake, FlakeProof
from cupel.core.model import Build, Row, Verdict
from cupel.core.results import Outcome, Result, Results, Tally
from unit.core import making


def ran(number: int, *failed: str, total: int = 10, **fields: Any) -> list[Row]:
    """A build that has ended with the tests `failed`, and what it said of them."""
    verdict = fields.pop("verdict", Verdict.FAILURE if failed else Verdict.SUCCESS)
    known = {"buildset_id": number, "verdict": verdict, "key": "key"} | fields
    of = making.build(number, **known)
    return [of, *said(of, failed, total=total)]


def said(
    of: Build, failed: Iterable[str], *, total: int = 10, notices: tuple[str, ...] = ()
) -> list[Row]:
    bad = [Result(suite="", name=name, outcome=Outcome.FAILED) for name in failed]
    summary = Results(
        id=of.id,
        project_id=of.project_id,
        job=of.job,
        key=of.key,
        tally=Tally(passed=total - len(bad), failed=len(bad)),
        notices=notices,
        at=float(of.id),
    )
    numbers = itertools.count(1000 * of.id)
    rows = [results.failed_test(summary, each, id=next(numbers)) for each in bad]
    return [summary, *rows]


def learned(rows: Iterable[Row], last: int, now: float = 100.0) -> list[Flake]:
    """What is known when the tests of build `last` have been heard."""
    draft = Draft(rows, now=now, ids=itertools.count(10_000))
    flaking.learn(draft, draft.get(Build, last))
    return draft.all(Flake)


def names(found: Iterable[Flake]) -> list[str]:
    return sorted(each.name for each in found)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_a_failure_and_a_pass_of_one_key_make_a_flake_in_either_order(
    order: tuple[int, int],
) -> None:
    failed, passed = order
    [found] = learned([*ran(failed, "a"), *ran(passed)], last=2)
    assert found.name == "a"
    assert found.proofs == (FlakeProof(failed=failed, passed=passed, at=100.0),)
    assert (found.count, found.rate, found.last_seen) == (1, 0.5, 100.0)
    assert found.first_seen == failed


def test_of_two_failures_those_are_flaky_that_only_one_has() -> None:
    assert names(learned([*ran(1, "a", "b"), *ran(2, "b", "c")], last=2)) == ["a", "c"]


@pytest.mark.parametrize(
    "other",
    [
        ran(2, key="other"),
        ran(2, job="lint"),
        ran(2, project_id=2),
        ran(2, visited_by="ada"),
        ran(2, "b", total=9),
        ran(2, total=0),
        [making.build(2, buildset_id=2, verdict=Verdict.SUCCESS, key="key")],
    ],
    ids=["inputs", "job", "project", "visited", "stopped early", "none", "no results"],
)
def test_what_does_not_refute_a_failure(other: list[Row]) -> None:
    assert "a" not in names(learned([*ran(1, "a"), *other], last=1))


def test_a_list_that_is_not_complete_refutes_nothing() -> None:
    of = making.build(2, buildset_id=2, verdict=Verdict.SUCCESS, key="key")
    rows = [*ran(1, "a"), of, *said(of, (), notices=("more than could be read",))]
    assert learned(rows, last=1) == []


def test_a_visited_build_refutes_nothing_whichever_ends_last() -> None:
    assert learned([*ran(1, "a"), *ran(2, visited_by="ada")], last=2) == []


def test_without_a_key_the_same_state_is_the_same_question() -> None:
    rows = [
        replace(row, key=None, buildset_id=7) if isinstance(row, Build) else row
        for row in [*ran(1, "a"), *ran(2)]
    ]
    assert names(learned(rows, last=2)) == ["a"]


def test_a_test_that_was_run_again_in_its_build_is_its_own_proof() -> None:
    rows = ran(1)
    [summary] = [row for row in rows if isinstance(row, Results)]
    again = Result(suite="", name="a", outcome=Outcome.PASSED, flaky=True)
    [found] = learned([*rows, results.failed_test(summary, again, id=5)], last=1)
    assert found.proofs == (FlakeProof(failed=1, passed=1, at=100.0),)


def test_a_failure_is_refuted_once() -> None:
    rows = [*ran(1, "a"), *ran(2), *ran(3)]
    draft = Draft(rows, now=100.0, ids=itertools.count(10_000))
    for number in (2, 3):
        flaking.learn(draft, draft.get(Build, number))
    [found] = draft.all(Flake)
    assert (found.count, [event.kind for event in draft.events]) == (1, ["test.flaked"])


def test_where_very_many_fail_and_pass_it_is_none_of_theirs() -> None:
    many = [f"t{number}" for number in range(flaking.MOST_AT_ONCE + 1)]
    assert learned([*ran(1, *many, total=50), *ran(2, total=50)], last=2) == []
    assert len(learned([*ran(1, *many[1:], total=50), *ran(2, total=50)], last=2)) == 20


def test_the_rate_falls_with_every_build_in_which_it_does_not_flake() -> None:
    [found] = learned([*ran(1, "a"), *ran(2)], last=2)
    rates = []
    for number in range(3, 13):
        [found] = learned([found, *ran(number, key=f"key {number}")], last=number)
        rates.append(found.rate)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(1 / 12)


def test_what_was_long_ago_weighs_less() -> None:
    [old] = learned([*ran(1, "a"), *ran(2)], last=2)
    later = 100.0 + 3 * flake.HALF_LIFE
    [found] = learned([old, *ran(3, "a"), *ran(4)], last=4, now=later)
    assert found.count == 2
    assert found.rate > 0.5
