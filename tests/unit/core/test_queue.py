"""What the gate lands, rejects, proves and says, from the rows alone."""

from __future__ import annotations

import pytest

from cupel.core import events, plan
from cupel.core.model import (
    Branch,
    Build,
    Buildset,
    Change,
    ItemState,
    Job,
    Landing,
    Pipeline,
    Purpose,
    Queue,
    Reason,
    Role,
    Verdict,
)
from cupel.core.proving import BASE_AGAIN
from unit.core.gating import Gate
from unit.core.making import job


def own_part(definition: Job, held: tuple[int, ...]) -> str | None:
    """`own` looks at nothing but the last change; everything else at all of them."""
    return f"own {held[-1:]}" if definition.name == "own" else f"{definition.name} {held}"


# In turn.


def convict(gate: Gate, number: int) -> None:
    """Everything that holds the change fails, and the head passes, until that is believed."""
    while gate.item(number).state is ItemState.LIVE:
        gate.all_fail(number)
        if gate.item(number).state is ItemState.LIVE and ("tests", ()) in gate.going():
            gate.passes()


def test_changes_are_proved_on_those_ahead_and_land_in_turn() -> None:
    gate = Gate()
    gate.enter(1, 2, 3)
    assert set(gate.going()) == {("tests", (1,)), ("tests", (1, 2)), ("tests", (1, 2, 3))}
    gate.passes(1, 2)
    assert gate.landing() is None
    assert gate.wait(2) == "proved; waits for #1 ahead of it"
    gate.passes(1)
    assert gate.land() == [1]
    assert gate.land() == [2]
    assert [gate.change(each).landed_commit is not None for each in (1, 2, 3)] == [
        True,
        True,
        False,
    ]


def test_the_first_of_a_queue_lands_strictly_only_with_its_own_pass() -> None:
    gate = Gate()
    gate.enter(1, 2)
    gate.passes(1, 2)
    assert gate.item(1).state is ItemState.LIVE
    assert gate.landing() is None


def test_a_pass_of_a_set_lands_all_beneath_it_in_their_order() -> None:
    gate = Gate(landing=Landing.SET)
    gate.enter(1, 2, 3)
    gate.passes(1, 2, 3)
    action = gate.landing()
    assert action is not None
    commits = [(state.onto, state.commit) for _, _, state in action.steps]
    assert commits[0][0] == "head"
    assert [onto for onto, _ in commits[1:]] == [commit for _, commit in commits[:-1]]
    assert gate.land() == [1, 2, 3]
    assert [item.commit for item in gate.items(pipeline=Pipeline.POST)] == [commits[-1][1]]


def test_a_refused_landing_of_a_set_is_proved_again_where_the_branch_is() -> None:
    gate = Gate(landing=Landing.SET, keys=lambda _, held: None)
    gate.enter(1, 2)
    gate.passes(1, 2)
    action = gate.landing()
    assert action is not None
    items = tuple(item.id for _, item, _ in action.steps)
    gate.holds["elsewhere"] = ()
    gate.hear(events.LandingRefused(item_ids=items, head="elsewhere"))
    gate.settle()
    assert gate.landing() is None
    assert {gate.item(each).lands_with for each in (1, 2)} == {None}
    assert gate.draft().get(Buildset, gate.item(1).buildset_id).onto == "elsewhere"
    gate.passes(1, 2)
    assert gate.land() == [1, 2]


def test_what_is_known_to_pass_where_the_branch_is_lands_without_another_run() -> None:
    gate = Gate()
    gate.enter(1)
    gate.passes(1)
    gate.holds["elsewhere"] = ()
    gate.hear(events.LandingRefused(item_ids=(gate.item(1).id,), head="elsewhere"))
    gate.settle()
    action = gate.landing()
    assert action is not None
    assert action.steps[0][2].onto == "elsewhere"


# Failures.


def test_a_failure_is_run_again_and_on_the_head_before_anybody_is_blamed() -> None:
    gate = Gate()
    gate.enter(1)
    gate.all_fail(1)
    assert gate.item(1).state is ItemState.LIVE
    assert gate.wait(1) == "job tests failed; it is run again to see whose fault that is"
    assert set(gate.going()) == {("tests", (1,)), ("tests", ())}
    gate.all_fail(1)
    convict(gate, 1)
    left = gate.item(1)
    assert (left.state, left.reason) == (ItemState.REJECTED, Reason.BUILD_FAILED)
    assert left.detail == (
        "job tests failed; it failed again when it was run again, and fares well without the change"
    )
    assert not gate.change(1).wants_land
    purposes = {build.purpose for build in gate.builds() if build.verdict is Verdict.FAILURE}
    assert purposes == {Purpose.FIRST, Purpose.RERUN}


