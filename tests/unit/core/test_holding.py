"""Machines that are kept after their builds: for whom, until when, and what never happens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cupel.core import events, holding, waiting
from cupel.core.actions import DestroyMachine
from cupel.core.hold import Hold, HoldState
from cupel.core.job import Part
from cupel.core.model import Build, BuildState, Machine, MachineState, Pool, Verdict
from unit.core.making import Core, job

HOUR = 3600.0


def running(jobs: tuple[Any, ...] = (job(),), **fields: Any) -> tuple[Core, list[int]]:
    """Change 7 in the gate with its builds running; the ids of their machines."""
    core = Core(**fields)
    core.push(7, land=True)
    core.prepare(*jobs)
    machines = [action.machine.id for action in core.runs()]
    for machine in machines:
        core.begin(machine)
    return core, machines


def ask(core: Core, number: int = 9000, **fields: Any) -> int:
    wanted = {"count": 1, "seconds": HOUR, "expires_at": 24 * HOUR, "user": "eve", "reason": "why"}
    core.hear(events.HoldAsked(hold_id=number, **(wanted | fields)))
    return number


def hold(core: Core, number: int = 9000) -> Hold:
    return core.draft().get(Hold, number)


def machine(core: Core, number: int) -> Machine:
    return core.draft().get(Machine, number)


def destroyed(core: Core) -> list[int]:
    return [each.machine_id for each in core.step() if isinstance(each, DestroyMachine)]


def test_the_machine_of_a_failure_that_was_asked_for_is_held_until_its_time_is_over() -> None:
    core, [number] = running()
    ask(core, job="tests")
    core.finish(number, Verdict.FAILURE)
    kept = machine(core, number)
    assert kept.state is MachineState.HELD
    assert kept.held_until == pytest.approx(core.now - 1 + HOUR)
    assert hold(core).state is HoldState.FULL
    assert destroyed(core) == []
    core.now += HOUR
    assert destroyed(core) == [number]
    assert "over" in (machine(core, number).detail or "")
    core.hear(events.MachineGone(machine_id=number))
    core.step()
    assert hold(core).state is HoldState.OVER
    assert hold(core).detail == "its time is over"


def test_the_verdict_does_not_wait_for_the_hold() -> None:
    core, [number] = running()
    ask(core, job="tests")
    core.finish(number, Verdict.FAILURE)
    [build] = core.draft().all(Build)
    assert build.verdict is Verdict.FAILURE


@pytest.mark.parametrize(
    ("wish", "verdict"),
    [
        ({"job": "tests"}, Verdict.SUCCESS),
        ({"job": "others"}, Verdict.FAILURE),
        ({"job": "tes"}, Verdict.FAILURE),
        ({"change_id": 8}, Verdict.FAILURE),
        ({"job": "tests", "project_id": 4}, Verdict.FAILURE),
        ({"job": "tests", "expires_at": 1.0}, Verdict.FAILURE),
        ({"job": "tests"}, Verdict.INFRA),
    ],
)
def test_what_was_not_asked_for_is_not_held(wish: dict[str, Any], verdict: Verdict) -> None:
    core, [number] = running()
    ask(core, **wish)
    core.finish(number, verdict)
    assert machine(core, number).state is MachineState.DELETING


@pytest.mark.parametrize("verdict", [Verdict.SUCCESS, Verdict.FAILURE, Verdict.TIMEOUT])
def test_the_machine_of_one_build_is_held_however_it_ends(verdict: Verdict) -> None:
    core, [number] = running()
    [build] = core.draft().all(Build)
    ask(core, build_id=build.id)
    core.finish(number, verdict)
    assert machine(core, number).state is MachineState.HELD


def test_a_cell_of_a_matrix_is_its_job_too() -> None:
    core, [number] = running((job("tests (python=3.12)", base="tests"),))
    ask(core, job="tests")
    core.finish(number, Verdict.FAILURE)
    assert machine(core, number).state is MachineState.HELD


def test_no_more_are_held_than_were_asked_for() -> None:
    core, numbers = running((job("one"), job("two"), job("three")))
    ask(core, change_id=7, count=2)
    for number in numbers:
        core.finish(number, Verdict.FAILURE)
    states = [machine(core, number).state for number in numbers]
    assert states == [MachineState.HELD, MachineState.HELD, MachineState.DELETING]


def test_no_more_are_held_on_a_host_than_half_of_its_slots() -> None:
    core, numbers = running((job("one"), job("two"), job("three")), slots=5)
    ask(core, change_id=7, count=3)
    for number in numbers:
        core.finish(number, Verdict.FAILURE)
    assert [machine(core, number).state for number in numbers].count(MachineState.HELD) == 2
    assert "half of its 5 slots" in (hold(core).detail or "")
    assert any(each.kind == "hold.refused" for each in core.told)


def test_no_more_of_a_label_are_held_than_its_pool_says() -> None:
    core, numbers = running((job("one"), job("two")))
    [pool] = core.draft().all(Pool) or [Pool(id=50, label="debian-12", definition="d")]
    core.rows[Pool, pool.id] = replace(pool, holds=1)
    ask(core, change_id=7, count=2)
    for number in numbers:
        core.finish(number, Verdict.FAILURE)
    assert [machine(core, number).state for number in numbers].count(MachineState.HELD) == 1


def test_a_held_machine_takes_its_slot_and_never_gets_another_build() -> None:
    core, [number] = running(slots=2)
    ask(core, job="tests")
    core.finish(number, Verdict.FAILURE)
    for change in (8, 9, 10):
        core.push(change, land=True)
    core.prepare(job("other"))
    runs = core.runs()
    assert len(runs) == 1
    assert runs[0].machine.id != number
    draft = core.draft()
    queued = [each for each in draft.all(Build) if each.state is BuildState.QUEUED]
    reasons = waiting.reasons(draft, queued)
    assert "2 machines are busy, 1 of them held by people" in reasons[queued[0].id]


def test_all_machines_of_a_build_are_held_together() -> None:
    parts = (Part(name="main", label="debian-12"), Part(name="db", label="debian-12"))
    core, _ = running((job(parts=parts),))
    ask(core, job="tests")
    mine = [each for each in core.draft().all(Machine) if each.build_id is not None]
    own = next(each for each in mine if each.part == "main")
    core.finish(own.id, Verdict.FAILURE)
    assert {machine(core, each.id).state for each in mine} == {MachineState.HELD}
    core.now += HOUR
    assert sorted(destroyed(core)) == sorted(each.id for each in mine)


def test_whoever_asked_may_let_go() -> None:
    core, [number] = running()
    ask(core, job="tests")
    core.finish(number, Verdict.FAILURE)
    core.hear(events.HoldReleased(hold_id=9000, user="eve"))
    assert destroyed(core) == [number]
    assert hold(core).detail == "released by eve"
    assert core.hear(events.HoldReleased(hold_id=9000, user="eve")) == []


def test_asking_again_for_a_held_machine_keeps_it_longer() -> None:
    core, [number] = running()
    [build] = core.draft().all(Build)
    ask(core, build_id=build.id)
    core.finish(number, Verdict.FAILURE)
    core.now += HOUR - 10
    ask(core, 9001, build_id=build.id, user="bob")
    assert destroyed(core) == []
    assert machine(core, number).hold_id == 9001
    core.step()
    assert hold(core).state is HoldState.OVER
    core.now += HOUR
    assert destroyed(core) == [number]


def test_a_wish_that_nothing_fulfils_expires() -> None:
    core, _ = running()
    ask(core, job="tests", expires_at=100.0)
    core.now = 100.0
    core.step()
    assert hold(core).state is HoldState.OVER


def test_a_job_may_keep_the_machines_of_its_failures_for_whoever_comes() -> None:
    core, [number] = running((job(hold=600.0),))
    core.finish(number, Verdict.FAILURE)
    kept = machine(core, number)
    assert kept.held_until == pytest.approx(core.now - 1 + 600)
    assert hold(core, kept.hold_id or 0).owner == "ada"
    core.hear(events.VisitBegan(machine_id=number, user="ada", what="a shell"))
    core.now += 1000
    assert destroyed(core) == []
    core.hear(events.VisitBegan(machine_id=number, user="bob", what="a shell"))
    core.hear(events.VisitEnded(machine_id=number, user="ada", how="status 0"))
    assert destroyed(core) == []
    core.hear(events.VisitEnded(machine_id=number, user="bob", how="left"))
    assert destroyed(core) == [number]


def test_a_visit_of_what_nobody_asked_for_ends_too() -> None:
    core, [number] = running((job(hold=600.0),))
    core.finish(number, Verdict.FAILURE)
    core.hear(events.VisitBegan(machine_id=number, user="ada", what="a shell"))
    core.now += holding.VISIT
    assert destroyed(core) == [number]


def test_a_machine_in_which_somebody_is_when_its_build_ends_is_kept_until_they_leave() -> None:
    core, [number] = running()
    core.hear(events.VisitBegan(machine_id=number, user="ada", what="a shell"))
    core.finish(number)
    assert machine(core, number).state is MachineState.HELD
    core.hear(events.VisitEnded(machine_id=number, user="ada", how="status 0"))
    assert number in destroyed(core)


def test_a_visited_build_of_the_gate_runs_again_without_using_up_an_attempt() -> None:
    core, [number] = running()
    core.hear(events.VisitBegan(machine_id=number, user="ada", what="a shell"))
    core.hear(events.VisitEnded(machine_id=number, user="ada", how="status 0"))
    core.finish(number)
    [again] = core.runs()
    first = core.draft().get(Build, core.draft().get(Machine, number).build_id)
    assert first.verdict is Verdict.INFRA
    assert "(ada)" in (first.reason or "")
    assert first.key is None
    core.begin(again.machine.id)
    core.finish(again.machine.id)
    assert core.draft().get(Build, again.build.id).verdict is Verdict.SUCCESS


def test_a_host_that_is_lost_loses_its_holds_in_words() -> None:
    core, [number] = running()
    ask(core, job="tests")
    core.finish(number, Verdict.FAILURE)
    core.hear(events.HostLost(name="host", reason="its power failed"))
    lost = [each for each in core.told if each.kind == "hold.lost"]
    assert len(lost) == 1
    assert "its power failed" in lost[0].text
    core.step()
    assert hold(core).state is HoldState.OVER
    assert hold(core).detail == "lost: host host was lost: its power failed"


def test_a_host_that_comes_back_with_what_it_held_holds_it_on() -> None:
    core, [number] = running()
    ask(core, job="tests")
    core.finish(number, Verdict.FAILURE)
    core.hear(core.hello(machines=(number,), held=(number,)))
    assert destroyed(core) == []
    assert machine(core, number).state is MachineState.HELD
    core.hear(core.hello(machines=(number,)))
    assert destroyed(core) == [number]
    assert any(each.kind == "hold.lost" for each in core.told)


def test_a_host_that_is_drained_keeps_what_is_held_on_it() -> None:
    core, [number] = running()
    ask(core, job="tests")
    core.finish(number, Verdict.FAILURE)
    core.hear(events.HostDrainSet(name="host", draining=True, user="root"))
    assert destroyed(core) == []
    core.now += HOUR
    assert destroyed(core) == [number]


def test_a_held_machine_can_be_deleted_by_hand() -> None:
    core, [number] = running()
    ask(core, job="tests")
    core.finish(number, Verdict.FAILURE)
    core.hear(events.MachineDeleteAsked(machine_id=number, user="root"))
    assert destroyed(core) == [number]
    assert hold(core).state is HoldState.OVER


def endings(core: Core) -> list[str]:
    return [event.text for event in core.told if event.kind == "hold.ending"]


def test_before_a_hold_ends_it_is_told_once_and_again_when_it_is_longer() -> None:
    core, [number] = running()
    ask(core, job="tests")
    core.finish(number, Verdict.FAILURE)
    core.now += HOUR - holding.NEAR - 5
    core.step()
    assert endings(core) == []
    core.now += 6
    core.step()
    core.step()
    assert endings(core) == ["tests: 10 min left"]
    (told,) = [event for event in core.told if event.kind == "hold.ending"]
    assert (told.user, told.machine_id) == ("eve", number)
    ask(core, 9001, build_id=core.builds()[0].id)
    core.step()
    assert len(endings(core)) == 1
    core.now += HOUR - 60
    core.step()
    assert len(endings(core)) == 2


def test_the_end_of_a_short_hold_is_no_news() -> None:
    core, [number] = running()
    ask(core, job="tests", seconds=300.0)
    core.finish(number, Verdict.FAILURE)
    core.step()
    assert machine(core, number).state is MachineState.HELD
    assert endings(core) == []
