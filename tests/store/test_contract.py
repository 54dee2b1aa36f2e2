"""What every store does, in memory, SQLite and PostgreSQL alike."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import hypothesis
import pytest

from cupel.core import model
from cupel.core.model import Change, ChangeState, Event, Project
from cupel.errors import Bug, Conflict
from cupel.store import interface
from store import places, samples
from store.places import Place

Scenario = Callable[[interface.Store], Awaitable[None]]


def play(place: Place, scenario: Scenario) -> None:
    """Run a scenario on a store that is opened for it."""

    async def run() -> None:
        async with places.opened(place) as store:
            await scenario(store)

    asyncio.run(run())


@pytest.mark.parametrize("kind", samples.KINDS, ids=lambda kind: kind.__name__)
def test_a_row_of_any_class_comes_back_as_it_was_put(place: Place, kind: type[Any]) -> None:
    store = place.make()

    async def there_and_back(row: Any) -> None:
        expected = samples.kept(row)
        async with store.write() as transaction:
            await transaction.put([row])
            assert await transaction.get(kind, row.id) == expected
        async with store.read() as transaction:
            found = await transaction.select(kind, {"id": row.id})
        assert found == [expected]
        assert [type(value) for value in values(found[0])] == [
            type(value) for value in values(expected)
        ]
        async with store.write() as transaction:
            await transaction.delete(kind, [row.id])

    with asyncio.Runner() as runner:
        runner.run(store.open())

        @hypothesis.settings(max_examples=25, deadline=None, database=None)
        @hypothesis.given(row=samples.strategy(kind))
        def check(row: Any) -> None:
            runner.run(there_and_back(row))

        try:
            check()
        finally:
            runner.run(store.close())


def values(row: Any) -> list[Any]:
    return [getattr(row, field.name) for field in dataclasses.fields(row)]


def test_text_keeps_everything_but_what_databases_refuse(place: Place) -> None:
    async def scenario(store: interface.Store) -> None:
        async with store.write() as transaction:
            await transaction.put([samples.project(1, "🥇 naïve\0 \ud800 'quoted' \\ %s ?")])
        async with store.read() as transaction:
            kept = "🥇 naïve\ufffd \ufffd 'quoted' \\ %s ?"
            assert (await transaction.select(Project, {"name": kept}))[0].name == kept
            # What is looked for is changed in the same way, so it is found by what was put.
            assert await transaction.count(Project, {"name": "🥇 naïve\0 \ud800 'quoted' \\ %s ?"})

    play(place, scenario)


def test_a_row_that_is_not_there_is_none(place: Place) -> None:
    async def scenario(store: interface.Store) -> None:
        async with store.read() as transaction:
            assert await transaction.get(Project, 1) is None
            assert await transaction.select(Project) == []
            assert await transaction.count(Project) == 0

    play(place, scenario)


def test_put_replaces_the_row_of_the_same_id(place: Place) -> None:
    async def scenario(store: interface.Store) -> None:
        async with store.write() as transaction:
            await transaction.put([samples.project(1, "old"), samples.project(2)])
        async with store.write() as transaction:
            await transaction.put([samples.project(1, "between"), samples.project(1, "new")])
            assert await transaction.count(Project, {"name": "old"}) == 0
        async with store.read() as transaction:
            assert [row.name for row in await transaction.select(Project)] == ["new", "project-2"]

    play(place, scenario)


EVENTS = [
    samples.event(1, project_id=1, user="ada"),
    samples.event(2, project_id=1, user=None, at=9.0),
    samples.event(3, project_id=2, user="bob"),
    samples.event(4, project_id=None, user="Zoë", kind="host-lost"),
    samples.event(5, project_id=2, user="bob", kind="host-lost", at=9.0),
]

SELECTIONS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [1, 2, 3, 4, 5]),
    ({"where": {"project_id": 1}}, [1, 2]),
    ({"where": {"project_id": None}}, [4]),
    ({"where": {"project_id": [2, None]}}, [3, 4, 5]),
    ({"where": {"project_id": (1, 2), "user": {"bob", "Zoë"}}}, [3, 5]),
    ({"where": {"user": []}}, []),
    ({"where": {"user": "nobody"}}, []),
    ({"where": {"kind": "host-lost", "at": 9.0}}, [5]),
    ({"where": {"id": frozenset({2, 4, 77})}}, [2, 4]),
    ({"descending": True}, [5, 4, 3, 2, 1]),
    ({"limit": 2}, [1, 2]),
    ({"limit": 0}, []),
    ({"limit": 2, "descending": True}, [5, 4]),
    ({"after": 2}, [3, 4, 5]),
    ({"before": 3, "descending": True, "limit": 1}, [2]),
    ({"after": 1, "before": 5, "where": {"project_id": [1, 2]}}, [2, 3]),
    ({"order": "at"}, [1, 3, 4, 2, 5]),
    ({"order": "at", "descending": True}, [5, 2, 4, 3, 1]),
    ({"order": "user"}, [2, 4, 1, 3, 5]),  # None first, then by code point
    ({"order": "user", "descending": True}, [5, 3, 1, 4, 2]),
    ({"order": "user", "after": 1, "limit": 2}, [2, 4]),
]


def test_select_filters_orders_and_limits(place: Place) -> None:
    async def check(transaction: interface.Transaction) -> None:
        for arguments, expected in SELECTIONS:
            found = await transaction.select(Event, **arguments)
            assert [row.id for row in found] == expected, arguments
            where = arguments.get("where")
            if set(arguments) == {"where"}:
                assert await transaction.count(Event, where) == len(expected)

    async def scenario(store: interface.Store) -> None:
        async with store.write() as transaction:
            await transaction.put(EVENTS[3:])
        async with store.write() as transaction:
            # In a transaction, what is stored and what it has put itself are one.
            await transaction.put([*EVENTS[:3], samples.event(6)])
            await transaction.delete(Event, [6])
            await check(transaction)
        async with store.read() as transaction:
            await check(transaction)

    play(place, scenario)


def test_values_are_fields_of_what_select_finds(place: Place) -> None:
    async def scenario(store: interface.Store) -> None:
        async with store.write() as transaction:
            await transaction.put(EVENTS)
        async with store.read() as transaction:
            for arguments, _ in SELECTIONS:
                if "order" in arguments:
                    continue
                found = await transaction.values(Event, ("id", "user", "at"), **arguments)
                rows = await transaction.select(Event, **arguments)
                assert found == [(row.id, row.user, row.at) for row in rows], arguments

    play(place, scenario)


def test_values_are_what_fields_are(place: Place) -> None:
    project = dataclasses.replace(samples.project(1), branches=("main", "naïve"))

    async def scenario(store: interface.Store) -> None:
        async with store.write() as transaction:
            await transaction.put([samples.change(1), project])
            names = ("state", "wants_land", "topic", "created_at")
            found = (await transaction.values(Change, names))[0]
            row = await transaction.get(Change, 1)
            assert found == tuple(getattr(row, name) for name in names)
            assert type(found[0]) is ChangeState
            assert found[1] is row.wants_land
            kept = await transaction.values(Project, ["branches"])
            assert kept == [(("main", "naïve"),)]
        async with store.read() as transaction:
            with pytest.raises(Bug, match="no 'nonsense'"):
                await transaction.values(Project, ["nonsense"])

    play(place, scenario)


def test_enums_and_booleans_can_be_selected_by(place: Place) -> None:
    landed = samples.change(2, state=ChangeState.LANDED, wants_land=True)

    async def scenario(store: interface.Store) -> None:
        async with store.write() as transaction:
            await transaction.put([samples.change(1), landed])
        async with store.read() as transaction:
            states = [ChangeState.LANDED, ChangeState.ABANDONED]
            assert await transaction.select(Change, {"state": states}) == [landed]
            assert await transaction.select(Change, {"wants_land": True}) == [landed]
            assert await transaction.count(Change, {"wants_land": [True, False]}) == 2

    play(place, scenario)


def test_an_order_is_the_same_whatever_changed_in_it(place: Place) -> None:
    async def scenario(store: interface.Store) -> None:
        async with store.write() as transaction:
            await transaction.put([samples.change(each) for each in (5, 3, 1, 4, 2)])
        async with store.write() as transaction:
            await transaction.put([samples.change(3, state=ChangeState.LANDED)])
            await transaction.put([samples.change(3, title="again")])
            await transaction.delete(Change, [4, 99])
        async with store.read() as transaction:
            opened = await transaction.select(Change, {"state": ChangeState.OPEN})
            assert [row.id for row in opened] == [1, 2, 3, 5]
            assert [row.id for row in await transaction.select(Change)] == [1, 2, 3, 5]
            assert await transaction.get(Change, 4) is None

    play(place, scenario)


def test_five_thousand_rows_in_one_put(place: Place) -> None:
    everything = [samples.change(each) for each in range(1, 5001)]

    async def scenario(store: interface.Store) -> None:
        async with store.write() as transaction:
            await transaction.put(everything)
        async with store.read() as transaction:
            assert await transaction.select(Change) == everything
            some = list(range(1, 5001, 2))
            assert await transaction.count(Change, {"id": some}) == len(some)
        async with store.write() as transaction:
            await transaction.delete(Change, some)
            assert await transaction.count(Change) == len(everything) - len(some)

    play(place, scenario)


def test_an_exception_rolls_everything_back(place: Place) -> None:
    async def scenario(store: interface.Store) -> None:
        async with store.write() as transaction:
            await transaction.put([samples.project(1, "before")])
        with pytest.raises(ZeroDivisionError):
            await fail(store)
        async with store.read() as transaction:
            assert [row.name for row in await transaction.select(Project)] == ["before"]
            assert await transaction.select(Project, {"name": "after"}) == []
        async with store.write() as transaction:
            assert await transaction.reserve("machine") == 1
            await transaction.put([samples.project(4, "after")])

    async def fail(store: interface.Store) -> None:
        async with store.write() as transaction:
            await transaction.put([samples.project(1, "after"), samples.project(2)])
            await transaction.delete(Project, [2])
            await transaction.reserve("machine", 10)
            raise ZeroDivisionError

    play(place, scenario)


def test_a_cancelled_writer_leaves_nothing(place: Place) -> None:
    async def scenario(store: interface.Store) -> None:
        begun = asyncio.Event()

        async def write() -> None:
            async with store.write() as transaction:
                await transaction.put([samples.project(1)])
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(write())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with store.write() as transaction:
            assert await transaction.count(Project) == 0
            await transaction.put([samples.project(2)])

    play(place, scenario)


@pytest.mark.parametrize("cancels", [1, 2])
def test_a_writer_that_is_cancelled_anywhere_leaves_all_or_nothing(
    place: Place, cancels: int
) -> None:
    async def scenario(store: interface.Store) -> None:
        async def write(first: int) -> None:
            async with store.write() as transaction:
                await transaction.put([samples.project(first)])
                await transaction.put([samples.project(first + 1)])

        for attempt in range(40):
            task = asyncio.create_task(write(2 * attempt))
            for _ in range(cancels):
                await asyncio.sleep(attempt * 5e-5)  # a transaction takes some 10 of these
                task.cancel()
            await asyncio.wait([task])
            async with store.write() as transaction:
                pair = await transaction.select(Project, after=2 * attempt - 1)
                assert len(pair) in ((0, 2) if task.cancelled() else (2,))

    play(place, scenario)


def test_a_reader_sees_its_snapshot_whatever_is_committed(place: Place) -> None:
    async def scenario(store: interface.Store) -> None:
        before = [samples.change(1), samples.change(2), samples.change(3)]
        async with store.write() as transaction:
            await transaction.put(before)
        async with store.read() as reader:
            for title in ("first", "second"):
                async with store.write() as writer:
                    await writer.put([samples.change(1, title=title, state=ChangeState.LANDED)])
                    await writer.delete(Change, [2])
                    await writer.put([samples.change(4)])
            assert await reader.select(Change) == before
            assert await reader.select(Change, {"state": ChangeState.LANDED}) == []
            assert await reader.count(Change, {"state": ChangeState.OPEN}) == 3
            assert await reader.get(Change, 2) == before[1]
            assert await reader.get(Change, 4) is None
        async with store.read() as reader:
            assert [row.id for row in await reader.select(Change)] == [1, 3, 4]
            assert (await reader.select(Change))[0].title == "second"

    play(place, scenario)


def test_what_is_not_committed_nobody_sees(place: Place) -> None:
    async def scenario(store: interface.Store) -> None:
        async with store.write() as writer:
            await writer.put([samples.project(1)])
            async with store.read() as reader:
                assert await reader.get(Project, 1) is None

    play(place, scenario)


def test_concurrent_writers_lose_nothing(place: Place) -> None:
    async def scenario(store: interface.Store) -> None:
        async with places.opened(place) as other:
            async with store.write() as transaction:
                await transaction.put([samples.change(1, patch_set=0)])
            async with asyncio.TaskGroup() as group:
                for index in range(40):
                    group.create_task(add_one(other if index % 2 else store))
            async with store.read() as transaction:
                row = await transaction.get(Change, 1)
        assert row is not None
        assert row.patch_set == 40

    async def add_one(store: interface.Store) -> None:
        async with store.write() as transaction:
            row = await transaction.get(Change, 1)
            assert row is not None
            await asyncio.sleep(0)
            await transaction.put([dataclasses.replace(row, patch_set=row.patch_set + 1)])

    play(place, scenario)


def test_reserved_numbers_are_nobody_elses(place: Place) -> None:
    async def scenario(store: interface.Store) -> None:
        async def some(count: int) -> range:
            async with store.write() as transaction:
                first = await transaction.reserve("machine", count)
                await asyncio.sleep(0)
                assert await transaction.reserve("machine", 1) == first + count
            return range(first, first + count + 1)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(some(count)) for count in range(1, 21)]
        numbers = [number for task in tasks for number in task.result()]
        assert sorted(numbers) == list(range(1, len(numbers) + 1))
        async with store.write() as transaction:
            assert await transaction.reserve("change") == 1

    play(place, scenario)


UNIQUE: list[tuple[Any, Any]] = [
    (samples.project(1, "one"), samples.project(2, "one")),
    (
        model.Queue(id=1, name="one", created_at=1.0),
        model.Queue(id=2, name="one", created_at=2.0),
    ),
    (
        model.Branch(id=1, project_id=1, name="main", head=None),
        model.Branch(id=2, project_id=1, name="main", head="abc"),
    ),
]


@pytest.mark.parametrize(("first", "second"), UNIQUE, ids=["project", "queue", "branch"])
@pytest.mark.parametrize("together", [True, False])
def test_a_taken_name_is_refused(place: Place, first: Any, second: Any, together: bool) -> None:
    kind = type(first)

    async def scenario(store: interface.Store) -> None:
        if not together:
            async with store.write() as transaction:
                await transaction.put([first])
        with pytest.raises(Conflict):
            await put(store, [first, second] if together else [second])
        async with store.write() as transaction:
            assert await transaction.count(kind) == (0 if together else 1)
            # It is free again once its holder is gone or has another.
            await transaction.put([first])
            await transaction.delete(kind, [first.id])
            await transaction.put([second])
            await transaction.put([dataclasses.replace(second, name="other"), first])

    async def put(store: interface.Store, rows: list[Any]) -> None:
        async with store.write() as transaction:
            await transaction.put(rows)

    play(place, scenario)


def test_after_an_error_a_transaction_is_of_no_use(place: Place) -> None:
    async def scenario(store: interface.Store) -> None:
        with pytest.raises(Bug, match="after an error"):
            await swallow(store)
        async with store.read() as transaction:
            assert await transaction.count(Project) == 0

    async def swallow(store: interface.Store) -> None:
        async with store.write() as transaction:
            await transaction.put([samples.project(1, "one")])
            with pytest.raises(Conflict):
                await transaction.put([samples.project(2, "one")])
            with pytest.raises(Bug):
                await transaction.get(Project, 1)

    play(place, scenario)


def test_misuse_is_a_bug(place: Place) -> None:
    async def scenario(store: interface.Store) -> None:
        async with store.read() as reader:
            with pytest.raises(Bug, match="read transaction"):
                await reader.put([samples.project(1)])
            with pytest.raises(Bug, match="read transaction"):
                await reader.delete(Project, [1])
            with pytest.raises(Bug, match="read transaction"):
                await reader.reserve("change")
            with pytest.raises(Bug, match="'policy'"):
                await reader.select(Project, {"policy": model.Policy()})
            with pytest.raises(Bug, match="'colour'"):
                await reader.select(Project, order="colour")
        with pytest.raises(Bug, match="after its end"):
            await reader.get(Project, 1)
        async with store.write() as writer:
            with pytest.raises(Bug, match="reserved"):
                await writer.reserve("change", 0)

    play(place, scenario)


def test_rows_outlive_the_store(place: Place) -> None:
    async def scenario(store: interface.Store) -> None:
        async with store.write() as transaction:
            await transaction.put([samples.project(1)])
            await transaction.reserve("machine", 5)

    async def again(store: interface.Store) -> None:
        async with store.write() as transaction:
            assert await transaction.select(Project) == [samples.project(1)]
            assert await transaction.reserve("machine") == 6

    play(place, scenario)
    play(place, again)


def test_there_is_one_planner(place: Place) -> None:
    async def scenario(first: interface.Store) -> None:
        async with places.opened(place) as second:
            assert await first.lock_planner()
            assert await first.lock_planner()
            assert not await second.lock_planner()
            async with second.write() as transaction:  # who is not the planner may write
                await transaction.put([samples.project(1)])
            await first.close()
            assert await second.lock_planner()
            async with second.write() as transaction:
                assert await transaction.count(Project) == 1

    play(place, scenario)
