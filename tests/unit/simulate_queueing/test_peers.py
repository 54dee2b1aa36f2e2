"""Each published algorithm does what its source says, on cases made by hand.

Runs take 30 minutes.
"""

import dataclasses

import pytest

from cupel.core.speculation import belief
from cupel.core.speculation.lattice import Entry, Lattice, State, Trial
from cupel.simulate.queueing import contestants
from cupel.simulate.queueing.peers import submitqueue
from cupel.simulate.queueing.peers.bors import Bors
from cupel.simulate.queueing.peers.zuul import Zuul
from unit.simulate_queueing.worlds import STILL, change, gate, landed, line, play

NOTHING = belief.Beliefs(bad={}, broken={}, cleared={})


@pytest.mark.parametrize("policy", [*contestants.OWN, *contestants.PEERS])
@pytest.mark.parametrize("landing_set", [False, True])
def test_each_lands_the_good_and_rejects_the_bad(policy: str, landing_set: bool) -> None:
    outcome = play(policy, line(6, bad=[1, 4], apart=60.0), landing_set=landing_set)
    assert [f.landed_at is not None for f in outcome.fates] == [
        True,
        False,
        True,
        True,
        False,
        True,
    ]
    assert [f.rejected_at is not None for f in outcome.fates] == [
        False,
        True,
        False,
        False,
        True,
        False,
    ]
    assert not outcome.bad_landings
    assert sum(f.false_rejects for f in outcome.fates) == 0


def test_serial_runs_one_change_at_a_time() -> None:
    outcome = play("serial", line(3))
    assert landed(outcome) == [30, 60, 90]
    assert max(busy for _, busy in outcome.busy) == 1


def test_zuul_runs_all_at_once_and_starts_those_behind_a_failure_again() -> None:
    assert landed(play("zuul-unlimited", line(3))) == [30, 30, 30]
    # As published a failure is known at the end of the run, and with + when it shows: at 3 minutes.
    assert landed(play("zuul-unlimited", line(3, bad=[0]))) == [None, 60, 60]
    assert landed(play("zuul-unlimited+", line(3, bad=[0]))) == [None, 36, 36]


def test_a_retry_doubles_the_time_to_believe_a_failure() -> None:
    found = [
        play(f"zuul-unlimited{more}", line(1, bad=[0])).fates[0] for more in ("", "-retry", "+")
    ]
    assert [round((f.rejected_at or 0) / 60) for f in found] == [30, 60, 6]


def test_zuuls_window_grows_by_one_and_halves_down_to_three() -> None:
    zuul = Zuul(reruns=0)
    lattice = _lattice(30)
    _plan(zuul, lattice)
    assert zuul.window == 20
    _leave(lattice, lands=True)
    _plan(zuul, lattice)
    assert zuul.window == 21
    for width in (10, 5, 3, 3):
        _leave(lattice, lands=False)
        _plan(zuul, lattice)
        assert zuul.window == width
    assert len(_plan(zuul, lattice)) == 3


def test_bors_tries_what_waits_together_and_halves_a_failed_batch() -> None:
    assert landed(play("bors", line(4))) == [30, 30, 30, 30]
    # 0-3 fail, 0-1 land, 2-3 fail, 2 lands, 3 fails.
    outcome = play("bors", line(4, bad=[3]))
    assert landed(outcome) == [60, 60, 120, None]
    assert outcome.fates[3].rejected_at == 150 * 60
    assert outcome.builds == 5


def test_bors_takes_no_more_than_its_size_and_one_batch_at_a_time() -> None:
    outcome = play("bors-8", line(10))
    assert landed(outcome) == [30] * 8 + [60] * 2
    assert max(busy for _, busy in outcome.busy) == 1


def test_bors_leaves_what_came_meanwhile_to_the_next_batch() -> None:
    bors = Bors(size=None, reruns=0)
    lattice = _lattice(2)
    assert [t.members for t in _plan(bors, lattice)] == [0b11]
    _add(lattice)
    assert [t.members for t in _plan(bors, lattice)] == [0b11]


def test_github_builds_so_many_groups_at_a_time() -> None:
    assert landed(play("github", line(7))) == [30] * 5 + [60] * 2
    assert landed(play("github-100", line(7))) == [30] * 7


def test_github_goes_on_with_a_failed_group_until_it_is_removed() -> None:
    # 1 fails at 3 minutes; 0, ahead of it, came later to its end: only then is 1 removed.
    changes = [change(0), change(1, bad=True), change(2)]
    assert landed(play("github-100+", changes)) == [30, None, 60]
    assert landed(play("zuul-unlimited+", changes)) == [30, None, 36]


def test_github_head_green_lands_what_the_last_of_a_group_proves() -> None:
    one = dataclasses.replace(STILL, machines=1)
    strict = play("github", line(2), parameters=one)
    assert landed(strict) == [30, 60]
    world = gate("github-headgreen", line(3))
    world.flake = 0.0
    assert landed(world.run()) == [30, 30, 30]


def test_github_head_green_waits_for_the_group_before_it_rejects() -> None:
    changes = [change(0, bad=True), change(1, at=600.0)]
    outcome = play("github-headgreen", changes)
    assert outcome.fates[0].rejected_at == 40 * 60
    assert play("github", changes).fates[0].rejected_at == 30 * 60


