"""Which build gets a machine, and where."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupel.core import demand, invariants, pool, waiting
from cupel.core import host as hosts
from cupel.core.draft import Draft
from cupel.core.host import RESTARTED
from cupel.core.model import (
    Build,
    BuildState,
    Failure,
    Host,
    HostState,
    Item,
    ItemState,
    Machine,
    MachineState,
    Pipeline,
    Pool,
    Row,
    Verdict,
)
from unit.core.fleet import host, machine, make_all, planned
from unit.core.making import build, buildset, job

USED, HELD, DELETING = MachineState.USED, MachineState.HELD, MachineState.DELETING
READY, BUILDING = MachineState.READY, MachineState.BUILDING


def assigned(*rows: Row, now: float = 1.0) -> dict[int, int]:
    """Build → host, after planning, and again when what it asks for is made."""
    draft = planned(*rows, now=now)
    make_all(draft)
    started = [b for b in draft.all(Build) if b.state is BuildState.STARTING]
    return {b.id: draft.get(Machine, b.machine_id).host_id for b in started}


def test_no_more_machines_than_slots() -> None:
    assert assigned(host(1, 2), build(1), build(2), build(3)) == {1: 1, 2: 1}


def test_a_machine_takes_its_slot_until_it_is_gone() -> None:
    for number, state in enumerate((USED, HELD, MachineState.ERROR, DELETING)):
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
    make_all(draft)
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
        host(2, 1, labels=("other",)),
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
        make_all(draft)
        on = [b for b in draft.all(Build) if b.state is BuildState.STARTING]
        assert on, "nothing runs, although nothing is held"
        for name, maximum in MAXIMA.items():
            assert sum(name in wanted[b.id - 1] for b in on) <= maximum
        for queued in (b for b in draft.all(Build) if b.state is BuildState.QUEUED):
            assert waiting.of(draft, queued) is not None
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
    return waiting.of(Draft(rows, now=now, ids=itertools.count(1000)), last)


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
    assert assigned(bad, machine(50, 1, DELETING), build(2), now=1000.0) == {2: 1}
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


# Pools.


def pool_of(label: str = "debian-12", **fields: Any) -> Pool:
    given = {"id": 900 + len(label), "label": label, "ready": 1, "definition": "d", **fields}
    return Pool(**given)


def idle(id: int, host_id: int = 1, *, at: float = 0.0, **fields: Any) -> Machine:
    """A ready machine that nobody uses."""
    made = replace(machine(id, host_id, READY), definition="d", ready_at=at)
    return replace(made, **fields)


def count(draft: Draft, state: MachineState, label: str = "debian-12") -> int:
    return sum(each.state is state and each.label == label for each in draft.all(Machine))


def test_a_pool_keeps_machines_ready_that_nobody_waits_for() -> None:
    draft = planned(host(1, 8), pool_of(ready=3), idle(50))
    assert count(draft, BUILDING) == 2
    make_all(draft)
    assert (count(draft, READY), count(draft, BUILDING)) == (3, 0)


def test_a_label_without_a_pool_keeps_none() -> None:
    assert planned(host(1), idle(50, at=-60.0)).get(Machine, 50).state is DELETING
    assert planned(host(1), idle(50, at=0.0), now=59.0).get(Machine, 50).state is READY


def test_a_ready_machine_is_given_away_at_once_and_replaced() -> None:
    draft = planned(host(1), pool_of(), idle(50), build(1))
    used = draft.get(Machine, 50)
    assert (used.state, used.build_id, used.used_at) == (USED, 1, 1.0)
    assert draft.get(Build, 1).machine_id == 50
    assert count(draft, BUILDING) == 1
    assert [event.kind for event in draft.events] == ["machine.used", "machine.building"]


def test_builds_take_whichever_machine_is_ready_first() -> None:
    """The urgent build was first to ask, and gets what the other would have waited for."""
    draft = planned(host(1, 1), build(2, pipeline=Pipeline.CHECK))
    draft.put(build(3, pipeline=Pipeline.GATE))
    pool.plan(draft)
    assert count(draft, BUILDING) == 1
    make_all(draft)
    assert draft.get(Build, 3).state is BuildState.STARTING
    assert draft.get(Build, 2).state is BuildState.QUEUED


def test_nothing_is_ordered_twice_for_the_same_build() -> None:
    draft = planned(host(1, 8), pool_of(ready=1), build(1), build(2))
    for _ in range(3):
        assert count(draft, BUILDING) == 3
        pool.plan(draft)


def test_machines_of_a_lost_host_leave_the_ceiling_to_others() -> None:
    lost = [machine(50 + number, 2, DELETING) for number in range(2)]
    rows: list[Row] = [host(1), host(2, state=HostState.LOST), pool_of(ready=1, ceiling=2), *lost]
    assert assigned(*rows, build(1)) == {1: 1}
    before, after = Draft(rows, now=1.0, ids=itertools.count(1)), planned(*rows, build(1))
    assert invariants.changes(invariants.compare(before, after), after) == []


def test_no_more_than_the_ceiling() -> None:
    draft = planned(host(1, 8), pool_of(ready=4, ceiling=2), build(1), build(2), build(3))
    assert count(draft, BUILDING) == 2
    used = [replace(machine(50 + n, 1), definition="d") for n in range(2)]
    rows: list[Row] = [host(1, 8), pool_of(ceiling=2), *used]
    assert waits(*rows, build(9)) == "there are 2 machines of debian-12 already, its ceiling"


def test_no_more_than_a_projects_quota() -> None:
    rows: list[Row] = [host(1, 8), pool_of(ready=0, quota=2), *(build(n) for n in range(1, 5))]
    assert assigned(*rows, build(5, project_id=2)) == {1: 1, 2: 1, 5: 1}
    busy = [machine(50, 1), build(6, state=BuildState.RUNNING, machine_id=50)]
    rows = [host(1, 8), pool_of(quota=1), *busy]
    assert waits(*rows, build(7)) == ("its project uses 1 machine of debian-12 already, its quota")


def test_a_machine_of_another_label_makes_way() -> None:
    rows: list[Row] = [host(1, 1), pool_of(), pool_of("other"), idle(50, label="other")]
    draft = planned(*rows, build(1))
    assert draft.get(Machine, 50).state is DELETING
    assert draft.get(Machine, 50).detail == "makes way for a machine of debian-12"
    pool.plan(draft)
    assert count(draft, BUILDING) == count(draft, BUILDING, "other") == 0
    assert waiting.of(draft, draft.get(Build, 1)) == "a machine is being deleted to make room"
    draft.put(replace(draft.get(Machine, 50), state=MachineState.GONE))
    make_all(draft)
    make_all(draft)
    assert draft.get(Build, 1).state is BuildState.STARTING


def test_only_as_many_make_way_as_builds_need() -> None:
    rows: list[Row] = [host(1, 3), *(idle(50 + n, label="other") for n in range(3))]
    draft = planned(*rows, pool_of("other", ready=3), pool_of(ready=0), build(1))
    for _ in range(3):
        assert count(draft, DELETING, "other") == 1
        pool.plan(draft)


def test_the_cheapest_makes_way() -> None:
    rows: list[Row] = [
        host(1, 3),
        pool_of(ready=0),
        pool_of("slow", boot=30.0),
        pool_of("quick", boot=0.1),
        pool_of("unwanted", ready=0, boot=60.0),
        idle(50, label="slow"),
        idle(51, label="quick"),
        idle(52, label="unwanted"),
    ]
    draft = planned(*rows, build(1))
    assert draft.get(Machine, 52).state is DELETING
    draft = planned(*rows[:7], machine(53, 1), build(1))
    assert draft.get(Machine, 51).state is DELETING


def test_refilling_takes_no_ready_machine_of_another_label() -> None:
    rows: list[Row] = [host(1, 1), pool_of(), pool_of("other"), idle(50, label="other")]
    assert planned(*rows).get(Machine, 50).state is READY


def test_free_slots_are_shared_by_pools_in_turn() -> None:
    draft = planned(host(1, 4), pool_of(ready=4), pool_of("other", ready=4))
    assert (count(draft, BUILDING), count(draft, BUILDING, "other")) == (2, 2)


def test_what_was_ready_for_too_long_goes_when_its_replacement_is_ready() -> None:
    draft = planned(host(1), pool_of(idle=100.0), idle(50), now=100.0)
    assert (draft.get(Machine, 50).state, count(draft, BUILDING)) == (READY, 1)
    make_all(draft)
    assert (draft.get(Machine, 50).state, count(draft, READY)) == (DELETING, 1)
    assert draft.get(Machine, 50).detail == "was ready for too long"


def test_a_new_definition_moves_a_pool_over_without_a_gap() -> None:
    old = [idle(50, definition="old"), idle(51, definition="old")]
    draft = planned(host(1), pool_of(ready=2), *old)
    assert (count(draft, READY), count(draft, BUILDING)) == (2, 2)
    make_all(draft)
    assert (count(draft, READY), count(draft, DELETING)) == (2, 2)
    assert all(m.definition == "d" for m in draft.all(Machine) if m.state is READY)
    assert draft.get(Machine, 50).detail == "debian-12 is another now"


def test_a_new_image_moves_a_pool_over_too_and_builds_get_the_newest() -> None:
    there = host(1, images=(("debian-12", "sha256:new"),))
    rows: list[Row] = [there, pool_of(ready=2), idle(50, image="sha256:old")]
    draft = planned(*rows, idle(51, image="sha256:new"), build(1))
    assert draft.get(Build, 1).machine_id == 51
    assert draft.get(Machine, 50).state is READY
    assert planned(*rows, build(1)).get(Build, 1).machine_id == 50


def test_where_there_is_no_room_for_both_the_old_one_goes_first() -> None:
    draft = planned(host(1, 1), pool_of(), idle(50, definition="old"))
    assert (count(draft, DELETING), count(draft, BUILDING)) == (1, 0)
    full = planned(host(1, 4), pool_of(ready=2, ceiling=2), idle(50, definition="old"), idle(51))
    assert (count(full, DELETING), count(full, BUILDING)) == (1, 0)


def test_a_label_that_is_no_more_keeps_nothing_and_gets_nothing() -> None:
    gone = pool_of(ready=0, definition="")
    draft = planned(host(1), gone, idle(50))
    assert draft.get(Machine, 50).state is DELETING
    assert waits(host(1), gone, build(1)) == "debian-12 is not in the server's configuration"
    assert assigned(host(1), gone, build(1)) == {}


def test_waves_are_waited_out_before_machines_are_let_go() -> None:
    rows: list[Row] = [host(1), pool_of(ready=1), idle(50, at=0.0), idle(51, at=30.0)]
    assert count(planned(*rows, now=59.0), READY) == 2
    draft = planned(*rows, now=60.0)
    assert (draft.get(Machine, 50).state, draft.get(Machine, 51).state) == (DELETING, READY)
    assert draft.get(Machine, 50).detail == "nobody waits for it"


# Projects.


def test_the_project_that_uses_the_fewest_machines_goes_first() -> None:
    busy: list[Row] = [machine(50, 1), build(1, state=BuildState.RUNNING, machine_id=50)]
    many = [build(number) for number in range(2, 6)]
    few = [build(10, project_id=2), build(11, project_id=2)]
    assert assigned(host(1, 4), *busy, *many, *few) == {2: 1, 10: 1, 11: 1}


def test_the_gate_of_a_busy_project_goes_before_the_check_of_another() -> None:
    busy: list[Row] = [machine(50, 1), build(1, state=BuildState.RUNNING, machine_id=50)]
    check = build(3, project_id=2, pipeline=Pipeline.CHECK)
    assert assigned(host(1, 2), *busy, build(2), check) == {2: 1}


# Machines that cannot be made, and hosts that take no more.


def failed(count: int = 1, at: float = 100.0, label: str = "debian-12") -> Failure:
    return Failure(label=label, count=count, at=at, reason="no space left")


def test_a_host_that_could_not_make_a_label_is_asked_again_after_a_pause() -> None:
    for number, pause in ((1, 5.0), (2, 30.0), (3, 60.0), (9, 60.0)):
        bad = host(1, failures=(failed(number),))
        assert assigned(bad, build(1), now=100.0 + pause - 1.0) == {}
        assert assigned(bad, build(1), now=100.0 + pause) == {1: 1}
    assert assigned(bad, host(2), build(1), now=101.0) == {1: 2}
    assert assigned(bad, build(1, label="other"), now=101.0) == {1: 1}
    assert waits(host(1, failures=(failed(),)), build(1), now=102.0) == (
        "host1 could not make debian-12 and tries again in 3 s: no space left"
    )


def test_nobody_waiting_it_is_tried_less_and_less_often() -> None:
    bad = host(1, failures=(failed(5),))
    assert count(planned(bad, pool_of(), now=179.0), BUILDING) == 0
    assert count(planned(bad, pool_of(), now=180.0), BUILDING) == 1
    assert hosts.makes_again_at(host(1, failures=(failed(99),)), "debian-12", wanted=False) == 3700


def test_a_host_that_is_drained_keeps_only_what_is_used() -> None:
    drained = host(1, draining=True)
    draft = planned(drained, pool_of(), idle(50), machine(51, 1, BUILDING), machine(52, 1))
    states = [draft.get(Machine, number).state for number in (50, 51, 52)]
    assert states == [DELETING, DELETING, USED]
    assert assigned(drained, build(1)) == {}
    assert waits(drained, build(1)) == "host host1 is being drained"


def test_a_host_that_refuses_keeps_its_machines_and_gets_no_builds() -> None:
    busy = host(1, refuses="memory is short")
    draft = planned(busy, pool_of(ready=2), idle(50), build(1))
    assert (count(draft, READY), count(draft, BUILDING)) == (1, 0)
    assert waits(busy, build(1)) == "host host1 takes no more builds for now: memory is short"


def test_a_suspect_host_keeps_one_machine_for_its_probe() -> None:
    bad = host(1, strikes=3, quarantined_until=10.0)
    draft = planned(bad, pool_of(ready=2), idle(50), idle(51))
    assert (count(draft, READY), count(draft, DELETING), count(draft, BUILDING)) == (1, 1, 0)
    draft = planned(bad, idle(50), idle(51), machine(52, 1))
    assert (count(draft, READY), count(draft, DELETING)) == (0, 2)


def test_a_machine_that_could_not_be_made_is_deleted() -> None:
    broken = replace(machine(50, 1, MachineState.ERROR), detail="no space left")
    made = planned(host(1), broken).get(Machine, 50)
    assert (made.state, made.detail) == (DELETING, "no space left")


# Whatever happens.


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_pools_keep_their_promises_in_any_world(data: st.DataObject) -> None:
    """Builds of several projects and labels come, run and end in any order."""
    labels = ["a", "b"]
    number = st.integers(0, 3)
    rows: list[Row] = [host(1, data.draw(number) + 1), host(2, data.draw(number), labels=("a",))]
    for label in labels:
        ceiling = data.draw(st.none() | st.integers(1, 3))
        quota = data.draw(st.none() | st.integers(1, 2))
        rows.append(
            replace(
                pool_of(label, ready=data.draw(number), ceiling=ceiling, quota=quota),
                id=900 + labels.index(label),
            )
        )
    draft = Draft(rows, now=0.0, ids=itertools.count(1000))
    builds = itertools.count(1)
    for _ in range(data.draw(st.integers(1, 25))):
        act(draft, data, next(builds))
        before = Draft(list(_rows(draft)), now=draft.now, ids=iter(()))
        pool.plan(draft)
        assert invariants.changes(invariants.compare(before, draft), draft) == []
        wrong = [*invariants._machines(draft), *invariants._none_waits_in_vain(draft)]
        assert wrong == []
        draft.now += data.draw(st.sampled_from([0.0, 1.0, 100.0, 4000.0]))
    for _ in range(60):
        settle(draft)
        draft.now += 61.0
    assert {b.state for b in draft.all(Build)} <= {BuildState.FINISHED}
    for each in draft.all(Pool):
        assert count(draft, READY, each.label) <= demand.target(each, draft.now)


def _rows(draft: Draft) -> Iterator[Row]:
    for kind in (Host, Pool, Machine, Build):
        yield from draft.all(kind)


def act(draft: Draft, data: st.DataObject, number: int) -> None:
    there = [m for m in draft.all(Machine) if m.state is not MachineState.GONE]
    if not there or data.draw(st.booleans()):
        label, project = data.draw(st.sampled_from(["a", "b"])), data.draw(st.integers(1, 2))
        draft.put(build(number, label=label, project_id=project, queued_at=draft.now))
    else:
        advance(draft, data.draw(st.sampled_from(there)), good=data.draw(st.booleans()))


def advance(draft: Draft, each: Machine, *, good: bool = True) -> None:
    match each.state:
        case MachineState.BUILDING if good:
            draft.put(replace(each, state=READY, ready_at=draft.now))
        case MachineState.BUILDING:
            draft.put(replace(each, state=MachineState.ERROR))
        case MachineState.USED:
            done = draft.get(Build, each.build_id)
            ended = replace(done, state=BuildState.FINISHED, verdict=Verdict.SUCCESS)
            draft.put(replace(ended, finished_at=draft.now))
            draft.put(replace(each, state=DELETING))
        case MachineState.DELETING:
            draft.put(replace(each, state=MachineState.GONE, gone_at=draft.now))
        case _:
            pass


def settle(draft: Draft) -> None:
    for each in draft.all(Machine):
        advance(draft, each)
    pool.plan(draft)


def test_a_build_whose_machine_is_being_made_is_as_good_as_begun() -> None:
    """Whoever plans what to run would change its mind for as long as a boot takes, again and
    again: the oldest builds count."""
    making = [machine(50, 1, BUILDING), replace(machine(51, 1, BUILDING), label="other")]
    draft = Draft([*making, build(1), build(2)], now=1.0, ids=itertools.count(1000))
    assert waiting.served(draft) == {1}
    draft.put(replace(draft.get(Build, 1), state=BuildState.FINISHED, verdict=Verdict.CANCELLED))
    assert waiting.served(draft) == {2}
