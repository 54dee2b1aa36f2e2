"""Which build gets a machine, and where."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.core import pool
from cupel.core.draft import Draft
from cupel.core.host import RESTARTED
from cupel.core.model import (
    Build,
    BuildState,
    Host,
    HostState,
    Item,
    ItemState,
    Machine,
    MachineState,
    Pipeline,
    Row,
    Verdict,
)
from unit.core.making import build, buildset, job


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


# Order.


def place(id: int, position: int) -> Item:
    return Item(
        id=id,
        pipeline=Pipeline.GATE,
        project_id=1,
        branch="main",
        change_id=id,
        patch_set=1,
        commit="c",
        state=ItemState.LIVE,
        position=position,
        buildset_id=None,
        enqueued_at=0.0,
    )


def test_audits_come_last() -> None:
    rows = [build(1, pipeline=Pipeline.PERIODIC), build(2, pipeline=Pipeline.POST)]
    assert assigned(host(1, 1), *rows) == {2: 1}


def test_what_is_urgent_comes_before_what_is_ahead_in_the_queue() -> None:
    rows: list[Row] = [
        host(1, 2),
        place(11, 1),
        place(12, 2),
        build(1, item_id=11),
        build(2, item_id=12),
        build(3, item_id=11, pipeline=Pipeline.CHECK),
        build(4, item_id=12),
    ]
    draft = Draft(rows, now=1.0, ids=itertools.count(1000))
    draft.urgency = {3: 9.0, 2: 0.5, 4: 0.5}
    pool.plan(draft)
    started = [b.id for b in draft.all(Build) if b.state is BuildState.STARTING]
    assert started == [2, 4]
    assert assigned(*rows) == {1: 1, 2: 1}


# Semaphores.

BUSY = [BuildState.STARTING, BuildState.RUNNING, BuildState.CANCELLING]


def guarded(*semaphores: tuple[str, int], id: int = 1) -> Row:
    return buildset(id=id, jobs=(job(semaphores=semaphores),))


@pytest.mark.parametrize("state", BUSY)
def test_a_semaphore_is_held_by_what_is_on_a_machine(state: BuildState) -> None:
    rows = [guarded(("deploy", 1)), host(1), machine(50, 1)]
    holder = build(12, state=state, machine_id=50)
    assert assigned(*rows, holder, build(13)) == ({12: 1} if state is BuildState.STARTING else {})
    assert waits(*rows, holder, build(13)) == "waits for semaphore deploy, held by build 12"


@pytest.mark.parametrize("verdict", list(Verdict))
def test_however_a_build_ends_its_semaphore_is_free(verdict: Verdict) -> None:
    ended = build(12, verdict=verdict, job="other")
    assert assigned(guarded(("deploy", 1)), host(1), ended, build(13)) == {13: 1}


def test_a_build_that_waits_for_a_semaphore_takes_no_slot_and_no_other_semaphore() -> None:
    rows: list[Row] = [
        host(1, 1),
        machine(50, 2),
        buildset(id=1, jobs=(job(semaphores=(("a", 1), ("b", 1))),)),
        buildset(id=2, jobs=(job(semaphores=(("a", 1),)),)),
        build(10, buildset_id=3, state=BuildState.RUNNING, machine_id=50),
        buildset(id=3, jobs=(job(semaphores=(("b", 1),)),)),
        build(11, buildset_id=1),
        build(12, buildset_id=2),
    ]
    assert assigned(*rows) == {12: 1}


def test_projects_have_their_own_semaphores() -> None:
    rows = [host(1), guarded(("deploy", 1)), build(1), build(2), build(3, project_id=2)]
    assert assigned(*rows) == {1: 1, 3: 1}


def test_a_semaphore_lets_in_as_many_as_it_says() -> None:
    rows = [guarded(("deploy", 2)), *(build(number) for number in range(1, 5))]
    assert assigned(host(1), *rows) == {1: 1, 2: 1}


NAMES = st.sampled_from(["a", "b", "c"])
MAXIMA = {"a": 1, "b": 2, "c": 3}


@given(st.lists(st.frozensets(NAMES), min_size=1, max_size=12), st.data())
def test_semaphores_are_never_overdrawn_and_never_in_each_others_way(
    wanted: list[frozenset[str]], data: st.DataObject
) -> None:
    """Builds start and end in any order until none is left."""
    rows: list[Row] = [host(1, 5)]
    for number, names in enumerate(wanted, 1):
        semaphores = tuple((name, MAXIMA[name]) for name in sorted(names))
        rows += [guarded(*semaphores, id=number), build(number, buildset_id=number)]
    draft = Draft(rows, now=1.0, ids=itertools.count(1000))
    left = len(wanted)
    while left:
        pool.plan(draft)
        on = [b for b in draft.all(Build) if b.state is BuildState.STARTING]
        assert on, "nothing runs, although nothing is held"
        for name, maximum in MAXIMA.items():
            assert sum(name in wanted[b.id - 1] for b in on) <= maximum
        for queued in (b for b in draft.all(Build) if b.state is BuildState.QUEUED):
            assert pool.waits(draft, queued) is not None
        done = data.draw(st.sampled_from(on))
        draft.put(replace(done, state=BuildState.FINISHED, verdict=Verdict.SUCCESS))
        gone = draft.get(Machine, done.machine_id)
        draft.put(replace(gone, state=MachineState.GONE))
        left -= 1


# Why a build waits.


def waits(*rows: Row, now: float = 1.0) -> str | None:
    """Of the last row, a build."""
    last = rows[-1]
    assert isinstance(last, Build)
    return pool.waits(Draft(rows, now=now, ids=itertools.count(1000)), last)


def test_a_build_that_may_start_waits_for_nothing() -> None:
    assert waits(host(1), build(1)) is None
    assert waits(build(1, state=BuildState.RUNNING)) is None


def test_why_no_host_will_do() -> None:
    assert waits(build(1)) == "no host is connected"
    assert waits(host(1, state=HostState.LOST), build(1)) == "no host is connected"
    assert waits(host(1, labels=("other",)), build(1)) == "no host makes debian-12"


def test_why_there_is_no_room() -> None:
    rows: list[Row] = [machine(50, 1), machine(51, 1), host(2, labels=("other",))]
    assert waits(host(1, 2), *rows, build(1)) == "all 2 machines are busy"
    assert waits(host(1, 1), *rows, build(1)) == "the only machine is busy"


def test_why_the_host_is_not_asked_again_yet() -> None:
    lost = build(1, verdict=Verdict.INFRA, machine_id=50)
    rows: list[Row] = [host(1), machine(50, 1, MachineState.GONE), lost]
    again = build(2, attempt=2, queued_at=100.0)
    assert waits(*rows, again, now=102.0) == "its host failed it and is asked again in 3 s"
    assert waits(*rows, again, now=105.0) is None


# Hosts that are not trusted.


def test_a_quarantined_host_gets_nothing() -> None:
    bad = host(1, strikes=3, quarantined_until=1000.0)
    assert assigned(bad, build(1), now=999.0) == {}
    assert assigned(bad, host(2), build(1), now=999.0) == {1: 2}
    assert waits(bad, build(1), now=999.0) == (
        "host host1 is quarantined until 1970-01-01 00:16:40 UTC: "
        "it failed 3 builds in a row within seconds"
    )


def test_after_its_quarantine_a_host_is_asked_for_one_build_at_a_time() -> None:
    bad = host(1, strikes=3, quarantined_until=1000.0)
    assert assigned(bad, build(1), build(2), now=1000.0) == {1: 1}
    assert assigned(bad, machine(50, 1), build(2), now=1000.0) == {}
    assert assigned(bad, machine(50, 1, MachineState.DELETING), build(2), now=1000.0) == {2: 1}
    assert waits(bad, machine(50, 1), build(2), now=1000.0) == (
        "waits for the probe of host1, which failed builds in a row within seconds"
    )


def test_a_probe_is_a_build_that_the_host_has_not_failed_yet() -> None:
    bad = host(1, strikes=3, quarantined_until=1000.0)
    lost = build(1, verdict=Verdict.INFRA, machine_id=50)
    gone = machine(50, 1, MachineState.GONE)
    rows: list[Row] = [bad, gone, lost, build(2, attempt=2)]
    assert assigned(*rows, build(3, buildset_id=2), now=1000.0) == {3: 1}
    assert assigned(*rows, now=1000.0) == {2: 1}