def test_a_flake_costs_nobody_its_place() -> None:
    gate = Gate()
    gate.enter(1)
    gate.fails(1)
    gate.passes(1)
    assert gate.land() == [1]
    assert gate.going() == {}


def test_a_failed_job_names_what_failed_and_not_the_flake_of_another() -> None:
    gate = Gate(job("tests"), job("lint"))
    gate.enter(1)
    gate.all_fail(1)
    gate.fails(1, name="lint")
    gate.passes(1, name="lint")
    gate.all_fail(1)
    gate.passes()
    gate.all_fail(1)
    assert (gate.item(1).detail or "").startswith("job tests failed")


def test_what_failed_in_a_state_that_was_given_up_is_named() -> None:
    """States that were given up are not looked at, but for what failed in them."""
    gate = Gate(job("own"), keys=own_part)
    gate.enter(1, 2)
    gate.passes(1, 2, name="own")
    gate.fails(1, name="own")
    gate.fails(1, name="own")
    assert gate.land() == [2]
    gate.forget_given_up()
    gate.passes(2, name="own")
    left = gate.item(1)
    assert left.state is ItemState.REJECTED
    assert (left.detail or "").startswith("job own failed; it failed again when it was run again")


def test_those_behind_a_suspect_overtake_it() -> None:
    gate = Gate()
    gate.enter(1, 2)
    gate.all_fail(1)
    assert ("tests", (2,)) in gate.going()
    gate.passes(2)
    assert gate.item(1).state is ItemState.LIVE
    assert gate.land() == [2]


def test_what_needs_a_rejected_change_leaves_untested() -> None:
    gate = Gate()
    gate.enter(1)
    gate.enter(2, needs=(1,))
    convict(gate, 1)
    assert gate.item(1).state is ItemState.REJECTED
    assert (gate.item(2).state, gate.item(2).reason) == (ItemState.REMOVED, Reason.NEEDS_LEFT)


def test_a_job_that_never_began_says_why() -> None:
    gate = Gate(job("tests"), job("package", needs=("tests",)))
    gate.enter(1)
    convict(gate, 1)
    [skipped] = [build for build in gate.builds() if build.verdict is Verdict.SKIPPED]
    assert (skipped.job, skipped.reason) == ("package", "needs tests, which failed")


# What no rerun changes.


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [(Verdict.TIMEOUT, Reason.TIMED_OUT), (Verdict.INFRA, Reason.INFRASTRUCTURE)],
)
def test_what_is_lost_too_often_is_refused_and_nobody_is_blamed(
    verdict: Verdict, reason: Reason
) -> None:
    gate = Gate()
    gate.enter(1)
    for _ in range(3):
        gate.now += 60.0
        gate.going()
        gate.now += 60.0
        gate.end((1,), verdict)
    assert (gate.item(1).state, gate.item(1).reason) == (ItemState.REJECTED, reason)


def test_a_conflict_with_the_head_is_refused() -> None:
    gate = Gate(conflicts=[(1,)])
    gate.enter(1)
    left = gate.item(1)
    assert (left.reason, left.detail) == (Reason.CONFLICT, "conflicts in a.py")


def test_a_conflict_with_one_ahead_waits_for_what_becomes_of_that() -> None:
    gate = Gate(conflicts=[(1, 2)])
    gate.enter(1, 2)
    assert gate.item(2).state is ItemState.LIVE
    gate.passes(1)
    gate.land()
    assert gate.item(2).reason is Reason.CONFLICT


# The branch itself.


def broken_branch(**rules: object) -> Gate:
    gate = Gate(**rules)
    gate.enter(1)
    for _ in range(2):
        gate.all_fail(1)
        gate.fails()
    gate.settle()
    return gate


def test_nobody_is_blamed_for_a_broken_branch() -> None:
    gate = broken_branch()
    assert gate.item(1).state is ItemState.LIVE
    assert gate.wait(1) == "the branch itself is broken: tests fails on it without any change"
    assert gate.going() == {}


@pytest.mark.parametrize("planner", ["expected-value", "optimistic"])
def test_one_failure_on_the_branch_itself_is_run_again(planner: str) -> None:
    gate = Gate(planner=planner)
    gate.enter(1)
    gate.all_fail(1)
    gate.fails()
    gate.all_fail(1)
    assert ("tests", ()) in gate.going()


@pytest.mark.parametrize("planner", ["expected-value", "optimistic"])
def test_a_broken_branch_is_tried_again_after_a_while(planner: str) -> None:
    gate = broken_branch(planner=planner)
    gate.now += BASE_AGAIN
    assert set(gate.going()) == {("tests", ())}


def test_once_the_branch_is_well_again_its_failures_are_forgotten() -> None:
    gate = broken_branch()
    gate.now += BASE_AGAIN
    gate.passes()
    assert gate.item(1).state is ItemState.LIVE
    gate.passes(1)
    assert gate.land() == [1]


