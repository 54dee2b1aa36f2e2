"""People who want something run once more, on the real core and engine in a simulated world."""

from __future__ import annotations

import pytest

from cupel.core.model import (
    Build,
    Buildset,
    Item,
    ItemState,
    Machine,
    Pipeline,
    Role,
    Step,
    Verdict,
)
from cupel.simulate.fate import IMAGE
from cupel.simulate.findings import Ref
from cupel.simulate.world import World, job

ALONE = job("tests", steps=(Step(name="tests", run="x", failed_tests=1, rerun_failed="y"),))


def builds(world: World, ref: Ref, pipeline: Pipeline) -> list[Build]:
    mine = {item.id for item in world.rows.all(Item) if item.change_id == ref.id}
    found = [each for each in world.rows.all(Build) if each.item_id in mine]
    return sorted((b for b in found if b.pipeline is pipeline), key=lambda build: build.id)


def is_base(world: World, build: Build) -> bool:
    return world.rows.get(Buildset, build.buildset_id).role is Role.BASE


def check(world: World, ref: Ref) -> Item:
    [found] = [
        item
        for item in world.rows.all(Item)
        if item.change_id == ref.id and item.pipeline is Pipeline.CHECK
    ]
    return found


def test_a_failed_check_runs_again_on_its_old_state_and_image_and_may_pass() -> None:
    world = World(check=("tests", "lint"))
    world.nature.flakes["tests"] = 1
    ref = world.push("A")
    world.settle()
    assert check(world, ref).state is ItemState.REJECTED
    state = world.rows.get(Buildset, check(world, ref).buildset_id)
    world.push_around("B")
    world.roll_image("sha256:newer")
    world.settle()
    world.retry(ref)
    world.settle()
    assert check(world, ref).state is ItemState.PASSED
    tried = builds(world, ref, Pipeline.CHECK)
    assert [(each.job, each.attempt) for each in tried] == [("tests", 1), ("lint", 1), ("tests", 2)]
    again = world.rows.get(Buildset, state.id)
    assert (again.commit, again.jobs, again.onto) == (state.commit, state.jobs, state.onto)
    assert world.rows.get(Machine, tried[-1].machine_id).image == IMAGE


@pytest.mark.parametrize("everything", [False, True])
def test_a_change_that_was_dequeued_goes_through_the_gate_again(everything: bool) -> None:
    world = World(gate=("tests",))
    ref = world.push("A", land=True)
    world.run_for(5.0)
    world.dequeue(ref)
    world.settle()
    world.retry(ref, everything=everything)
    world.settle()
    assert world.change(ref).landed_commit is not None


def test_a_flake_is_refuted_by_its_failed_tests_alone_and_audited() -> None:
    world = World(gate=(ALONE,))
    first = world.push("A", land=True)
    world.settle()
    world.nature.flakes["tests"] = 1
    ref = world.push("B", land=True)
    world.settle()
    assert world.change(first).landed_commit is not None
    assert world.change(ref).landed_commit is not None
    mine = [b for b in builds(world, ref, Pipeline.GATE) if not is_base(world, b)]
    failed, alone = (build for build in mine if build.verdict is not Verdict.CANCELLED)
    assert (failed.verdict, alone.verdict) == (Verdict.FAILURE, Verdict.SUCCESS)
    assert alone.alone == failed.id
    [audit] = builds(world, ref, Pipeline.PERIODIC)
    assert (audit.verdict, audit.alone) == (Verdict.SUCCESS, None)


def test_nobody_is_convicted_by_tests_that_ran_alone() -> None:
    world = World(gate=(ALONE,))
    world.push("A", land=True)
    world.settle()
    ref = world.push("B", land=True, breaks={"tests"})
    world.settle()
    assert world.item(ref).state is ItemState.REJECTED
    tried = [b for b in builds(world, ref, Pipeline.GATE) if b.verdict is Verdict.FAILURE]
    assert len(tried) >= 2
    assert {build.alone for build in tried} == {None}
