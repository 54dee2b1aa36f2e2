"""How many machines are kept ready beside those that somebody waits for."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import pytest

from cupel.core import demand
from cupel.core.draft import Draft
from cupel.core.model import Pool
from unit.core.making import build

POOL = Pool(id=1, label="debian-12", ready=1, definition="d")


def draft(*rows: object, now: float = 0.0) -> Draft:
    return Draft(rows, now=now, ids=itertools.count(1000))  # type: ignore[arg-type]


@pytest.mark.parametrize("mean", [0.0, 0.01, 0.06, 0.5, 1.0, 3.0, 10.0, 40.0, 499.0])
def test_so_many_suffice_in_nineteen_of_twenty_cases_and_no_fewer(mean: float) -> None:
    enough = demand.quantile(mean)

    def at_most(number: int) -> float:
        chances = (
            math.exp(each * math.log(mean) - mean - math.lgamma(each + 1)) if mean else each == 0
            for each in range(number + 1)
        )
        return math.fsum(chances)

    assert at_most(enough) >= 0.95 - 1e-9
    assert enough == 0 or at_most(enough - 1) < 0.95


def test_a_great_many_are_counted_by_the_normal_distribution() -> None:
    assert demand.quantile(501.0) == pytest.approx(demand.quantile(500.0), abs=3)


def test_each_build_counts_once_however_often_it_is_seen() -> None:
    there = draft(POOL, build(7), build(8), build(9, label="other"))
    demand.count(there)
    demand.count(there)
    there.put(build(10))
    demand.count(there)
    seen = there.get(Pool, 1)
    assert (seen.arrivals, seen.counted) == (3.0, 10)


def test_what_came_long_ago_counts_less() -> None:
    old = replace(POOL, arrivals=8.0, arrivals_at=0.0, counted=5)
    there = draft(old, build(6), now=demand.FADE)
    demand.count(there)
    assert there.get(Pool, 1).arrivals == pytest.approx(8.0 / math.e + 1.0)


def test_a_steady_rate_is_found_and_predicted() -> None:
    """Two builds a minute and a boot of a minute: two on average, four to be sure of it."""
    chance = random.Random(1)
    pool, now = replace(POOL, boot=60.0), 0.0
    for number in range(1, 400):
        now += chance.expovariate(2 / 60)
        there = draft(pool, build(number, queued_at=now), now=now)
        demand.count(there)
        pool = there.get(Pool, 1)
    assert demand.expected(pool, now) in (4, 5, 6)
    assert demand.expected(replace(pool, boot=0.05), now) == 0
    assert demand.expected(pool, now + 3600.0) == 0


def test_a_pool_that_is_switched_off_predicts_nothing() -> None:
    busy = replace(POOL, arrivals=1000.0, boot=60.0)
    assert demand.target(busy, 0.0) > 100
    assert demand.target(replace(busy, ready=0), 0.0) == 0


def test_the_mean_of_boots_follows_the_newest() -> None:
    there = draft(POOL)
    demand.booted(there, "debian-12", 10.0)
    demand.booted(there, "debian-12", 20.0)
    demand.booted(there, "unknown", 99.0)
    assert there.get(Pool, 1).boot == pytest.approx(13.0)
