"""Which build gets a machine, and where."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from cupel.core import pool
from cupel.core.buildset import RESTARTED
from cupel.core.draft import Draft
from cupel.core.model import (
    Build,
    BuildState,
    Host,
    HostState,
    Machine,
    MachineState,
    Pipeline,
    Row,
    Verdict,
)
from unit.core.making import build


def host(id: int, slots: int = 4, **fields: Any) -> Host:
    made = Host(
        id=id,
        name=f"host{id}",
        slots=slots,
        labels=(),
        state=HostState.CONNECTED,
        detail=None,
        last_seen=0.0,
    )
    return replace(made, **fields)


def machine(id: int, host_id: int, state: MachineState = MachineState.USED) -> Machine:
    return Machine(
        id=id,
        label="debian-12",
        image=None,
        host_id=host_id,
        build_id=None,
        state=state,
        detail=None,
        created_at=0.0,
    )


def assigned(*rows: Row, now: float = 1.0) -> dict[int, int]:
    """Build → host, after planning."""
    draft = Draft(rows, now=now, ids=itertools.count(1000))
    pool.plan(draft)
    started = [b for b in draft.all(Build) if b.state is BuildState.STARTING]
    return {b.id: draft.get(Machine, b.machine_id).host_id for b in started}


def test_no_more_machines_than_slots() -> None:
    assert assigned(host(1, 2), build(1), build(2), build(3)) == {1: 1, 2: 1}


def test_a_machine_takes_its_slot_until_it_is_gone() -> None:
    states = [state for state in MachineState if state is not MachineState.GONE]
    for number, state in enumerate(states):
        assert assigned(host(1, 1), machine(50 + number, 1, state), build(1)) == {}
    assert assigned(host(1, 1), machine(50, 1, MachineState.GONE), build(1)) == {1: 1}


def test_a_host_with_fewer_slots_than_machines_gets_no_more() -> None:
    assert assigned(host(1, 1), machine(50, 1), machine(51, 1), build(1)) == {}


def test_a_lost_host_gets_nothing() -> None:
    assert assigned(host(1, state=HostState.LOST), build(1)) == {}


def test_builds_go_where_most_is_free() -> None:
    assert assigned(host(1, 2), host(2, 3), build(1), build(2)) == {1: 2, 2: 1}


def test_a_host_makes_the_labels_that_it_knows() -> None:
    rows = [host(1, 8, labels=("other",)), host(2, 1, labels=("debian-12",))]
    assert assigned(*rows, build(1), build(2)) == {1: 2}


def test_a_label_that_nobody_makes_does_not_stand_in_the_way() -> None:
    assert assigned(host(1, 1, labels=("debian-12",)), build(1, label="rare"), build(2)) == {2: 1}


def test_the_gate_goes_first() -> None:
    rows = [
        build(1, pipeline=Pipeline.POST),
        build(2, pipeline=Pipeline.CHECK),
        build(3, pipeline=Pipeline.GATE),
    ]
    assert assigned(host(1, 2), *rows) == {3: 1, 2: 1}


def test_another_attempt_goes_to_another_host() -> None:
    lost = build(1, verdict=Verdict.INFRA, machine_id=50)
    again = build(2, attempt=2)
    gone = machine(50, 1, MachineState.GONE)
    assert assigned(host(1, 8), host(2, 1), gone, lost, again) == {2: 2}


def test_the_host_that_failed_a_job_is_asked_again_after_a_while() -> None:
    lost = build(1, verdict=Verdict.INFRA, machine_id=50)
    again = build(2, attempt=2, queued_at=100.0)
    gone = machine(50, 1, MachineState.GONE)
    assert assigned(host(1), gone, lost, again, now=104.0) == {}
    assert assigned(host(1), gone, lost, again, now=105.0) == {2: 1}
    twice = [lost, replace(lost, id=3, attempt=2), replace(again, attempt=3)]
    assert assigned(host(1), gone, *twice, now=105.0) == {}
    assert assigned(host(1), gone, *twice, now=130.0) == {2: 1}


def test_a_restart_is_not_waited_out() -> None:
    lost = build(1, verdict=Verdict.INFRA, machine_id=50, reason=RESTARTED)
    again = build(2, attempt=2, queued_at=100.0)
    gone = machine(50, 1, MachineState.GONE)
    assert assigned(host(1), gone, lost, again, now=100.0) == {2: 1}
