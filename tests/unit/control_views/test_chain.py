"""What a change needs and what needs it."""

from __future__ import annotations

import asyncio
import dataclasses

from cupel.control import views
from cupel.control.views import ChangeView, chain
from cupel.core.model import Change, PatchSet
from cupel.web import graph
from fakes.rows import World, oid


def seen(world: World, change: Change) -> ChangeView:
    async def look() -> ChangeView:
        store = await world.store()
        async with store.read() as tx:
            return await views.change_view(tx, change.id, now=world.now)

    return asyncio.run(look())


def test_a_chain_goes_through_projects_in_landing_order() -> None:
    world = World()
    one, other = world.project("one", head=oid("a")), world.project("other", head=oid("b"))
    high = world.change(one, "High")
    low = world.change(one, "Low")
    middle = world.change(other, "Middle", depends_on=(low,), approved=False)
    (row,) = (each for each in world.rows_of(PatchSet).values() if each.change_id == high.id)
    world.put(dataclasses.replace(row, depends_on=(middle.id,)))
    beside = world.change(one, "Beside")
    found = seen(world, middle).chain
    assert [(each.id, each.needs) for each in found] == [
        (low.id, []),
        (middle.id, [low.id]),
        (high.id, [middle.id]),
    ]
    assert [each.is_self for each in found] == [False, True, False]
    assert seen(world, high).chain[1].waiting == "lacks approval"
    assert [each.id for each in seen(world, beside).chain] == [beside.id]


def test_a_long_chain_is_bounded() -> None:
    world = World()
    project = world.project("one", head=oid("a"))
    changes: list[Change] = []
    for number in range(chain.MOST + 20):
        changes.append(world.change(project, f"{number}", depends_on=changes[-1:]))
    found = seen(world, changes[-1]).chain
    assert len(found) == chain.MOST + 1
    drawn = graph.arcs(found)
    assert drawn.height == graph.ROW * len(found)
    assert len(drawn.paths) == len(found) - 1
