import dataclasses

from cupel.simulate.queueing import workload
from cupel.simulate.queueing.workload import Parameters
from unit.simulate_queueing.worlds import STILL, change, gate, landed, line, play


def test_the_same_seed_is_the_same_world() -> None:
    world = Parameters(hours=1.0)
    changes = workload.arrivals(world, 7)
    first, second = (play("zuul-20+", changes, parameters=world, seed=7) for _ in range(2))
    assert [f.landed_at for f in first.fates] == [f.landed_at for f in second.fates]
    assert first.machine_seconds == second.machine_seconds
    assert changes != workload.arrivals(world, 8)


def test_machines_are_never_more_than_there_are() -> None:
    few = dataclasses.replace(STILL, machines=3)
    for policy in ("expected-value", "optimistic", "submitqueue-2019+", "github-100"):
        assert max(busy for _, busy in play(policy, line(9, bad=[2]), parameters=few).busy) <= 3


def test_a_falsely_rejected_change_comes_back_after_an_hour() -> None:
    flaky = dataclasses.replace(STILL, flaky=1.0)
    world = gate("serial", line(1), parameters=flaky)
    world.limit = 2.2 * 3600
    fate = world.run().fates[0]
    # It fails at 30 minutes, and again at 2 hours.
    assert fate.false_rejects == 2
    assert fate.landed_at is None


def test_two_that_clash_fail_together_and_land_apart() -> None:
    clashing = dataclasses.replace(STILL, clash=1.0)
    outcome = play("zuul-unlimited", line(2), parameters=clashing)
    assert landed(outcome) == [30, None]
    assert outcome.fates[1].rejected_at == 30 * 60
    assert not outcome.fates[1].false_rejects
    assert not outcome.bad_landings


def test_a_job_that_a_change_does_not_touch_is_not_run_again() -> None:
    # 1 is behind 0, which is bad, but shares no part with it.
    changes = [change(0, bad=True), change(1, parts=(1,))]
    outcome = play("zuul-unlimited", changes)
    assert landed(outcome) == [None, 30]
    assert outcome.builds == 2


def test_machines_boot_before_each_run() -> None:
    slow = dataclasses.replace(STILL, boot=120.0)
    assert landed(play("serial", line(2), parameters=slow)) == [32, 64]


def test_flakes_are_commoner_in_a_storm() -> None:
    calm = Parameters(flaky=0.0, hours=3.0)
    storm = dataclasses.replace(calm, storm=0.8, storm_from=0.0, storm_hours=3.0)
    changes = workload.arrivals(calm, 1)
    assert not sum(f.false_rejects for f in play("zuul-20", changes, parameters=calm).fates)
    assert sum(f.false_rejects for f in play("zuul-20", changes, parameters=storm).fates) > 3


def test_a_predictor_tells_bad_changes_from_good_ones() -> None:
    told = workload.arrivals(Parameters(rate=2000.0, predictor=0.97), 1)
    useless = workload.arrivals(Parameters(predictor=0.5), 1)
    bad = [c.prior for c in told if c.bad]
    good = [c.prior for c in told if not c.bad]
    right = sum(b > g for b in bad for g in good) / (len(bad) * len(good))
    assert 0.95 < right < 0.99
    assert {c.prior for c in useless} == {0.05}


def test_bursts_and_dependencies() -> None:
    changes = workload.arrivals(Parameters(burst=5, depends=0.5, rate=200.0), 1)
    assert len({c.at for c in changes}) == len(changes) // 5
    assert 0.4 < sum(c.needs is not None for c in changes) / len(changes) < 0.6
