"""What people ask for, checked against what there is; nothing is planned."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from cupel.control.commands import Commands
from cupel.control.engine import ID_COUNTER, Engine
from cupel.control.feed import Feed
from cupel.control.states import Repositories
from cupel.core.model import (
    Branch,
    Change,
    ChangeState,
    Event,
    Host,
    HostState,
    Item,
    ItemState,
    Landing,
    MergeMethod,
    Pipeline,
    Policy,
    Project,
    Queue,
    Row,
)
from cupel.errors import Conflict, NotFound, UserError
from cupel.store.memory import MemoryStore
from unit.core import fleet
from unit.core.making import change, patch_set, project, queue

T = TypeVar("T")


def item(number: int, **fields: object) -> Item:
    made = Item(
        id=number,
        pipeline=Pipeline.GATE,
        project_id=1,
        branch="main",
        change_id=number,
        patch_set=1,
        commit="c",
        state=ItemState.LIVE,
        position=number,
        buildset_id=None,
        enqueued_at=0.0,
    )
    return replace(made, **fields)


def ask(directory: Path, asked: Callable[[Commands, MemoryStore], Awaitable[T]], *rows: Row) -> T:
    """What is answered, where project 1 goes through queue 3 and project 4 through queue 5."""

    async def run() -> T:
        store = MemoryStore()
        free = Policy(approvals=0)
        async with store.write() as tx:
            await tx.reserve(ID_COUNTER, 1000)
            await tx.put(
                [
                    queue(3, name="shared"),
                    queue(5, name="other"),
                    project(1, name="one", policy=free),
                    project(4, name="four", queue_id=5, policy=free),
                    Branch(id=1, project_id=1, name="main", head=None),
                    *rows,
                ]
            )
        clock = itertools.count(10).__next__
        engine = Engine(store, Feed(), clock)
        repositories = Repositories(directory / "git")
        return await asked(
            Commands(store, engine, repositories, directory, clock, lambda image: True), store
        )

    return asyncio.run(run())


async def kept(store: MemoryStore, kind: type[T]) -> list[T]:
    async with store.read() as tx:
        return await tx.select(kind)


def test_a_queue_is_made_changed_closed_and_opened(tmp_path: Path) -> None:
    async def asked(commands: Commands, store: MemoryStore) -> None:
        made = await commands.set_queue("new", {"landing": Landing.SET}, user="ada")
        assert (made.landing, made.window, made.cycles) == (Landing.SET, None, False)
        made = await commands.set_queue("new", {"window": 4, "cycles": True}, user="ada")
        assert (made.landing, made.window, made.cycles) == (Landing.SET, 4, True)
        closed = await commands.close_queue("new", reason=" no\n power ", user="eve")
        assert (closed.closed, closed.closed_by, closed.window) == ("no power", "eve", 4)
        opened = await commands.open_queue("new", user="bob")
        assert (opened.closed, opened.closed_by) == (None, None)
        with pytest.raises(Conflict, match="is open"):
            await commands.open_queue("new", user="bob")

    ask(tmp_path, asked)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"planner": "magic"}, "no planner 'magic'"),
        ({"window": 2}, "not between its floor 3 and its ceiling without limit"),
        ({"window": 9, "window_ceiling": 8}, "ceiling 8"),
        ({"window_ceiling": 2}, "ceiling 2 is below its floor 3"),
        ({"window_floor": 0}, "at least 1"),
    ],
)
def test_rules_that_cannot_be_are_refused(
    tmp_path: Path, rules: dict[str, object], said: str
) -> None:
    async def asked(commands: Commands, store: MemoryStore) -> None:
        with pytest.raises(UserError, match=said):
            await commands.set_queue("shared", rules, user="ada")

    ask(tmp_path, asked)


def test_only_queues_that_there_are_can_be_closed_or_joined(tmp_path: Path) -> None:
    async def asked(commands: Commands, store: MemoryStore) -> None:
        for attempt in (
            commands.close_queue("none", reason="x", user="ada"),
            commands.open_queue("none", user="ada"),
            commands.set_project("one", policy={}, queue="none", user="ada"),
            commands.add_project(
                "new", source=None, branch=None, policy=Policy(), queue="none", user="ada"
            ),
        ):
            with pytest.raises(NotFound, match="no queue none"):
                await attempt
        with pytest.raises(UserError, match="for a reason"):
            await commands.close_queue("shared", reason=" ", user="ada")

    ask(tmp_path, asked)


def test_a_project_does_not_join_a_shared_queue_by_accident(tmp_path: Path) -> None:
    async def asked(commands: Commands, store: MemoryStore) -> None:
        with pytest.raises(Conflict, match="queue shared of other projects") as caught:
            await commands.add_project(
                "shared", source=None, branch=None, policy=Policy(), user="ada"
            )
        assert "--queue shared" in (caught.value.hint or "")

    ask(tmp_path, asked)


def test_a_policy_is_changed_in_part(tmp_path: Path) -> None:
    async def asked(commands: Commands, store: MemoryStore) -> Project:
        return await commands.set_project(
            "one", policy={"merge": MergeMethod.REBASE}, queue=None, user="ada"
        )

    assert ask(tmp_path, asked).policy == Policy(approvals=0, merge=MergeMethod.REBASE)


def test_a_project_changes_its_queue_while_nothing_of_it_is_in_the_gate(tmp_path: Path) -> None:
    async def asked(commands: Commands, store: MemoryStore) -> None:
        moved = await commands.set_project("four", policy={}, queue="shared", user="ada")
        assert moved.queue_id == 3
        assert [event.kind for event in await kept(store, Event)] == ["project.queue-set"]
        with pytest.raises(Conflict, match="one has changes in the gate"):
            await commands.set_project("one", policy={}, queue="other", user="ada")
        same = await commands.set_project("one", policy={}, queue="shared", user="ada")
        assert same.queue_id == 3

    ask(tmp_path, asked, change(7), patch_set(7), item(7))


IN_GATE = (
    *(row for number in (7, 8, 9) for row in (change(number), patch_set(number), item(number))),
    change(10),
    patch_set(10),
)


def test_promotion_is_of_what_is_in_the_gate(tmp_path: Path) -> None:
    async def asked(commands: Commands, store: MemoryStore) -> None:
        await commands.promote([9, 8], user="ada")
        items = sorted(await kept(store, Item), key=lambda item: item.position)
        assert [item.change_id for item in items] == [9, 8, 7]
        with pytest.raises(Conflict, match="change 10 is not in the gate"):
            await commands.promote([10], user="ada")
        with pytest.raises(NotFound, match="no change 99"):
            await commands.promote([99], user="ada")

    ask(tmp_path, asked, *IN_GATE)


def test_what_is_made_urgent_in_the_gate_goes_to_the_front(tmp_path: Path) -> None:
    async def asked(commands: Commands, store: MemoryStore) -> None:
        assert (await commands.set_urgent(9, urgent=True, user="ada")).urgent
        items = sorted(await kept(store, Item), key=lambda item: item.position)
        assert [item.change_id for item in items] == [9, 7, 8]
        assert not (await commands.set_urgent(9, urgent=False, user="ada")).urgent

    ask(tmp_path, asked, *IN_GATE)


def test_what_can_never_enter_is_refused_with_the_reason(tmp_path: Path) -> None:
    async def asked(commands: Commands, store: MemoryStore) -> None:
        with pytest.raises(Conflict, match="needs #8, which was abandoned"):
            await commands.land(7, user="ada")
        with pytest.raises(Conflict, match="12 → 15 → 12"):
            await commands.land(12, user="ada")
        assert (await commands.land(9, user="ada")).wants_land

    ask(
        tmp_path,
        asked,
        change(7),
        patch_set(7, depends_on=(8,)),
        change(8, state=ChangeState.ABANDONED),
        patch_set(8),
        change(9),
        patch_set(9, depends_on=(10,)),
        change(10, project_id=4),
        patch_set(10),
        change(12),
        patch_set(12, depends_on=(15,)),
        change(15),
        patch_set(15, depends_on=(12,)),
    )


def test_a_project_can_get_a_queue_that_was_made_for_it(tmp_path: Path) -> None:
    async def asked(commands: Commands, store: MemoryStore) -> None:
        await commands.set_queue("new", {"cycles": True}, user="ada")
        made = await commands.add_project(
            "new", source=None, branch=None, policy=Policy(), user="ada"
        )
        queues = {row.id: row for row in await kept(store, Queue)}
        assert (queues[made.queue_id].name, queues[made.queue_id].cycles) == ("new", True)
        assert [row.owner for row in await kept(store, Change)] == []

    ask(tmp_path, asked)


def test_a_host_is_forgotten_once_it_is_lost(tmp_path: Path) -> None:
    async def asked(commands: Commands, store: MemoryStore) -> tuple[HostState, ...]:
        with pytest.raises(NotFound, match="there is no host nowhere"):
            await commands.forget_host("nowhere", user="ada")
        with pytest.raises(Conflict, match="host here is connected"):
            await commands.forget_host("here", user="ada")
        await commands.forget_host("gone", user="ada")
        with pytest.raises(NotFound):
            await commands.forget_host("gone", user="ada")
        async with store.read() as tx:
            return tuple(host.state for host in await tx.select(Host, order="name"))

    hosts = [fleet.host(31, name="here"), fleet.host(32, name="gone", state=HostState.LOST)]
    assert ask(tmp_path, asked, *hosts) == (HostState.FORGOTTEN, HostState.CONNECTED)
