"""Facts that come in time, twice, too late, or of machines that are gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cupel.core import events
from cupel.core.actions import DestroyMachine
from cupel.core.model import (
    Approval,
    Build,
    BuildState,
    ChangeState,
    Host,
    HostState,
    Item,
    ItemState,
    Machine,
    MachineState,
    PatchSet,
    Pipeline,
    Reason,
    Verdict,
)
from cupel.errors import Conflict
from unit.core.making import Core, change, job, patch_set


def running(*, jobs: int = 1, slots: int = 8) -> tuple[Core, list[int]]:
    """Change 7 in the gate with its builds running; the ids of their machines."""
    core = Core(slots=slots)
    core.push(7, land=True)
    core.prepare(*(job(f"job{number}") for number in range(jobs)))
    machines = [action.machine.id for action in core.runs()]
    for machine in machines:
        core.begin(machine)
    return core, machines


def landing() -> Core:
    """Change 7 proved and asked to be landed."""
    core, [machine] = running()
    core.finish(machine)
    core.step()
    assert core.item(7).state is ItemState.LANDING
    return core


# What people say.


def test_a_push_that_comes_twice_changes_nothing_the_second_time() -> None:
    core = Core()
    core.push(7, land=True)
    core.step()
    before = dict(core.rows)
    core.push(7, land=True)
    core.step()
    assert core.rows == before


def test_a_push_to_a_change_that_has_landed_is_refused() -> None:
    core = landing()
    core.hear(events.Landed(item_ids=(core.item(7).id,)))
    with pytest.raises(Conflict):
        core.push(7, number=2)
    assert core.change(7).state is ChangeState.LANDED


def test_a_push_opens_an_abandoned_change_again() -> None:
    core = Core()
    core.push(7)
    core.hear(events.Abandoned(change_id=7, user="ada"))
    core.push(7, number=2)
    assert core.change(7).state is ChangeState.OPEN


@pytest.mark.parametrize(
    "late",
    [
        events.Abandoned(change_id=7, user="ada"),
        events.Approved(change_id=7, patch_set=1, user="eve"),
        events.ApprovalWithdrawn(change_id=7, user="bob"),
        events.LandAsked(change_id=7, user="bob"),
        events.DequeueAsked(change_id=7, user="bob"),
    ],
)
def test_a_request_about_a_landed_change_comes_too_late(late: events.Fact) -> None:
    core = landing()
    core.hear(events.Landed(item_ids=(core.item(7).id,)))
    before = dict(core.rows)
    assert core.hear(late) == []
    assert core.rows == before


def test_an_approval_that_comes_twice_counts_once() -> None:
    core = Core()
    core.push(7)
    for _ in range(2):
        core.hear(events.Approved(change_id=7, patch_set=1, user="bob"))
    assert len(core.draft().all(Approval)) == 1


def test_an_approval_of_an_old_patch_set_counts_for_nothing() -> None:
    core = Core()
    core.push(7)
    core.push(7, number=2)
    core.hear(events.Approved(change_id=7, patch_set=1, user="bob"))
    core.step()
    assert core.items() == []


def test_a_change_that_is_abandoned_while_it_lands_has_landed() -> None:
    """The branch has moved: saying otherwise would be untrue."""
    core = landing()
    core.hear(events.Abandoned(change_id=7, user="ada"))
    core.hear(events.Landed(item_ids=(core.item(7).id,)))
    assert core.change(7).state is ChangeState.LANDED


def test_a_change_that_is_abandoned_while_its_landing_is_refused_leaves() -> None:
    core = landing()
    core.hear(events.Abandoned(change_id=7, user="ada"))
    core.hear(events.LandingRefused(item_ids=(core.item(7).id,), head="elsewhere"))
    core.step()
    assert core.item(7).reason is Reason.ABANDONED


def test_a_new_patch_set_in_the_gate_is_checked_like_any_other() -> None:
    core, _ = running()
    core.push(7, number=2)
    core.step()
    assert core.item(7).reason is Reason.NEW_PATCH_SET
    assert core.item(7, Pipeline.CHECK).patch_set == 2


# What git says.


def test_what_has_landed_lands_once() -> None:
    core = landing()
    landed = events.Landed(item_ids=(core.item(7).id,))
    core.hear(landed)
    before = dict(core.rows)
    assert core.hear(landed) == []
    assert core.rows == before


def test_a_refusal_after_the_landing_changes_nothing() -> None:
    core = landing()
    number = core.item(7).id
    core.hear(events.Landed(item_ids=(number,)))
    assert core.hear(events.LandingRefused(item_ids=(number,), head="elsewhere")) == []


def test_a_refused_landing_is_proved_again_on_the_head_as_often_as_it_takes() -> None:
    core = landing()
    for head in ("one", "two"):
        core.hear(events.LandingRefused(item_ids=(core.item(7).id,), head=head))
        core.prepare()
        [run] = core.runs()
        assert run.buildset.onto == head
        core.finish(run.machine.id)
        core.step()
        assert core.item(7).state is ItemState.LANDING


def test_a_landing_of_the_patch_set_before_the_newest_says_which_one_landed() -> None:
    core = landing()
    core.push(7, number=2)
    core.hear(events.Landed(item_ids=(core.item(7).id,)))
    assert core.change(7).state is ChangeState.LANDED
    assert core.change(7).patch_set == 1


def test_a_state_that_nobody_wants_any_more_is_forgotten() -> None:
    core = Core()
    core.push(7, land=True)
    core.step()
    old = core.item(7).buildset_id
    assert old is not None
    core.hear(events.HeadSeen(project_id=1, branch="main", head="elsewhere"))
    core.step()
    assert (
        core.hear(
            events.StatePrepared(buildset_id=old, commit="m", tree="t", jobs=(job(),), notice=None)
        )
        == []
    )
    assert core.builds() == []


def test_a_state_that_is_made_twice_is_made_once() -> None:
    core, _ = running()
    present = core.item(7).buildset_id
    assert present is not None
    conflict = events.StateConflicted(buildset_id=present, paths=("file",))
    assert core.hear(conflict) == []


# What hosts say.


def test_a_build_that_finishes_twice_keeps_its_first_verdict() -> None:
    core, [machine] = running()
    core.finish(machine, Verdict.FAILURE)
    core.finish(machine, Verdict.SUCCESS)
    [build] = core.builds()
    assert build.verdict is Verdict.FAILURE


def test_a_cancel_that_crosses_the_end_of_its_build_wins() -> None:
    core, [machine] = running()
    core.hear(events.DequeueAsked(change_id=7, user="bob"))
    core.step()
    core.finish(machine, Verdict.SUCCESS)
    [build] = core.builds()
    assert build.verdict is Verdict.CANCELLED
    assert core.machine(machine).state is MachineState.DELETING


def test_an_end_that_crosses_its_cancel_stands() -> None:
    core, [machine] = running()
    core.finish(machine, Verdict.SUCCESS)
    core.hear(events.DequeueAsked(change_id=7, user="bob"))
    core.step()
    [build] = core.builds()
    assert build.verdict is Verdict.SUCCESS


def test_a_host_that_stops_a_build_by_itself_has_failed_it() -> None:
    core, [machine] = running()
    core.finish(machine, Verdict.CANCELLED, "shutting down")
    [build] = core.builds()
    assert build.verdict is Verdict.INFRA


def test_a_machine_that_is_ready_while_its_build_is_cancelled_does_not_revive_it() -> None:
    core = Core()
    core.push(7, land=True)
    core.prepare()
    [run] = core.runs()
    core.hear(events.DequeueAsked(change_id=7, user="bob"))
    core.step()
    core.begin(run.machine.id)
    [build] = core.builds()
    assert build.state is BuildState.CANCELLING


def test_a_lost_machine_cannot_end_the_build_that_took_its_place() -> None:
    core, [lost] = running()
    core.hear(events.HostLost(name="host", reason="silence"))
    core.hear(core.hello(machines=(lost,)))
    core.step()
    core.finish(lost, Verdict.FAILURE)
    first, second = core.builds()
    assert (first.verdict, first.attempt) == (Verdict.INFRA, 1)
    assert (second.verdict, second.attempt) == (None, 2)


def test_a_host_comes_back_without_its_machines() -> None:
    core, [machine] = running()
    core.hear(core.hello())
    assert core.machine(machine).state is MachineState.GONE
    assert core.builds()[0].verdict is Verdict.INFRA


def test_a_host_comes_back_with_a_machine_that_is_no_longer_wanted() -> None:
    core, [machine] = running()
    core.hear(core.hello(machines=(machine,)))
    assert DestroyMachine(machine_id=machine, host="host") in core.step()


@pytest.mark.parametrize("unknown", [False, True])
def test_a_host_comes_back_with_a_machine_that_we_think_gone(unknown: bool) -> None:
    core, [machine] = running()
    core.hear(events.MachineGone(machine_id=machine))
    number = 99_999 if unknown else machine
    core.hear(core.hello(machines=(number,)))
    assert DestroyMachine(machine_id=number, host="host") in core.step()
    core.hear(events.MachineGone(machine_id=number))
    assert core.machine(number).state is MachineState.GONE


@pytest.mark.parametrize("how", ["ready", "finish"])
def test_a_machine_that_we_think_gone_and_that_reports_is_deleted(how: str) -> None:
    """The request to make it crossed its host's hello, so that it was made after all."""
    core, [machine] = running()
    core.hear(core.hello())
    getattr(core, how)(machine)
    assert core.machine(machine).state is MachineState.DELETING
    assert [build.verdict for build in core.builds()] == [Verdict.INFRA]