def test_a_set_that_mends_a_broken_branch_lands() -> None:
    gate = broken_branch(landing=Landing.SET)
    gate.enter(2)
    gate.passes(2)
    assert gate.land() == [2]


def test_a_change_that_fails_on_a_branch_that_is_well_again_is_rejected() -> None:
    gate = broken_branch()
    gate.now += BASE_AGAIN
    gate.passes()
    for _ in range(4):
        gate.all_fail(1)
        if ("tests", ()) in gate.going():
            gate.passes()
    assert gate.item(1).reason is Reason.BUILD_FAILED


@pytest.mark.parametrize("planner", ["expected-value", "optimistic"])
def test_on_a_branch_without_a_commit_a_failure_is_the_changes_own(planner: str) -> None:
    gate = Gate(head=None, planner=planner)
    gate.enter(1)
    gate.all_fail(1)
    assert gate.item(1).state is ItemState.LIVE
    for _ in range(3):
        gate.all_fail(1)
    assert gate.item(1).reason is Reason.BUILD_FAILED


def test_the_head_is_proved_as_it_stands() -> None:
    gate = Gate()
    gate.enter(1)
    gate.all_fail(1)
    [base] = [each for each in gate.draft().all(Buildset) if each.role is Role.BASE]
    assert (base.onto, base.commit) == ("head", "head")
    assert gate.item(1).buildset_id != base.id


# Work that several states share.


def test_a_job_is_run_once_for_all_states_in_which_it_sees_the_same() -> None:
    gate = Gate(job("tests"), job("own"), keys=own_part)
    gate.enter(1, 2)
    gate.all_fail(1)
    ran = [held for name, held in gate.going() if name == "own"]
    assert sorted(ran) == [(1,), (1, 2)]
    assert ("tests", (2,)) in gate.going()


def test_what_runs_on_a_state_that_will_not_come_goes_on_if_it_proves_another() -> None:
    gate = Gate(job("tests"), job("own"), keys=own_part)
    gate.enter(1, 2)
    before = gate.going()["own", (1, 2)]
    gate.hear(events.Abandoned(change_id=1, user="ada"))
    gate.settle()
    assert gate.going()["own", (1, 2)] == before
    assert ("own", (2,)) not in gate.going()
    gate.passes(1, 2, name="own")
    gate.passes(2)
    assert gate.land() == [2]
    [reused] = [build for build in gate.builds() if build.reused_from is not None]
    assert reused.job == "own"


def test_what_may_prove_a_state_that_waits_for_the_one_beneath_it_goes_on() -> None:
    gate = Gate(job("tests"), job("own"), keys=own_part)
    gate.enter(1, 2, 3)
    before = gate.going()["own", (1, 2, 3)]
    gate.hear(events.Abandoned(change_id=1, user="ada"))
    gate.settle()
    assert gate.going()["own", (1, 2, 3)] == before
    assert ("own", (2, 3)) not in gate.going()


def test_what_nothing_waits_for_is_stopped() -> None:
    gate = Gate()
    gate.enter(1, 2)
    gate.hear(events.Abandoned(change_id=1, user="ada"))
    gate.settle()
    stopped = [build for build in gate.builds() if build.verdict is Verdict.CANCELLED]
    assert {gate.held(build) for build in stopped} == {(1,), (1, 2)}
    assert set(gate.going()) == {("tests", (2,))}


# Bundles.


def circle(**rules: object) -> Gate:
    gate = Gate(cycles=True, **rules)
    for number, other in ((1, 2), (2, 1)):
        gate.push_only(number, project_id=number, needs=(other,))
    gate.settle()
    return gate


def test_what_needs_each_other_is_proved_together_and_lands_as_one() -> None:
    gate = circle()
    proved = {build.project_id for build in gate.builds()}
    assert proved == {1, 2}
    for project_id in (1, 2):
        states = [_beside(gate, build) for build in gate.builds() if build.project_id == project_id]
        assert states == [{3 - project_id}]
    for machine in gate.going().values():
        gate.finish(machine)
    gate.settle()
    assert sorted(gate.land()) == [1, 2]
    heads = {branch.project_id: gate.holds[branch.head] for branch in gate.draft().all(Branch)}
    assert heads == {1: (1,), 2: (2,)}


def _beside(gate: Gate, build: Build) -> set[int]:
    state = gate.draft().get(Buildset, build.buildset_id)
    return {number for _, commit in state.beside for number in gate.holds[commit]}


def test_of_a_bundle_all_leave_when_one_fails() -> None:
    gate = circle()
    for _ in range(2):
        gate.all_fail(1)
    gate.settle()
    for (_, held), machine in gate.going().items():
        if not held:
            gate.finish(machine)
    gate.settle()
    assert {gate.item(each).state for each in (1, 2)} == {ItemState.REJECTED}


