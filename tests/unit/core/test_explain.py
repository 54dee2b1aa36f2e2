from __future__ import annotations

import pytest

from cupel.core import events, explain, history
from cupel.core.explain import Aside, Explained, How, Pending
from cupel.core.model import BuildState, ItemState, Landing, Queue, Verdict
from unit.core.making import Core, job


def explained(core: Core) -> Explained:
    draft = core.draft()
    found = explain.explain(draft, draft.get(Queue, 3), "main")
    assert draft.changed == []
    assert draft.events == []
    return found


def entered(*changes: int, slots: int = 8) -> Core:
    """A core whose changes all have their states, with machines for each job."""
    core = Core(slots=slots)
    for number in changes:
        core.push(number, land=True)
    for _ in changes:
        core.prepare(job("tests"), job("lint"))
    for run in core.runs():
        core.begin(run.machine.id)
    return core


def finish(core: Core, change: int, name: str, verdict: Verdict = Verdict.SUCCESS) -> None:
    """End what runs of a job for a change."""
    number = core.item(change).id
    builds = [b for b in core.builds() if (b.item_id, b.job) == (number, name)]
    going = [b.machine_id for b in builds if b.state is not BuildState.FINISHED and b.machine_id]
    core.finish(going[-1], verdict)
    core.step()


def test_an_empty_queue_has_its_machines_and_nothing_else() -> None:
    found = explained(Core(slots=3))
    assert found.machines == 3
    assert (found.entries, found.wants, found.broken, found.proved) == ((), (), (), ())


def test_each_entry_stands_on_those_ahead_and_says_what_its_chance_is_made_of() -> None:
    core = entered(1, 2)
    first, second = explained(core).entries
    assert (first.changes, first.on) == ((1,), ())
    assert (second.changes, second.on) == ((2,), (1,))
    assert second.began == pytest.approx(history.prior_bad(core.draft(), core.change(2)))
    assert second.factors[0].name == "the project's record"
    assert (first.failures, first.aside, first.title) == ((), None, "change 1")


def test_wanted_runs_are_named_by_their_state_and_say_since_when_they_run() -> None:
    wants = explained(entered(1, 2)).wants
    assert {(want.job, want.state) for want in wants} == {
        ("tests", (1,)), ("lint", (1,)), ("tests", (1, 2)), ("lint", (1, 2)),
    }  # fmt: skip
    assert all(want.build is not None and want.since is not None for want in wants)
    assert [want.score for want in wants] == sorted((w.score for w in wants), reverse=True)


def test_states_are_told_with_how_they_stand_and_the_chance_that_they_are_needed() -> None:
    core = entered(1, 2)
    finish(core, 1, "tests", Verdict.FAILURE)
    core.prepare(job("tests"), job("lint"))
    found = explained(core)
    states = {state.changes: state for state in found.states}
    assert list(states) == [(1,), (2,), (1, 2)]
    bad = found.entries[0].bad
    assert states[1,].how is How.FAILING
    assert states[1,].chance == 1.0
    assert states[2,].chance == pytest.approx(bad)
    assert states[1, 2].chance == pytest.approx(1 - bad)
    assert [state.expected for state in found.states] == [True, True, False]
    assert states[1, 2].own == (2,)
    assert states[1, 2].how is How.RUNNING


def test_what_has_no_state_yet_waits_for_it() -> None:
    core = Core()
    core.push(1, land=True)
    core.push(2, land=True)
    core.step()
    assert explained(core).wants == ()
    core.prepare(job("tests"))
    wants = explained(core).wants
    assert [(want.state, want.pending) for want in wants] == [((1,), Pending.MACHINE)]


def test_a_failure_names_the_changes_in_doubt_and_the_chance_that_it_is_nobodys_fault() -> None:
    core = entered(1, 2)
    finish(core, 1, "tests")
    finish(core, 2, "tests", Verdict.FAILURE)
    found = explained(core)
    first, second = found.entries
    (failure,) = second.failures
    assert (failure.job, failure.changes, failure.doubted) == ("tests", (1, 2), (2,))
    assert failure.times == 1
    assert failure.flake is not None
    assert 0 < failure.flake < 1
    assert first.failures == (failure,)
    assert second.bad > second.began
    assert second.aside is Aside.SUSPECT
    assert second.wait is not None
    assert [each.job for each in found.broken] == ["tests"]
    assert any(want.rerun and want.state == (1, 2) for want in found.wants)


def test_those_behind_a_suspect_are_expected_without_it() -> None:
    core = entered(1, 2, 3)
    finish(core, 1, "tests")
    finish(core, 2, "tests", Verdict.FAILURE)
    third = explained(core).entries[2]
    assert third.on == (1,)
    assert third.others == ((1, 2),)
    assert third.aside is None


def test_what_is_proved_says_what_goes_first() -> None:
    core = entered(1, 2)
    finish(core, 2, "tests")
    finish(core, 2, "lint")
    (proved,) = explained(core).proved
    assert (proved.changes, proved.needs, proved.first) == ((2,), (), (1,))


def test_a_set_names_all_that_would_land_with_it() -> None:
    core = entered(1, 2)
    core.hear(
        events.QueueSet(
            name="project",
            landing=Landing.SET,
            planner="expected-value",
            window=None,
            window_floor=1,
            window_ceiling=None,
            cycles=False,
            closed="release",
            user="ada",
        )
    )
    finish(core, 2, "tests")
    finish(core, 2, "lint")
    found = [each for each in explained(core).proved if each.changes == (1, 2)]
    assert [(each.needs, each.first) for each in found] == [((), ())]


def test_what_lands_is_told_apart_from_what_waits() -> None:
    core = entered(1, 2)
    finish(core, 1, "tests")
    finish(core, 1, "lint")
    assert core.item(1).state is ItemState.LANDING
    found = explained(core)
    assert found.landing == (1,)
    assert [entry.changes for entry in found.entries] == [(2,)]
    assert found.entries[0].on == ()


def test_another_branch_or_queue_is_left_out() -> None:
    core = entered(1)
    draft = core.draft()
    assert explain.explain(draft, draft.get(Queue, 3), "stable").entries == ()
