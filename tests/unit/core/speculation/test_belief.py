from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.core.speculation import belief
from unit.core.speculation.worlds import World

NOW = 10_000.0


def bad(world: World, *, now: float = NOW) -> list[float]:
    beliefs = belief.infer(world.lattice, now)
    return [beliefs.bad[entry.id] for entry in world.lattice.entries]


def test_an_entry_that_nothing_was_seen_of_is_as_bad_as_it_was_thought_to_be() -> None:
    world = World()
    world.enter(prior=0.07)

    assert bad(world) == [pytest.approx(0.07)]


def test_one_failure_is_more_likely_a_fault_than_a_flake() -> None:
    world = World()
    entry = world.enter()
    world.fail(world.trial(entry), NOW, after=300)

    assert 0.6 < bad(world)[0] < 0.8


def test_two_failures_at_one_place_are_beyond_doubt_when_the_head_is_good() -> None:
    world = World()
    entry = world.enter()
    trial = world.trial(entry)
    world.fail(trial, NOW, after=300)
    world.fail(trial, NOW, after=310)
    head = world.lattice.base("all")
    head.passed = True

    assert bad(world)[0] > 0.99


def test_two_failures_far_apart_leave_more_doubt_than_two_at_one_place() -> None:
    chances = []
    for second in (310, 1500):
        world = World()
        entry = world.enter()
        trial = world.trial(entry)
        world.fail(trial, NOW, after=300)
        world.fail(trial, NOW, after=second)
        chances.append(bad(world)[0])

    assert chances[1] < chances[0]


def test_a_bad_entry_takes_the_blame_for_all_states_that_hold_it() -> None:
    world = World()
    guilty, *behind = [world.enter() for _ in range(6)]
    for place in range(6):
        world.fail(world.trial(guilty, *behind[:place]), NOW, after=300)

    chances = bad(world)
    assert chances[0] > 0.9
    assert max(chances[1:]) < 0.08


def test_a_run_of_another_state_past_the_failure_speaks_for_a_flake() -> None:
    world = World()
    accused, behind = world.enter(), world.enter()
    world.fail(world.trial(accused), NOW - 1000, after=300)
    before = bad(world)[0]
    world.start(world.trial(accused, behind), NOW - 500)

    assert bad(world)[0] < before / 3


def test_a_run_that_has_not_come_to_the_failure_says_nothing_of_it() -> None:
    world = World()
    accused, behind = world.enter(), world.enter()
    world.fail(world.trial(accused), NOW - 1000, after=300)
    before = bad(world)[0]
    world.start(world.trial(accused, behind), NOW - 200)

    assert bad(world)[0] == pytest.approx(before, rel=0.05)


def test_a_run_that_survives_speaks_for_its_entries() -> None:
    world = World()
    entry = world.enter()
    world.start(world.trial(entry), NOW - 1500)

    assert bad(world)[0] < 0.015


def test_a_pass_clears_what_was_in_it_and_nothing_else() -> None:
    world = World()
    first, second, third = world.enter(), world.enter(), world.enter()
    world.succeed(world.trial(first, second), NOW)
    world.fail(world.trial(first, second, third), NOW, after=300)

    chances = bad(world)
    assert max(chances[:2]) < 0.05
    assert chances[2] > 0.6


def test_entries_that_pass_alone_may_still_fail_together() -> None:
    world = World()
    first, second = world.enter(), world.enter()
    world.succeed(world.trial(first), NOW)
    world.succeed(world.trial(second), NOW)
    together = world.trial(first, second)
    for _ in range(3):
        world.fail(together, NOW, after=300)

    assert sum(bad(world)) > 0.9


def test_failures_everywhere_are_the_branch_s() -> None:
    world = World()
    entries = [world.enter() for _ in range(4)]
    for entry in entries:
        world.fail(world.trial(entry), NOW, after=300)
    beliefs = belief.infer(world.lattice, NOW)

    assert beliefs.broken["all"] > 0.9
    assert max(beliefs.bad.values()) < 0.2


def test_a_pass_on_the_head_ends_all_doubt_in_it() -> None:
    world = World()
    for _ in range(3):
        world.fail(world.trial(world.enter()), NOW, after=300)
    world.lattice.base("all").passed = True

    assert belief.infer(world.lattice, NOW).broken["all"] == 0.0


def test_other_jobs_say_nothing_of_one_that_failed() -> None:
    world = World()
    one, other = world.enter("a"), world.enter("b")
    world.fail(world.trial(one, job="a"), NOW, after=300)

    chances = bad(world)
    assert chances[one.id] > 0.6
    assert chances[other.id] == pytest.approx(0.05)


def test_a_failure_without_an_explanation_divides_nothing_by_zero() -> None:
    world = World(flake=0.0)
    entry = world.enter(prior=0.0)
    world.fail(world.trial(entry), NOW, after=0.0)

    assert 0 <= bad(world)[0] <= 1


def test_a_hundred_failures_of_one_trial_stay_numbers() -> None:
    world = World()
    first, second = world.enter(), world.enter()
    for _ in range(400):
        world.fail(world.trial(first, second), NOW, after=0.1)

    assert all(0 <= chance <= 1 for chance in bad(world))


outcomes = st.lists(
    st.tuples(
        st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True),
        st.sampled_from(["fail", "run", "pass"]),
        st.floats(0, 3000),
    ),
    max_size=25,
)


@given(outcomes)
def test_beliefs_are_chances_and_always_the_same(told: list[tuple[list[int], str, float]]) -> None:
    world = World()
    entries = [world.enter() for _ in range(6)]
    for members, what, seconds in told:
        trial = world.trial(*(entries[number] for number in sorted(members)))
        if what == "fail" and not trial.passed:
            world.fail(trial, NOW, after=seconds)
        elif what == "pass":
            world.succeed(trial, NOW)
        elif not trial.runs and not trial.passed:
            world.start(trial, NOW - seconds)

    first, second = (belief.infer(world.lattice, NOW) for _ in range(2))
    assert first == second
    assert all(0 <= chance <= 1 for chance in first.bad.values())
    assert all(0 <= chance <= 1 for chance in first.broken.values())
