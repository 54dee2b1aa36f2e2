"""Which machines a page shows, as its address says it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cupel.core.model import MachineState
from fakes.rows import World
from unit.web.visit import HTML, Visitor, visit


def park() -> World:
    world = World()
    north, south = world.host("north", 4), world.host("south", 4)
    world.machine(north, MachineState.READY)
    world.machine(south, MachineState.HELD)
    world.put(dataclasses.replace(world.machine(south, MachineState.ERROR), label="debian-13"))
    return world


def test_machines_are_filtered_and_grouped_in_the_address(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        for query, shown in (
            ("", {1, 2, 3}),
            ("host=south", {2, 3}),
            ("host=south&state=held", {2}),
            ("label=debian-13", {3}),
            ("project=none-such", set()),
        ):
            page = await visitor.see(f"/machines?{query}")
            assert {each for each in (1, 2, 3) if f'id="machine-{each}"' in page} == shown, query
        assert "No machine fits" in page
        grouped = await visitor.see("/machines?group=host")
        assert grouped.count("group-title") == 2

    visit(park(), tmp_path, act)


def test_what_cannot_be_filtered_for_is_said(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        for query, words in (("state=bad", "is no state of a machine"), ("group=x", "grouped by")):
            answer = await visitor.client.get(f"/machines?{query}", headers=HTML)
            assert (answer.status_code, words in answer.text) == (400, True)
        await visitor.see("/hosts/nobody", 404)
        await visitor.see("/machines/99999", 404)

    visit(park(), tmp_path, act)