def test_submitqueue_prefers_the_likelier_outcome_of_those_ahead() -> None:
    """With two machines, the second build assumes what its forerunner's chance says."""
    for prior, members in ((0.1, 0b11), (0.9, 0b10)):
        lattice = _lattice(2, prior=prior)
        wanted = _plan(submitqueue.SubmitQueue(threshold=0.0, reruns=0), lattice, machines=2)
        assert [t.members for t in wanted] == [0b01, members]


def test_submitqueue_builds_both_outcomes_where_machines_are_there() -> None:
    lattice = _lattice(2, prior=0.2)
    wanted = _plan(submitqueue.SubmitQueue(threshold=0.0, reruns=0), lattice, machines=9)
    assert [t.members for t in wanted] == [0b01, 0b11, 0b10]
    wanted = _plan(submitqueue.SubmitQueue(threshold=0.5, reruns=0), lattice, machines=9)
    assert [t.members for t in wanted] == [0b01, 0b11]


def test_submitqueue_loses_no_time_where_both_outcomes_were_built() -> None:
    # 0 is bad: 1 has run without it from the beginning.
    assert landed(play("submitqueue-2019", line(2, bad=[0]))) == [None, 30]


def test_submitqueue_preempts_what_has_lost_its_value() -> None:
    lattice = _lattice(2, prior=0.05)
    policy = submitqueue.SubmitQueue(threshold=0.0, reruns=0)
    first, both = _plan(policy, lattice, machines=2)
    first.failed_at.append(60.0)
    wanted = _plan(policy, lattice, machines=1)
    assert both not in wanted
    assert [t.members for t in wanted] == [0b10]


def test_submitqueue_lands_independent_changes_in_any_order() -> None:
    changes = [change(0, parts=(0,), seconds=7200.0), change(1, parts=(1,))]
    for policy in ("submitqueue-2019", "submitqueue-2025"):
        assert landed(play(policy, changes)) == [120, 30]
    assert landed(play("zuul-unlimited", changes)) == [120, 120]


def test_submitqueue_2025_bypasses_a_large_change_that_makes_no_difference() -> None:
    # In this world a state takes as long as its last change.
    changes = [change(0, seconds=7200.0, prior=0.3), change(1, prior=0.3)]
    assert landed(play("submitqueue-2019", changes)) == [120, 120]
    assert landed(play("submitqueue-2025", changes))[1] == 30


def test_submitqueue_finds_what_changes_conflict() -> None:
    lattice = _lattice(0)
    for parts in (("a",), ("b",), ("c",), ("a", "b")):
        _add(lattice, jobs=parts)
    found = [
        [e.id for e in group] for group in submitqueue.SubmitQueue(reruns=0).components(lattice)
    ]
    assert sorted(found) == [[0, 1, 3], [2]]


def test_submitqueue_suspects_the_change_of_a_failed_build_and_clears_what_passed() -> None:
    lattice = _lattice(3, prior=0.1)
    policy = submitqueue.SubmitQueue(reruns=0)
    _, two, three, *_ = _plan(policy, lattice, machines=3)
    two.failed_at.append(60.0)
    three.failed_at.append(60.0)
    found = policy.chances(lattice)
    assert found[0] == 0.1
    assert found[1] > 0.8
    assert 0.1 <= found[2] < 0.12
    three.passed = True
    assert max(policy.chances(lattice).values()) < 0.05


def test_what_needs_a_rejected_change_leaves_and_comes_back() -> None:
    changes = [change(0, bad=True), change(1, needs=0)]
    for policy in ("bors", "github", "submitqueue-2019", "zuul-20"):
        outcome = play(policy, changes)
        assert outcome.fates[1].landed_at is not None
        assert outcome.fates[1].landed_at >= 3600
        assert outcome.fates[1].false_rejects == 0


def _lattice(count: int, *, prior: float = 0.05) -> Lattice:
    def make(state: State) -> None:
        assert state.parent is not None
        assert state.entry is not None
        trials = dict(state.parent.trials or {})
        for job in jobs[state.entry.id]:
            members = state.entry.bit | (trials[job].members if job in trials else 0)
            key = (job, members)
            known = lattice.trials.get(key)
            trials[job] = known or Trial(key=key, job=job, members=members, seconds=60, flake=0.02)
            lattice.trials[key] = trials[job]
        state.trials = trials

    def on_head(job: str) -> Trial:
        return Trial(key=job, job=job, members=0, seconds=60.0, flake=0.02)

    jobs: dict[int, tuple[str, ...]] = {}
    root = State(None, None)
    root.trials = {}
    root.tag = jobs
    lattice = Lattice(root=root, entries=[], trials={}, make=make, on_head=on_head)
    for _ in range(count):
        _add(lattice, prior=prior)
    return lattice


def _add(lattice: Lattice, *, prior: float = 0.05, jobs: tuple[str, ...] = ("job",)) -> None:
    known = lattice.root.tag
    assert isinstance(known, dict)
    number = len(known)
    known[number] = jobs
    lattice.entries.append(Entry(id=number, bit=1 << number, prior=prior))
    lattice.live |= 1 << number


def _leave(lattice: Lattice, *, lands: bool) -> None:
    """The first entry goes; its states stay, which no window looks at."""
    entry = lattice.entries.pop(0)
    lattice.live &= ~entry.bit
    if lands:
        lattice.landed |= entry.bit


def _plan(policy: object, lattice: Lattice, *, machines: int = 50) -> list[Trial]:
    plan = policy.plan(lattice, NOTHING, now=0.0, machines=machines, landing_set=False)  # type: ignore[attr-defined]
    return [want.trial for want in plan.wants]
