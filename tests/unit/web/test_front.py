from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from cupel.control.views import took
from cupel.control.views.front import front_view
from cupel.control.views.nouns.front import FrontView, Health
from cupel.core.model import (
    Change,
    ChangeState,
    Item,
    ItemState,
    PatchSet,
    Pipeline,
    Project,
)
from cupel.core.quarantine import Quarantine
from cupel.web import front
from fakes import busy, long_queue
from fakes.rows import World, oid
from unit.web.visit import Visitor, visit


def look(world: World, tmp_path: Path) -> FrontView:
    async def act(visitor: Visitor) -> FrontView:
        async with visitor.served.store.read() as tx:
            shown = await front_view(tx, url=visitor.served.url, now=world.now)
        answer = await visitor.client.get("/api/status/front")
        assert FrontView.model_validate(answer.json()) == shown
        await visitor.see("/")
        return shown

    return visit(world, tmp_path, act)


def landed(world: World, project: Project, title: str, *, ended: float, **more: Any) -> Item:
    change = world.change(project, title, state=ChangeState.LANDED, age=ended + 1000)
    return world.item(
        change, Pipeline.GATE, state=ItemState.LANDED, onto=oid("base"), age=ended + 100,
        ended=ended, **more,
    )  # fmt: skip


def after(world: World, of: Item, state: ItemState, *, ended: float) -> None:
    """What ran after landing, on the commit that landed."""
    number = world.id(Item)
    world.put(
        dataclasses.replace(
            of, id=number, pipeline=Pipeline.POST, state=state, commit=oid("head"),
            change_id=None, position=number, finished_at=world.now - ended,
        )
    )  # fmt: skip


def test_a_busy_server(tmp_path: Path) -> None:
    shown = look(busy.busy().world, tmp_path)
    first, second = shown.projects
    assert (first.health.state, second.health.state) == (Health.GREEN, Health.EMPTY)
    assert [item.status for item in first.landing] == ["landing", "running", "failed"]
    assert (first.gate, first.check, first.open_changes) == (6, 1, 8)
    assert (shown.busy, shown.slots, shown.hosts) == (4, 8, 1)
    assert [(it.about, it.name, it.who) for it in shown.troubles] == [("host", "anvil", None)]
    assert shown.landed[0].title == "Speed up LRUCache.get"


def test_green_is_a_commit_that_was_proved_and_nothing_failed_on_since(tmp_path: Path) -> None:
    world = World()
    project = world.project("one", head=oid("head"))
    item = landed(world, project, "Good", ended=600, commit=oid("head"))
    after(world, item, ItemState.PASSED, ended=500)
    health = look(world, tmp_path).projects[0].health
    assert (health.state, health.change) == (Health.GREEN, item.change_id)
    assert health.since == world.now - 600


def test_a_commit_that_failed_after_landing_is_somebodys(tmp_path: Path) -> None:
    world = World()
    project = world.project("one", head=oid("head"))
    item = landed(world, project, "Bad", ended=600, commit=oid("head"))
    after(world, item, ItemState.REJECTED, ended=300)
    shown = look(world, tmp_path)
    health = shown.projects[0].health
    assert (health.state, health.who, health.change) == (Health.BROKEN, "ada", item.change_id)
    assert health.since == world.now - 300
    assert [(it.about, it.name, it.who) for it in shown.troubles] == [("branch", "one", "ada")]


def test_what_failed_before_the_head_is_over(tmp_path: Path) -> None:
    world = World()
    project = world.project("one", head=oid("head"))
    item = landed(world, project, "Good", ended=600, commit=oid("head"))
    number = world.id(Item)
    bad = dataclasses.replace(item, id=number, pipeline=Pipeline.POST, commit=oid("older"))
    world.put(dataclasses.replace(bad, state=ItemState.REJECTED, finished_at=world.now - 100))
    assert look(world, tmp_path).projects[0].health.state is Health.GREEN


def test_what_was_moved_around_the_gate_is_not_proved(tmp_path: Path) -> None:
    world = World()
    project = world.project("one", head=oid("moved"))
    landed(world, project, "Good", ended=600, commit=oid("head"))
    assert look(world, tmp_path).projects[0].health.state is Health.UNPROVED


def test_a_closed_queue_says_why_and_by_whom(tmp_path: Path) -> None:
    world = World()
    queue = world.queue("platform", closed="the disk is full", closed_by="eve")
    world.project("one", head=oid("head"), queue=queue)
    shown = look(world, tmp_path)
    assert shown.projects[0].health.state is Health.CLOSED
    assert [(it.about, it.text, it.who) for it in shown.troubles] == [
        ("queue", "closed: the disk is full", "eve")
    ]


