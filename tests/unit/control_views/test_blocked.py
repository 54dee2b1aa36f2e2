"""What stands between a change and its branch."""

from __future__ import annotations

import asyncio
import dataclasses

from cupel.control import views
from cupel.control.views import Block, ChangeView
from cupel.core.model import (
    Approval,
    BuildsetState,
    BuildState,
    Change,
    ChangeState,
    ItemState,
    PatchSet,
    Pipeline,
    Policy,
    Project,
    Queue,
    Reason,
    Verdict,
)
from fakes.rows import JOBS, World, oid


def seen(world: World, change: Change) -> ChangeView:
    async def look() -> ChangeView:
        store = await world.store()
        async with store.read() as tx:
            return await views.change_view(tx, change.id, now=world.now)

    return asyncio.run(look())


def told(world: World, change: Change) -> list[tuple[Block, str, str | None]]:
    return [(each.kind, each.text, each.command) for each in seen(world, change).blocked]


def a_project(world: World, name: str = "p", **policy: object) -> Project:
    project = world.project(name, head=oid("head"))
    return world.put(dataclasses.replace(project, policy=Policy(**policy)))  # type: ignore[arg-type]


def test_approvals_that_do_not_count_are_explained() -> None:
    world = World()
    change = world.change(a_project(world, approvals=2, self_approval=False), "One", patch_sets=2)
    for user, patch_set in (("ada", 2), ("grace", 1)):
        number = world.id(Approval)
        world.put(
            Approval(id=number, change_id=change.id, patch_set=patch_set, user=user, created_at=1.0)
        )
    world.put(dataclasses.replace(world.rows_of(Approval)[1], user="barbara", patch_set=1))
    (block,) = seen(world, change).blocked
    assert block.kind is Block.APPROVALS
    assert block.text == (
        "it has 0 of 2 approvals; that of its owner does not count in this project;"
        " 2 of an earlier patch set do not count"
    )
    assert (block.cure, block.command) == (
        "somebody else than its owner approves it",
        f"cupel approve {change.id}",
    )


def test_a_closed_tree_and_a_missing_request_block() -> None:
    world = World()
    project = a_project(world, approvals=0)
    change = world.change(project, "One", approved=False)
    queue = world.rows_of(Queue)[project.queue_id]
    world.put(dataclasses.replace(queue, closed="the mirror is down", closed_by="grace"))
    assert told(world, change) == [
        (Block.TREE, "the tree is closed: the mirror is down (by grace)", "cupel queue open p"),
        (Block.REQUEST, "nobody has asked to land it", f"cupel land {change.id}"),
    ]


def test_what_it_needs_blocks_it_in_any_project() -> None:
    world = World()
    project, other = a_project(world), a_project(world, "q")
    low = world.change(project, "Low", approved=False)
    gone = world.change(project, "Gone", state=ChangeState.ABANDONED)
    far = world.change(other, "Far")
    change = world.change(project, "High", depends_on=(low, gone, far))
    assert told(world, change) == [
        (
            Block.DEPENDENCY,
            f"needs #{low.id}, which lacks approval",
            f"cupel approve {low.id}",
        ),
        (Block.DEPENDENCY, f"needs #{gone.id}, which was abandoned", None),
        (
            Block.DEPENDENCY,
            f"needs #{far.id}, which has to land first, as it goes through another queue (queue q)",
            f"cupel land {far.id}",
        ),
    ]


def test_an_outdated_base_and_a_circle_block() -> None:
    world = World()
    project = a_project(world)
    low = world.change(project, "Low")
    high = world.change(project, "High", needs=low)
    assert [block.kind for block in seen(world, high).blocked] == [Block.OUTDATED]
    one = world.change(project, "One")
    other = world.change(project, "Other", depends_on=(one,))
    (row,) = (row for row in world.rows_of(PatchSet).values() if row.change_id == one.id)
    world.put(dataclasses.replace(row, depends_on=(other.id,)))
    (block,) = seen(world, one).blocked
    assert block.kind is Block.CIRCLE
    assert block.command == "cupel queue set p --cycles on"
    chain = seen(world, one).chain
    assert [(each.id, each.is_self, each.circle) for each in chain] == [
        (one.id, True, True),
        (other.id, False, True),
    ]