def test_a_circle_leaves_when_circles_are_not_allowed_any_more() -> None:
    gate = circle()
    gate.rule(cycles=False)
    gate.settle()
    assert {gate.item(each).reason for each in (1, 2)} <= {Reason.CYCLE, Reason.NEEDS_LEFT}
    assert Reason.CYCLE in {gate.item(each).reason for each in (1, 2)}


# The rules of a queue.


def test_a_window_holds_back_those_beyond_it() -> None:
    gate = Gate(window=1, window_floor=1, window_ceiling=2)
    gate.enter(1, 2)
    assert set(gate.going()) == {("tests", (1,))}
    assert gate.wait(2) == "waits for the window: 1 change is under way at a time"
    gate.passes(1)
    gate.land()
    assert gate.draft().get(Queue, 3).window == 2


def test_a_rejection_halves_the_window_down_to_its_floor() -> None:
    gate = Gate(window=5, window_floor=2)
    gate.enter(1)
    convict(gate, 1)
    assert gate.item(1).state is ItemState.REJECTED
    assert gate.draft().get(Queue, 3).window == 2
    gate.enter(2)
    gate.all_fail(2)
    gate.all_fail(2)
    assert gate.item(2).state is ItemState.REJECTED
    assert gate.draft().get(Queue, 3).window == 2


def test_nothing_lands_while_the_tree_is_closed() -> None:
    gate = Gate(closed="release 2.0")
    gate.enter(1)
    gate.passes(1)
    assert gate.landing() is None
    assert gate.wait(1) == "proved; the tree is closed: release 2.0"
    gate.rule(closed=None)
    gate.settle()
    assert gate.land() == [1]


def test_a_closed_tree_still_rejects() -> None:
    gate = Gate(closed="release 2.0")
    gate.enter(1)
    convict(gate, 1)
    assert gate.item(1).state is ItemState.REJECTED


def test_the_simple_planner_reruns_once_and_keeps_the_order() -> None:
    gate = Gate(planner="optimistic")
    gate.enter(1, 2)
    gate.fails(1)
    assert set(gate.going()) >= {("tests", (1,)), ("tests", (1, 2))}
    gate.fails(1)
    assert gate.item(1).state is ItemState.REJECTED
    gate.passes(2)
    assert gate.land() == [2]


def test_jobs_that_do_not_vote_run_beside_and_hold_nothing_up() -> None:
    gate = Gate(job("tests"), job("style", voting=False))
    gate.enter(1)
    assert set(gate.going()) == {("tests", (1,)), ("style", (1,))}
    gate.fails(1, name="style")
    gate.passes(1)
    assert gate.land() == [1]


def test_an_approval_that_is_withdrawn_takes_the_change_out() -> None:
    gate = Gate()
    gate.enter(1)
    gate.hear(events.ApprovalWithdrawn(change_id=1, user="bob"))
    gate.settle()
    assert gate.item(1).reason is Reason.UNAPPROVED
    assert gate.draft().get(Change, 1).wants_land is False


def test_what_waits_for_a_machine_says_so() -> None:
    gate = Gate(slots=1)
    gate.enter(1, 2)
    gate.going()
    assert gate.wait(1) is None
    assert gate.wait(2) == "waits for a machine"


def test_what_stands_so_far_back_that_nothing_is_planned_for_it_says_so() -> None:
    gate = Gate(slots=1)
    gate.enter(*range(1, 70))
    gate.going()
    assert gate.wait(69) == "stands so far back that nothing is planned for it yet"


def test_what_may_not_be_needed_waits_for_the_rerun_that_decides_it() -> None:
    gate = Gate(slots=2)
    gate.enter(*range(1, 7))
    gate.fails(1)
    assert gate.wait(6) == "waits for the rerun of #1's job tests"


def test_what_is_proved_behind_a_failure_waits_for_its_rerun() -> None:
    gate = Gate(planner="optimistic")
    gate.enter(1, 2, 3)
    gate.passes(1, 2)
    gate.fails(1)
    assert gate.wait(1) == "job tests failed; it is run again to see whose fault that is"
    assert gate.wait(2) == "proved; waits for the rerun of #1's job tests"


def test_nothing_follows_from_planning_again() -> None:
    gate = Gate(job("tests"), job("own"), job("style", voting=False), keys=own_part)
    gate.enter(1, 2, 3)
    gate.going()
    for act in (lambda: None, lambda: gate.all_fail(1), lambda: gate.passes(1, name="own")):
        act()
        gate.step()
        draft = gate.draft()
        version = draft.version
        plan.decide(draft)
        assert draft.version == version
