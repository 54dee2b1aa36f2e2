"""What a decision reads of past passes: those that it could reuse or refute, and no others."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from cupel.control import load
from cupel.core import events, evidence
from cupel.core.model import (
    Buildset,
    BuildState,
    Evidence,
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

COMPILE = making.job("build")
TESTS = making.job("tests", needs=("build",))
K_COMPILE = evidence.combine("kb", "image", [])
K_TESTS = evidence.combine("kt", "image", [("build", "left")])
HOST = Host(
    id=1,
    name="host",
    slots=4,
    labels=(),
    state=HostState.CONNECTED,
    detail=None,
    last_seen=0.0,
    images=(("debian-12", "image"),),
)
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
PAST = replace(LIVE, id=4, change_id=3, buildset_id=4, state=ItemState.LANDED, finished_at=1.0)
STATE = making.buildset(jobs=(TESTS, COMPILE), keys=(("tests", "kt"), ("build", "kb")))
PASSES: list[Row] = [
    PAST,
    making.buildset(id=4, item_id=4),
    making.build(5, job="build", buildset_id=4, item_id=4, verdict=Verdict.SUCCESS, outputs="left"),
    making.build(6, job="tests", buildset_id=4, item_id=4, verdict=Verdict.SUCCESS, outputs="none"),
    making.evidence(90, key=K_COMPILE, build_id=5, job="build"),
    making.evidence(91, key=K_TESTS, build_id=6),
    making.evidence(92, key="another", build_id=6),
]


def read(*rows: Row, fact: events.Fact | None = None) -> list[Row]:
    """What is read to plan, or to record a fact."""

    async def run() -> list[Row]:
        store = MemoryStore()
        async with store.write() as tx:
            await tx.put([making.queue(), making.project(), making.change(7), HOST, *rows])
        async with store.read() as tx:
            return await (load.everything_live(tx) if fact is None else load.concerning(tx, [fact]))

    return asyncio.run(run())


def passes(found: list[Row]) -> list[int]:
    return sorted(row.id for row in found if isinstance(row, Evidence))


def test_planning_sees_what_a_chain_of_needs_would_reuse() -> None:
    found = read(LIVE, STATE, *PASSES)
    assert passes(found) == [90, 91]
    assert all(row in found for row in (PASSES[2], PASSES[3], PAST))


def test_planning_sees_no_pass_of_what_runs_already() -> None:
    found = read(LIVE, STATE, making.build(job="build"), *PASSES)
    assert passes(found) == []
    assert PAST not in found


def test_an_audit_is_compared_with_the_pass_that_it_proves_again() -> None:
    audit = replace(LIVE, pipeline=Pipeline.PERIODIC)
    ran = making.build(
        job="build", pipeline=Pipeline.PERIODIC, verdict=Verdict.FAILURE, key=K_COMPILE
    )
    found = read(audit, STATE, ran, *PASSES)
    assert passes(found) == [90]
    assert [row.id for row in found if isinstance(row, Buildset)].count(4) == 1


def test_the_end_of_a_build_comes_with_what_it_depended_on() -> None:
    machine = Machine(
        id=50,
        label="debian-12",
        image="image",
        host_id=1,
        build_id=2,
        state=MachineState.USED,
        detail=None,
        created_at=0.0,
    )
    needed = making.build(1, job="build", verdict=Verdict.SUCCESS, outputs="left")
    running = making.build(2, state=BuildState.RUNNING, machine_id=50)
    fact = events.BuildFinished(
        machine_id=50,
        verdict=Verdict.SUCCESS,
        reason=None,
        steps=(),
        usage=Usage(),
        artefacts=(),
    )
    waiting = making.build(3, buildset_id=2, item_id=2, key=K_TESTS)
    other = making.build(4, buildset_id=2, item_id=2, key="another")
    found = read(LIVE, STATE, needed, running, machine, waiting, other, *PASSES, fact=fact)
    assert {needed, STATE, waiting} <= set(found)
    assert other not in found
    assert passes(found) == [91]
