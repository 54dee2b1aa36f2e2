"""What a decision reads of the past: records of jobs and authors, earlier attempts, other items."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from cupel.control import load
from cupel.core import events, history
from cupel.core.model import (
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    History,
    Host,
    HostState,
    Item,
    ItemState,
    Machine,
    MachineState,
    Pipeline,
    Row,
    Usage,
    Verdict,
)
from cupel.store.memory import MemoryStore
from unit.core import making

LIVE = Item(
    id=1,
    pipeline=Pipeline.GATE,
    project_id=1,
    branch="main",
    change_id=7,
    patch_set=1,
    commit="c7.1",
    state=ItemState.LIVE,
    position=1,
    buildset_id=1,
    enqueued_at=0.0,
)
CHECKED = replace(LIVE, id=2, pipeline=Pipeline.CHECK, state=ItemState.PASSED, buildset_id=None)
RECORDS: list[Row] = [
    making.history(id=60),
    making.history("job lint", id=61),
    making.history("author ada", id=62),
    making.history(history.PROJECT, id=63),
    making.history(id=64, project_id=2),
]
RUNNING = making.build(11, state=BuildState.RUNNING, machine_id=51, attempt=2)
BEFORE = making.build(10, verdict=Verdict.INFRA, machine_id=50)
MACHINE = Machine(
    id=50,
    label="debian-12",
    image=None,
    host_id=1,
    build_id=10,
    state=MachineState.GONE,
    detail=None,
    created_at=0.0,
)
HOST = Host(
    id=1,
    name="first",
    slots=4,
    labels=(),
    state=HostState.CONNECTED,
    detail=None,
    last_seen=0.0,
)
WORLD: list[Row] = [
    making.queue(),
    making.project(),
    making.change(7),
    LIVE,
    CHECKED,
    making.buildset(),
    BEFORE,
    RUNNING,
    MACHINE,
    replace(MACHINE, id=51, host_id=2, build_id=11, state=MachineState.USED),
    HOST,
    replace(HOST, id=2, name="second"),
    *RECORDS,
]


def read(fact: events.Fact | None = None, *more: Row) -> list[Row]:
    async def run() -> list[Row]:
        store = MemoryStore()
        async with store.write() as tx:
            await tx.put([*WORLD, *more])
        async with store.read() as tx:
            return await (load.everything_live(tx) if fact is None else load.concerning(tx, [fact]))

    return asyncio.run(run())


def of(kind: type[Row], rows: list[Row]) -> set[int]:
    return {row.id for row in rows if isinstance(row, kind)}


def test_planning_sees_the_records_of_projects_with_live_items() -> None:
    assert of(History, read()) == {60, 61, 62, 63}


def test_planning_sees_how_the_check_of_a_change_in_the_gate_ended() -> None:
    assert CHECKED in read()


def test_the_end_of_a_build_sees_its_jobs_record_and_who_failed_it_before() -> None:
    finished = events.BuildFinished(
        machine_id=51,
        verdict=Verdict.SUCCESS,
        reason=None,
        steps=(),
        usage=Usage(),
        artefacts=(),
    )
    for fact in (finished, events.MachineGone(machine_id=51)):
        found = read(fact)
        assert of(History, found) == {60}
        assert of(Build, found) == {10, 11}
        assert of(Machine, found) == {50, 51}
        assert of(Host, found) == {1, 2}


def test_the_end_of_a_build_sees_the_same_job_on_the_same_inputs_of_its_item() -> None:
    failed = making.build(9, buildset_id=2, verdict=Verdict.FAILURE, key="key")
    found = read(
        events.BuildFinished(
            machine_id=51,
            verdict=Verdict.SUCCESS,
            reason=None,
            steps=(),
            usage=Usage(),
            artefacts=(),
        ),
        replace(RUNNING, key="key"),
        making.buildset(id=2, number=2, state=BuildsetState.SUPERSEDED),
        failed,
        replace(failed, id=8, item_id=2),
        replace(failed, id=7, key="another"),
    )
    assert of(Build, found) == {9, 10, 11}
    assert of(Buildset, found) == {1, 2}


def test_a_landing_sees_the_records_that_it_changes_and_the_changes_check() -> None:
    found = read(events.Landed(item_ids=(1,)))
    assert {62, 63} <= of(History, found)
    assert CHECKED in found
