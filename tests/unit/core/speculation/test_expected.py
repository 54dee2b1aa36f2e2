from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupel.core.speculation import belief, judge
from cupel.core.speculation.expected import ATTEMPTS, ExpectedValue, Levers
from cupel.core.speculation.judge import Rules
from cupel.core.speculation.lattice import Trial
from cupel.core.speculation.policy import Plan
from unit.core.speculation.worlds import JOB_SECONDS, World

NOW = 10_000.0


def plan(
    world: World, *, machines: int = 50, landing_set: bool = False, levers: Levers | None = None
) -> Plan:
    beliefs = belief.infer(world.lattice, NOW)
    return ExpectedValue(levers).plan(
        world.lattice, beliefs, now=NOW, machines=machines, landing_set=landing_set
    )


def wanted(made: Plan) -> list[Trial]:
    return [want.trial for want in made.wants]


def test_each_is_proved_on_all_ahead_of_it_first_things_first() -> None:
    world = World()
    first, second, third = (world.enter() for _ in range(3))

    assert wanted(plan(world)) == [
        world.trial(first),
        world.trial(first, second),
        world.trial(first, second, third),
    ]


def test_a_job_that_a_change_does_not_touch_is_not_run_again() -> None:
    world = World()
    first, second = world.enter("a"), world.enter("b")

    made = plan(world)

    assert wanted(made) == [world.trial(first, job="a"), world.trial(second, job="b")]


def test_those_behind_a_suspect_are_proved_without_it_and_with_it() -> None:
    world = World()
    suspect, behind = world.enter(), world.enter()
    world.fail(world.trial(suspect), NOW, after=300)

    found = wanted(plan(world))

    assert world.trial(behind) in found
    assert world.trial(suspect, behind) in found
    assert world.trial(suspect) in found


def test_nobody_is_proved_on_what_surely_fails() -> None:
    world = World()
    guilty, behind = world.enter(), world.enter()
    for _ in range(3):
        world.fail(world.trial(guilty), NOW, after=300)
    world.lattice.base("all").passed = True

    made = plan(world)

    assert wanted(made) == [world.trial(behind)]
    assert made.expected[behind.id] is world.state(behind)


def test_a_failure_explained_by_one_ahead_is_not_run_again() -> None:
    world = World()
    guilty, behind = world.enter(), world.enter()
    world.fail(world.trial(guilty), NOW, after=300)
    world.fail(world.trial(guilty), NOW, after=300)
    world.fail(world.trial(guilty, behind), NOW, after=300)

    assert world.trial(guilty, behind) not in wanted(plan(world))


def test_what_needs_a_suspect_waits_for_it() -> None:
    world = World()
    suspect = world.enter()
    behind = world.enter(needs=suspect)
    for _ in range(3):
        world.fail(world.trial(suspect), NOW, after=300)
    world.lattice.base("all").passed = True

    assert behind.id in plan(world).waits


def test_what_runs_and_may_be_needed_goes_on() -> None:
    world = World()
    suspect, behind = world.enter(), world.enter()
    running = world.trial(suspect, behind)
    world.start(running, NOW - 200)
    world.fail(world.trial(suspect), NOW, after=300)

    assert running in wanted(plan(world))


def test_a_batch_is_proved_by_its_last_state_when_machines_are_short() -> None:
    world = World()
    entries = [world.enter(prior=0.01) for _ in range(9)]

    made = plan(world, machines=1, landing_set=True)

    assert wanted(made) == [world.trial(*entries)]


def test_a_batch_that_failed_is_halved() -> None:
    world = World()
    entries = [world.enter(prior=0.05) for _ in range(8)]
    world.fail(world.trial(*entries), NOW, after=300)

    found = wanted(plan(world, machines=1, landing_set=True))

    assert len(found) == 1
    assert 0 < found[0].members.bit_count() < 8


def test_the_head_is_run_when_it_may_be_what_is_broken() -> None:
    world = World()
    for entry in [world.enter() for _ in range(4)]:
        world.fail(world.trial(entry), NOW, after=300)

    made = plan(world)

    assert made.wants[0].base
    assert made.wants[0].trial is world.lattice.base("all")
    assert not any(want.base for want in plan(world, levers=Levers(base_runs=False)).wants)


