"""Whatever the world: what planners may ask for, and what the rules allow."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupel.core.speculation import POLICIES, belief, judge
from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.judge import Rules
from cupel.core.speculation.lattice import Entry, Lattice, State, Trial
from cupel.core.speculation.policy import Plan
from cupel.simulate.queueing.gate import Gate
from cupel.simulate.queueing.workload import Parameters, arrivals


def lattice(*priors: float) -> Lattice:
    """A queue of one job and nothing tried; entry n has the id and the bit 2**n."""
    entries = [Entry(id=n, bit=1 << n, prior=prior) for n, prior in enumerate(priors)]
    made = Lattice(
        root=State(None, None),
        entries=entries,
        trials={},
        make=lambda state: _make(made, state),
        on_head=lambda job: Trial(key="head", job=job, members=0, seconds=100.0, flake=0.02),
    )
    made.root.trials = {}
    made.live = sum(entry.bit for entry in entries)
    return made


def _make(made: Lattice, state: State) -> None:
    trial = made.trials.setdefault(
        state.members,
        Trial(key=state.members, job="tests", members=state.members, seconds=100.0, flake=0.02),
    )
    state.trials = {"tests": trial}


def on(made: Lattice, *ids: int) -> Trial:
    """The trial of the state with these entries."""
    state = made.root
    for number in ids:
        state = made.child(state, made.entries[number])
    assert state.trials is not None
    return state.trials["tests"]


def fail(trial: Trial, *, at: float = 50.0, when: float = 50.0) -> None:
    trial.failed_at.append(at)
    trial.failed_when.append(when)


def bad(made: Lattice, now: float = 100.0) -> dict[int, float]:
    return belief.infer(made, now).bad


def test_a_pass_clears_all_that_are_in_it() -> None:
    made = lattice(0.1, 0.1, 0.1)
    on(made, 0, 1).passed = True
    on(made, 0, 1, 2)
    chances = bad(made)
    assert chances[0] < 0.01
    assert chances[1] < 0.01
    assert chances[2] == pytest.approx(0.1, abs=0.02)


def test_a_failure_is_explained_away_by_a_culprit() -> None:
    made = lattice(0.05, 0.05)
    head = on(made, 0)
    fail(head)
    fail(head, when=100.0)
    alone = bad(made)[1]
    fail(on(made, 0, 1))
    chances = bad(made)
    assert chances[0] > 0.9
    assert chances[1] < 0.3
    assert chances[1] < 5 * max(alone, 0.05)


def test_a_second_failure_convicts_where_the_first_only_accuses() -> None:
    made = lattice(0.05)
    trial = on(made, 0)
    made.base("tests").passed = True
    fail(trial)
    beliefs = belief.infer(made, 100.0)
    assert 0.5 < beliefs.bad[0] < judge.SURE
    assert judge.convicted(made, beliefs, Rules()) == []
    fail(trial, when=100.0)
    guilty = judge.convicted(made, belief.infer(made, 120.0), Rules())
    assert guilty == made.entries


def test_nobody_is_convicted_among_several_that_may_be_to_blame() -> None:
    made = lattice(0.05, 0.05)
    made.base("tests").passed = True
    trial = on(made, 0, 1)
    for when in (50.0, 100.0, 150.0):
        fail(trial, when=when)
    assert judge.convicted(made, belief.infer(made, 200.0), Rules()) == []


def test_the_branch_takes_the_blame_when_it_fails_without_anybody() -> None:
    made = lattice(0.05)
    for when in (50.0, 100.0):
        fail(on(made, 0), when=when)
        fail(made.base("tests"), when=when)
    beliefs = belief.infer(made, 200.0)
    assert beliefs.broken["tests"] > 0.5
    assert judge.convicted(made, beliefs, Rules()) == []


def test_strict_lands_one_and_a_set_all_that_has_passed_with_it() -> None:
    made = lattice(0.05, 0.05, 0.05)
    on(made, 0)
    on(made, 0, 1).passed = True
    beliefs = belief.infer(made, 100.0)
    assert judge.landable(made, beliefs, Rules()) is None
    landed = judge.landable(made, beliefs, Rules(landing_set=True))
    assert landed is not None
    assert [state.entry for state in landed] == made.entries[:2]


def test_what_nobody_accuses_is_not_overtaken() -> None:
    made = lattice(0.5, 0.05)
    on(made, 0)
    on(made, 1).passed = True
    beliefs = belief.infer(made, 100.0)
    assert judge.landable(made, beliefs, Rules()) is None
    fail(on(made, 0))
    assert judge.landable(made, belief.infer(made, 100.0), Rules()) is not None


class Watched(Gate):
    """A gate that looks at every plan before it is carried out."""

    def _carry_out(self, plan: Plan) -> None:
        beliefs = self._beliefs()
        again = self.policy.plan(
            self.lattice,
            beliefs,
            now=self.now,
            machines=self.p.machines,
            landing_set=self.verdicts.landing_set,
        )
        assert [(w.trial.key, w.base) for w in again.wants] == [
            (w.trial.key, w.base) for w in plan.wants
        ]
        assert len(plan.wants) <= self.p.machines
        for want in plan.wants:
            assert not want.trial.passed
            for step in want.state.path():
                assert step.entry is not None
                assert not step.entry.needs & self.lattice.live & ~step.members
        super()._carry_out(plan)

    def _beliefs(self) -> Beliefs:
        return belief.infer(self.lattice, self.now, self._detected)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    machines=st.integers(2, 30),
    rate=st.floats(5, 60),
    bad_share=st.floats(0, 0.3),
    flaky=st.floats(0, 0.1),
    parts=st.integers(1, 5),
    depends=st.floats(0, 0.5),
    landing_set=st.booleans(),
)
def test_plans_are_sound_in_any_world(
    seed: int,
    machines: int,
    rate: float,
    bad_share: float,
    flaky: float,
    parts: int,
    depends: float,
    *,
    landing_set: bool,
) -> None:
    """The same answer to the same question, no more than machines allow, needs held; and nothing
    bad lands, and everything good does."""
    world = Parameters(
        rate=rate,
        hours=1.0,
        machines=machines,
        bad=bad_share,
        flaky=flaky,
        parts=parts,
        depends=depends,
    )
    changes = arrivals(world, seed)
    policy = POLICIES["expected-value"]()
    outcome = Watched(world, changes, policy, Rules(landing_set=landing_set), seed=seed).run()
    assert outcome.finished
    assert outcome.bad_landings == 0
    for fate in outcome.fates:
        assert fate.arrival.bad or fate.landed_at is not None