def test_what_was_found_wrong_blocks_with_what_cures_it() -> None:
    for reason, kind, command in (
        (Reason.CONFLICT, Block.CONFLICT, None),
        (Reason.MISCONFIGURED, Block.CONFIGURATION, None),
        (Reason.BUILD_FAILED, Block.JOB, "cupel retry 1"),
    ):
        world = World()
        change = world.change(a_project(world, approvals=0), "One", approved=False)
        item = world.item(
            change, Pipeline.CHECK, state=ItemState.REJECTED, reason=reason, ended=5, detail="x"
        )
        verdict = Verdict.FAILURE if reason is Reason.BUILD_FAILED else Verdict.SUCCESS
        world.build(item, JOBS[0].name, BuildState.FINISHED, verdict)
        found = {block.kind: block for block in seen(world, change).blocked}
        assert set(found) == {kind, Block.REQUEST}
        assert found[kind].command == command
        assert found[kind].cure


def test_what_left_the_gate_says_why_and_what_to_do() -> None:
    for reason, words in (
        (Reason.INFRASTRUCTURE, "nothing is wrong with the change: run it again"),
        (Reason.CONFLICT, "rebase it on main as it is now, and push it again"),
        (Reason.DEQUEUED, "ask for it again"),
    ):
        world = World()
        change = world.change(a_project(world), "One")
        change = world.put(dataclasses.replace(change, wants_land=False))
        world.item(change, Pipeline.GATE, state=ItemState.REMOVED, reason=reason, ended=5)
        first = seen(world, change).blocked[0]
        assert (first.kind, first.cure) == (Block.LEFT, words)


def test_in_the_gate_only_time_is_missing() -> None:
    world = World()
    project = a_project(world)
    ahead = world.item(world.change(project, "Ahead"), Pipeline.GATE, onto=oid("head"))
    change = world.change(project, "One")
    item = world.item(change, Pipeline.GATE, onto=world.head_of(ahead))
    world.build(item, JOBS[0].name, BuildState.QUEUED, ran=None)
    world.build(item, JOBS[1].name, BuildState.RUNNING)
    world.build(item, JOBS[2].name, BuildState.FINISHED, Verdict.SUCCESS)
    view = seen(world, change)
    assert [block.kind for block in view.blocked] == [Block.MACHINE, Block.RUNNING, Block.AHEAD]
    assert not any(block.cure for block in view.blocked)
    assert view.blocked[1].text.startswith("2 of 3 required jobs are not done yet")
    assert view.blocked[2].changes == [1]
    assert view.place is not None
    assert (view.place.queue, view.place.place, view.place.of) == ("p", 2, 2)


def test_what_has_ended_is_not_blocked() -> None:
    world = World()
    project = a_project(world)
    assert told(world, world.change(project, "One", state=ChangeState.LANDED)) == []
    (block,) = seen(world, world.change(project, "Two", state=ChangeState.ABANDONED)).blocked
    assert block.kind is Block.ABANDONED


def test_what_was_spent_is_summed_by_pipeline() -> None:
    world = World()
    change = world.change(a_project(world), "One")
    item = world.item(change, Pipeline.GATE, onto=oid("head"))
    old = world.older_state(item, oid("other"))
    done = BuildState.FINISHED
    first = world.build(item, JOBS[0].name, done, Verdict.FAILURE, ran=10.0)
    world.build(item, JOBS[0].name, done, Verdict.SUCCESS, ran=20.0, attempt=2)
    world.build(item, JOBS[1].name, done, Verdict.INFRA, ran=3.0)
    world.build(item, JOBS[1].name, done, Verdict.SUCCESS, ran=5.0, buildset=old.id)
    reused = world.build(item, JOBS[2].name, done, Verdict.SUCCESS, ran=None)
    world.put(dataclasses.replace(reused, reused_from=first.id))
    assert world.rows_of(type(old))[old.id].state is BuildsetState.SUPERSEDED
    (cost,) = seen(world, change).costs
    assert (cost.pipeline, cost.builds) == (Pipeline.GATE, 4)
    assert (cost.seconds, cost.wasted, cost.repeated) == (38.0, 8.0, 20.0)
    assert (cost.reused, cost.saved) == (1, 10.0)
