"""Builds that need several machines at once, on one host."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from cupel.core import intents, invariants, pool, waiting
from cupel.core.draft import Draft
from cupel.core.model import (
    Build,
    BuildState,
    Item,
    ItemState,
    Machine,
    MachineState,
    Part,
    Pipeline,
    Pool,
    Verdict,
)
from unit.core.fleet import host, machine, make_all, planned
from unit.core.making import build, buildset

READY, BUILDING, USED = MachineState.READY, MachineState.BUILDING, MachineState.USED
PAIR = (Part(name="server", label="debian-12"), Part(name="client", label="debian-12"))
MIXED = (Part(name="server", label="debian-12"), Part(name="db", label="postgres"))


def idle(id: int, host_id: int, **fields: Any) -> Machine:
    return machine(id, host_id, READY, **{"ready_at": 1.0, **fields})


def had(draft: Draft, number: int) -> list[tuple[str, str, int]]:
    mine = [m for m in draft.all(Machine) if m.build_id == number and m.state is USED]
    return sorted((each.part, each.label, each.host_id) for each in mine)


def test_all_machines_are_ordered_on_one_host_and_taken_together() -> None:
    draft = planned(host(1, 1), host(2, 2), build(1, parts=MIXED))
    ordered = [(m.label, m.host_id) for m in draft.all(Machine)]
    assert sorted(ordered) == [("debian-12", 2), ("postgres", 2)]
    assert had(make_all(draft), 1) == [("db", "postgres", 2), ("server", "debian-12", 2)]
    own = draft.get(Machine, draft.get(Build, 1).machine_id)
    assert own.part == "server"


def test_a_build_takes_nothing_while_one_of_its_machines_is_not_ready() -> None:
    draft = planned(host(1), idle(50, 1), build(1, parts=PAIR))
    assert draft.get(Machine, 50).state is READY
    assert [m.state for m in draft.all(Machine) if m.id != 50] == [BUILDING]
    assert draft.get(Build, 1).state is BuildState.QUEUED
    assert len(had(make_all(draft), 1)) == 2


def test_ready_machines_on_two_hosts_are_no_pair() -> None:
    draft = planned(host(1, 2), host(2, 2), idle(50, 1), idle(51, 2), build(1, parts=PAIR))
    assert draft.get(Build, 1).state is BuildState.QUEUED
    assert {host_id for _, _, host_id in had(make_all(draft), 1)} == {1}


def test_two_builds_that_fit_only_one_after_the_other_do_not_wait_for_each_other() -> None:
    draft = make_all(planned(host(1, 3), build(1, parts=PAIR), build(2, parts=PAIR)))
    assert len(had(draft, 1)) == 2
    assert had(draft, 2) == []
    for each in draft.all(Machine):
        if each.build_id == 1:
            draft.put(replace(each, state=MachineState.GONE))
    draft.put(replace(draft.get(Build, 1), state=BuildState.FINISHED, verdict=Verdict.SUCCESS))
    pool.plan(draft)
    assert len(had(make_all(draft), 2)) == 2


def test_who_is_behind_does_not_take_what_is_kept() -> None:
    """Else a build of several would never run beside a steady stream of others."""
    first = build(1, parts=PAIR, pipeline=Pipeline.GATE)
    draft = planned(host(1, 2), idle(50, 1), first, build(2, pipeline=Pipeline.CHECK))
    assert draft.get(Build, 2).state is BuildState.QUEUED
    assert len(had(make_all(draft), 1)) == 2


def test_ready_machines_are_kept_for_one_build_of_a_host_alone() -> None:
    """If each of two builds were kept one of the two slots, both would wait for ever."""
    others = (Part(name="a", label="postgres"), Part(name="b", label="postgres"))
    rows = [idle(50, 1), idle(51, 1, label="postgres")]
    builds = [build(1, parts=PAIR), build(2, label="postgres", parts=others)]
    draft = planned(host(1, 2), *rows, *builds)
    assert draft.get(Machine, 50).state is READY
    assert draft.get(Machine, 51).state is MachineState.DELETING
    draft.put(replace(draft.get(Machine, 51), state=MachineState.GONE))
    pool.plan(draft)
    assert len(had(make_all(draft), 1)) == 2


def test_who_is_ahead_takes_what_is_ready() -> None:
    several = build(1, parts=PAIR, pipeline=Pipeline.CHECK)
    draft = planned(host(1, 2), idle(50, 1), several, build(2, pipeline=Pipeline.GATE))
    assert draft.get(Build, 2).machine_id == 50


def test_an_idle_machine_elsewhere_gives_way_to_the_ceiling() -> None:
    kept = Pool(id=9, label="debian-12", ready=1, ceiling=2, definition="d")
    rows = [idle(50, 1, definition="d"), idle(51, 2, definition="d")]
    draft = planned(host(1, 2), host(2, 2), kept, *rows, build(1, parts=PAIR))
    assert [m.id for m in draft.all(Machine) if m.state is MachineState.DELETING] == [51]


def test_each_machine_counts_against_the_quota() -> None:
    narrow = Pool(id=9, label="debian-12", ready=0, quota=3, definition="d")
    draft = make_all(planned(host(1, 8), narrow, build(1, parts=PAIR), build(2, parts=PAIR)))
    assert (len(had(draft, 1)), len(had(draft, 2))) == (2, 0)
    why = waiting.of(draft, draft.get(Build, 2))
    assert why == (
        "it needs 2 machines of debian-12 at a time, and its project uses 2 of the 3 "
        "that are its quota"
    )


def test_machines_that_can_never_fit_are_told() -> None:
    draft = planned(host(1, 1), host(2, 1), build(1, parts=PAIR))
    assert draft.all(Machine) == []
    assert waiting.of(draft, draft.get(Build, 1)) == (
        "it can't run on any host that is connected: it needs 2 machines on one host that makes "
        "all of them"
    )
    low = Pool(id=9, label="debian-12", ceiling=1, definition="d")
    draft = planned(host(1, 4), low, build(1, parts=PAIR))
    assert waiting.of(draft, draft.get(Build, 1)) == (
        "it can never run: it needs 2 machines of debian-12, whose ceiling is 1"
    )


def test_a_ceiling_that_is_in_the_way_is_told() -> None:
    low = Pool(id=9, label="debian-12", ceiling=2, definition="d")
    others = [machine(50 + at, 2, MachineState.DELETING) for at in range(2)]
    draft = planned(host(1, 2), host(2, 2), low, *others, build(1, parts=PAIR))
    assert waiting.of(draft, draft.get(Build, 1)) == (
        "there are 2 machines of debian-12 already, its ceiling"
    )


def test_what_it_waits_for_is_told() -> None:
    draft = planned(host(1, 2), idle(50, 1), build(1, parts=PAIR))
    why = waiting.of(draft, draft.get(Build, 1))
    assert why == "waits for 2 machines on host1 at once: 2 are there or made"


def test_the_machines_of_an_ended_build_are_let_go() -> None:
    ended = build(1, parts=PAIR, verdict=Verdict.FAILURE, machine_id=50)
    beside = machine(51, 1, USED, build_id=1, part="client")
    assert planned(host(1), ended, beside).get(Machine, 51).state is MachineState.DELETING
    assert planned(host(1), beside).get(Machine, 51).state is MachineState.DELETING


def test_having_some_of_the_machines_is_a_breach() -> None:
    started = build(1, parts=PAIR, state=BuildState.STARTING, machine_id=50)
    own = machine(50, 1, USED, build_id=1, part="server")
    entry = Item(
        id=1,
        pipeline=Pipeline.GATE,
        project_id=1,
        branch="main",
        change_id=None,
        patch_set=None,
        commit="c",
        state=ItemState.LIVE,
        position=1,
        buildset_id=1,
        enqueued_at=0.0,
    )
    rows = [host(1), started, own, buildset(), entry]
    draft = Draft(rows, now=1.0, ids=itertools.count(1000))
    assert list(invariants._all_or_none(draft)) == [
        "Build 1 (starting) has the machines [('server', 'debian-12')]"
    ]
    other = machine(51, 1, USED, build_id=1, part="client")
    draft = Draft([*rows, other], now=1.0, ids=itertools.count(1000))
    assert list(invariants._all_or_none(draft)) == []
    assert [m.id for m in intents._others(draft, started)] == [51]
