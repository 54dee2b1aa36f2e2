import math

import pytest

from cupel.simulate.queueing import measures, oracle, workload
from cupel.simulate.queueing.gate import Fate, Outcome
from cupel.simulate.queueing.workload import Parameters
from unit.simulate_queueing.worlds import STILL, change, landed, line


def test_quantiles_are_values_that_were_seen() -> None:
    ordered = [float(n) for n in range(1, 101)]
    assert measures.quantile(ordered, 0.5) == 50
    assert measures.quantile(ordered, 0.95) == 95
    assert measures.quantile([7.0], 0.99) == 7


def test_a_mean_has_the_interval_of_students_t() -> None:
    found = measures.estimate([1.0, 2.0, 3.0])
    assert found.value == 2
    assert found.high - found.value == pytest.approx(4.303 / math.sqrt(3))
    assert measures.estimate([5.0]) == measures.Estimate(5.0, 5.0, 5.0)


def test_a_ratio_pairs_seeds() -> None:
    found = measures.ratio([2.0, 20.0, 8.0], [1.0, 10.0, 4.0])
    assert found.low == pytest.approx(2.0)
    assert found.high == pytest.approx(2.0)


def test_the_clock_of_a_false_reject_runs_on_and_who_never_lands_waits_to_the_end() -> None:
    fates = [
        Fate(change(0, at=0.0), landed_at=5000.0, false_rejects=1),
        Fate(change(1, at=100.0)),
        Fate(change(2, at=0.0, bad=True), rejected_at=60.0),
    ]
    outcome = Outcome(fates=fates, machine_seconds=7200.0, wasted_seconds=1800.0, builds=4)
    found = measures.figures(outcome, ends_at=10_000.0)
    assert found["p50_s"] == 5000
    assert found["longest_wait_s"] == 9900
    assert found["false_reject_rate"] == 0.5
    assert found["machine_hours_per_landing"] == 2
    assert found["builds_per_landing"] == 4
    assert found["aborted_share"] == 0.25
    assert found["time_to_reject_s"] == 60
    assert found["not_landed"] == 1


def test_every_measure_is_told() -> None:
    found = measures.figures(Outcome(fates=[]), ends_at=1.0)
    assert {*found, "p95_over_oracle"} == set(measures.UNITS)


def test_the_oracle_in_order_runs_the_good_once_and_lands_them_in_turn() -> None:
    changes = [change(0, seconds=7200.0), change(1), change(2, bad=True), change(3, at=60.0)]
    outcome = oracle.in_order(STILL, changes, 1)
    assert landed(outcome) == [120, 120, None, 120]
    assert outcome.builds == 3


def test_the_oracles_runs_wait_for_machines() -> None:
    two = Parameters(machines=2, spread=0.0)
    assert landed(oracle.in_order(two, line(5), 1)) == [30, 30, 60, 60, 90]


def test_no_set_lands_sooner_than_its_own_run_and_its_work() -> None:
    assert landed(oracle.set_bound(STILL, line(2, bad=[1]), 1)) == [30, None]
    scarce = Parameters(machines=2, parts=8, spread=0.0)
    wide = change(0, parts=tuple(range(8)))
    assert landed(oracle.set_bound(scarce, [wide, change(1)], 1)) == [120, 30]


def test_runs_are_as_long_whatever_they_stand_on() -> None:
    lengths = {
        workload.run_seconds(Parameters(), 3, change(5), "part 0", attempt) for attempt in (1, 1, 2)
    }
    assert len(lengths) == 2
    assert all(length < Parameters().longest for length in lengths)
