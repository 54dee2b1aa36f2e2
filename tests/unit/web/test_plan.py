"""The plan of a queue as a page: what may come, joined to what it stands on."""

from __future__ import annotations

import html
import re
from pathlib import Path

from cupel.control import views
from cupel.core.model import BuildState, MachineState, Pipeline, Verdict
from cupel.web import plan
from fakes.long_queue import long_queue
from fakes.rows import World, job, oid
from unit.web.visit import Visitor, visit


def doubtful() -> World:
    """The second of three fails with the first; the third is proved without it."""
    world = World()
    project = world.project("p", head=oid("head"))
    host = world.host("forge", 4)
    jobs = [job("tests")]
    first = world.item(world.change(project, "one"), Pipeline.GATE, onto=oid("head"), jobs=jobs)
    world.build(first, "tests", BuildState.FINISHED, Verdict.SUCCESS)
    onto = world.head_of(first)
    bad = world.item(world.change(project, "two"), Pipeline.GATE, onto=onto, jobs=jobs)
    for attempt in (1, 2):
        world.build(bad, "tests", BuildState.FINISHED, Verdict.FAILURE, attempt=attempt)
    third = world.item(world.change(project, "three"), Pipeline.GATE, onto=onto, jobs=jobs)
    used = world.machine(host, MachineState.USED)
    world.build(third, "tests", BuildState.RUNNING, machine=used)
    return world


def test_states_that_may_come_are_joined_to_what_they_stand_on(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> tuple[str, plan.Lattice]:
        async with visitor.served.store.read() as tx:
            shown = await views.plan_view(tx, "p", None, now=visitor.served.clock())
        return await visitor.see("/queue/p/plan"), plan.lattice(shown)

    page, lattice = visit(doubtful(), tmp_path, act)
    states = {tuple(row.state.changes): row for row in lattice.rows}
    assert states[1,].look.word == "passed"
    assert states[1, 2].look.word == "failed"
    assert states[1, 2].picture.bad
    assert states[1, 3].look.word == "running"
    assert states[1, 3].state.expected
    assert states[1, 3].picture.x == states[1,].picture.x
    assert states[1, 3].state.chance > 0.5
    assert [want.job for want in states[1, 3].wants] == ["tests"]
    rows = dict(re.findall(r'<li data-row id="state-([\d-]+)"(.*?)</li>\n', page, re.DOTALL))
    text = html.unescape(re.sub(r"<[^>]*>", "", rows["1-3"]))
    assert "main + #1 + #3" in text
    assert "Where #3 is expected to land" in text
    assert "needed with a chance of" in text
    assert "How to read this" in page


def test_what_may_come_otherwise_says_when(tmp_path: Path) -> None:
    world = doubtful()

    async def act(visitor: Visitor) -> list[str]:
        async with visitor.served.store.read() as tx:
            shown = await views.plan_view(tx, "p", None, now=world.now)
        return [state.text for state in shown.states if not state.expected]

    assert set(visit(world, tmp_path, act)) <= {
        "in case #1 leaves", "in case #2 leaves", "in case #1 #2 leave",
        "in case all ahead of it land",
    }  # fmt: skip


def test_of_a_long_plan_the_front_is_shown_and_the_rest_on_demand(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> tuple[str, str]:
        path = "/queue/platform/plan"
        return await visitor.see(path), await visitor.see(f"{path}?all=1")

    front, every = visit(long_queue(70, machines=20), tmp_path, act)
    assert front.count('id="entry-') == front.count('id="state-') == plan.LISTED
    assert "60 of 70 in order" in front
    assert every.count('id="entry-') == 70
    assert "show all" not in every