def test_one_long_under_suspicion_is_proved_behind_those_that_overtake_it() -> None:
    world = World()
    suspect, behind = world.enter(), world.enter()
    world.fail(world.trial(suspect), NOW - JOB_SECONDS, after=300)
    world.start(world.trial(behind), NOW - 60)

    alone, neither = Levers(alternates=0), Levers(alternates=0, tails=False)
    assert world.trial(behind, suspect) in wanted(plan(world, levers=alone))
    assert world.trial(behind, suspect) not in wanted(plan(world, levers=neither))


def test_a_false_alarm_of_a_trial_that_others_may_have_caused_is_not_repeated_forever() -> None:
    world = World()
    first, second = world.enter(prior=0.3), world.enter(prior=0.3)
    together = world.trial(first, second)
    for _ in range(ATTEMPTS):
        world.fail(together, NOW, after=300)

    assert together not in wanted(plan(world))


@pytest.mark.parametrize("landing_set", [False, True])
def test_a_plan_swings_to_nothing_else_when_it_is_carried_out(landing_set: bool) -> None:
    world = World()
    entries = [world.enter() for _ in range(12)]
    world.fail(world.trial(*entries[:3]), NOW - 300, after=300)
    world.fail(world.trial(*entries[:6]), NOW - 300, after=900)
    first = plan(world, machines=10, landing_set=landing_set)
    for want in first.wants:
        if not want.trial.runs:
            world.start(want.trial, NOW)

    again = plan(world, machines=10, landing_set=landing_set)

    assert {id(trial) for trial in wanted(first)} <= {id(trial) for trial in wanted(again)}


def test_only_what_failed_on_the_branch_itself_is_convicted() -> None:
    world = World()
    first, second = world.enter(), world.enter(prior=0.9)
    for _ in range(4):
        world.fail(world.trial(first, second), NOW, after=300)
    world.start(world.trial(first), NOW - 1790)
    world.lattice.base("all").passed = True

    beliefs = belief.infer(world.lattice, NOW)
    assert beliefs.bad[second.id] > judge.SURE
    assert judge.convicted(world.lattice, beliefs, Rules()) == []

    world.lattice.landed, world.lattice.live = first.bit, second.bit
    world.lattice.entries.remove(first)
    beliefs = belief.infer(world.lattice, NOW)
    assert judge.convicted(world.lattice, beliefs, Rules()) == [second]


steps = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from(["fail", "pass", "go on"]), st.floats(1, 2500)),
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(
    steps,
    st.lists(st.booleans(), min_size=1, max_size=9),
    st.integers(1, 12),
    st.booleans(),
)
def test_plans_keep_to_the_rules_whatever_has_been_seen(
    told: list[tuple[int, str, float]], needing: list[bool], machines: int, landing_set: bool
) -> None:
    world = World()
    for number, needs in enumerate(needing):
        below = world.lattice.entries[-1] if needs and number else None
        world.enter("all", *([f"part {number % 2}"] if number % 3 else []), needs=below)
    made = plan(world, machines=machines, landing_set=landing_set)
    for number, what, seconds in told:
        _keeps_to_the_rules(world, made, machines)
        if not made.wants:
            break
        trial = made.wants[number % len(made.wants)].trial
        if what == "fail":
            world.fail(trial, NOW, after=seconds)
        elif what == "pass":
            world.succeed(trial, NOW)
        elif not trial.runs:
            world.start(trial, NOW - seconds)
        made = plan(world, machines=machines, landing_set=landing_set)
        again = plan(world, machines=machines, landing_set=landing_set)
        assert made.wants == again.wants
        assert made.states == again.states


def _keeps_to_the_rules(world: World, made: Plan, machines: int) -> None:
    assert len(made.wants) <= machines
    assert max(Counter(map(id, wanted(made))).values(), default=1) == 1
    assert not any(trial.passed for trial in wanted(made))
    listed = {id(state) for state in made.states}
    for state in made.states:
        assert all(id(step) in listed for step in state.path())
        assert state.entry is not None
        assert not state.entry.needs & ~state.members
    for want in made.wants:
        assert want.base or id(want.state) in listed


def test_a_deep_queue_is_planned_in_no_time() -> None:
    world = World()
    entries = [world.enter() for _ in range(300)]
    for place in range(0, 300, 2):
        world.start(world.trial(*entries[: place + 1]), NOW - 1800 + 6 * place)
    for place in (20, 60, 61, 62, 150, 151):
        world.fail(world.trial(*entries[: place + 1]), NOW, after=300 + place)
    plan(world, machines=300)

    began = time.process_time()
    plan(world, machines=300)

    assert time.process_time() - began < 0.5