def test_tests_in_quarantine_are_told_by_owner(tmp_path: Path) -> None:
    world = World()
    project = world.project("one", head=None)
    for number, owner in enumerate(["ada", "ada", "eve", "late"], start=1):
        ends = -1.0 if owner == "late" else 86400.0
        world.put(
            Quarantine(
                id=number, project_id=project.id, job=None, test=f"{number}", name=f"t{number}",
                owner=owner, reason="flaky", created_by="ada", created_at=world.now - number,
                expires_at=world.now + ends,
            )
        )  # fmt: skip
    troubles = look(world, tmp_path).troubles
    assert [(it.name, it.text, it.who) for it in troubles] == [
        ("t1", "and 1 other test may fail for a while", "ada"),
        ("t3", "may fail for a while", "eve"),
    ]


def test_hosts_that_are_set_aside_are_told(tmp_path: Path) -> None:
    world = World()
    host = world.host("north", 4, detail="five machines failed")
    world.put(dataclasses.replace(host, quarantined_until=world.now + 60))
    troubles = look(world, tmp_path).troubles
    assert [(it.name, it.text) for it in troubles] == [("north", "set aside: five machines failed")]


def test_how_long_things_took(tmp_path: Path) -> None:
    """Approved 300 s after it was made, pushed 60 s after, landed `ended` seconds ago."""
    world = World()
    project = world.project("one", head=oid("head"))
    for number in range(20):
        landed(world, project, f"Change {number}", ended=1000.0 * number + 1)
    landed(world, project, "Long ago", ended=took.LATELY + 10)
    shown = look(world, tmp_path).projects[0]
    assert shown.to_land.count == shown.to_verdict.count == 20
    assert shown.to_land.median == pytest.approx(700)
    assert shown.to_verdict.p95 == pytest.approx(940)


def test_time_to_land_begins_with_the_last_approval_that_it_took(tmp_path: Path) -> None:
    world = World()
    project = world.project("one", head=oid("head"))
    item = landed(world, project, "Change", ended=10.0)
    change = world.rows_of(Change)[item.change_id or 0]
    world.put(dataclasses.replace(change, land_asked_at=item.enqueued_at - 5))
    assert look(world, tmp_path).projects[0].to_land.median == pytest.approx(105)
    late = dataclasses.replace(change, land_asked_at=item.enqueued_at + 50)
    world.put(late)
    assert look(world, tmp_path).projects[0].to_land.median == pytest.approx(710 - 10)


def test_the_first_verdict_counts_and_not_the_last(tmp_path: Path) -> None:
    world = World()
    project = world.project("one", head=oid("head"))
    item = landed(world, project, "Change", ended=10.0)
    number = world.id(Item)
    check = dataclasses.replace(item, id=number, pipeline=Pipeline.CHECK, state=ItemState.PASSED)
    world.put(dataclasses.replace(check, finished_at=world.now - 400))
    pushed = next(iter(world.rows_of(PatchSet).values())).created_at
    assert look(world, tmp_path).projects[0].to_verdict.median == world.now - 400 - pushed


def test_ranks_are_times_of_somebody() -> None:
    assert took.took([]).median is None
    assert (took.took([7.0]).median, took.took([7.0]).p95) == (7.0, 7.0)
    many = took.took([float(n) for n in range(1, 101)])
    assert (many.median, many.p95) == (50.0, 95.0)


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([], "There is no project yet"),
        (["empty"], "Nothing has landed yet"),
        (["green", "empty"], "p0 is green"),
        (["green", "green"], "Everything is green"),
        (["green", "unproved"], "1 of 2 are green, nothing is broken"),
        (["unproved"], "0 of 1 is green, nothing is broken"),
        (["green", "closed"], "p1 is closed"),
        (["closed", "broken"], "p1 is broken"),
        (["broken", "broken"], "p0 and 1 more are broken"),
    ],
)
def test_the_headline_has_the_worst_first(states: list[str], said: str, tmp_path: Path) -> None:
    world = World()
    for number, _ in enumerate(states):
        world.project(f"p{number}", head=None)
    shown = look(world, tmp_path)
    told = [
        it.model_copy(update={"health": it.health.model_copy(update={"state": Health(state)})})
        for it, state in zip(shown.projects, states, strict=True)
    ]
    assert front.headline(shown.model_copy(update={"projects": told})) == said


def test_it_reads_little_of_a_long_queue(tmp_path: Path) -> None:
    """Of five hundred items those three of each project that land next are looked into."""
    world = long_queue.long_queue(500)
    shown = look(world, tmp_path)
    assert sum(project.gate for project in shown.projects) == 500
    assert [len(project.landing) for project in shown.projects] == [3, 3, 3]