def test_what_is_said_of_a_machine_nobody_knows_is_ignored() -> None:
    core = Core()
    assert core.ready(5) == []
    assert core.finish(5) == []
    assert core.hear(events.MachineGone(machine_id=5)) == []


def test_a_host_is_lost_once() -> None:
    core, _ = running()
    core.hear(events.HostLost(name="host", reason="silence"))
    assert core.hear(events.HostLost(name="host", reason="silence")) == []


def test_deleting_goes_on_when_a_lost_host_is_back() -> None:
    core, [machine] = running()
    core.hear(events.HostLost(name="host", reason="silence"))
    assert core.step() == []
    core.hear(core.hello(machines=(machine,)))
    assert DestroyMachine(machine_id=machine, host="host") in core.step()


def test_a_lost_host_is_forgotten_with_its_machines_until_it_is_back() -> None:
    core, [machine] = running()
    forgotten = events.HostForgotten(name="host", user="ada")
    assert core.hear(forgotten) == []  # it is there
    core.hear(events.HostLost(name="host", reason="silence"))
    core.hear(forgotten)
    [host] = core.draft().all(Host)
    assert host.state is HostState.FORGOTTEN
    assert core.draft().get(Machine, machine).state is MachineState.GONE
    assert core.hear(forgotten) == []
    assert core.hear(events.HostLost(name="host", reason="late")) == []
    core.hear(core.hello(machines=(machine,)))
    [host] = core.draft().all(Host)
    assert host.state is HostState.CONNECTED
    assert DestroyMachine(machine_id=machine, host="host") in core.step()


def test_steps_are_those_of_the_build_on_the_machine() -> None:
    core, [machine] = running()
    core.finish(machine)
    assert core.hear(events.StepsChanged(machine_id=machine, steps=())) == []
    assert isinstance(core.builds()[0], Build)


def test_rows_of_a_push_are_kept_as_they_are() -> None:
    core = Core()
    pushed = replace(change(7), title="a title", topic="topic")
    core.hear(events.ChangePushed(change=pushed, patch_set=patch_set(7)))
    assert core.change(7) == pushed
    assert core.draft().all(PatchSet) == [patch_set(7)]
    assert len(core.draft().all(Item)) == 1
    assert core.draft().all(Machine) == []


def test_a_host_that_has_another_image_is_believed() -> None:
    core, _ = running()
    (host,) = core.draft().all(Host)
    core.hear(events.HostSeen(name=host.name, images=(("debian-12", "sha256:new"),)))
    core.hear(events.HostSeen(name=host.name))
    (host,) = core.draft().all(Host)
    assert host.images == (("debian-12", "sha256:new"),)
