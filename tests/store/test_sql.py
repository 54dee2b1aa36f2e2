"""What only databases can do: be migrated, be shared by processes, and fail."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic import autogenerate, config, script
from alembic.runtime import migration

import cupel
from cupel import store
from cupel.core import model
from cupel.core.model import Project
from cupel.errors import Bug, InfraError, UserError
from cupel.store import interface, migrations, schema, sql, sqlite, statements
from store import samples


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[interface.Store]:
    made = await store.open_store(url)
    try:
        yield made
    finally:
        await made.close()


def create(url: str) -> None:
    """Make the store, with one project in it."""

    async def run() -> None:
        async with opened(url) as made, made.write() as transaction:
            await transaction.put([samples.project(1)])

    asyncio.run(run())


@contextlib.contextmanager
def inspected(url: str) -> Iterator[sa.Connection]:
    """A plain connection to the database of a store."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


# Migrations


def test_the_migrations_make_what_the_schema_says(sql_url: str) -> None:
    create(sql_url)
    with inspected(sql_url) as connection:
        context = migration.MigrationContext.configure(
            connection, opts={"include_object": _not_alembics}
        )
        assert autogenerate.compare_metadata(context, schema.metadata) == []


def _not_alembics(_: object, name: str | None, *__: object) -> bool:
    return name != "alembic_version"


def test_the_migrations_make_it_to_the_letter(sqlite_url: str) -> None:
    """Alembic compares no conditions of indexes; SQLite keeps every statement as it was given."""
    create(sqlite_url)
    direct = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    with direct.begin() as connection:
        schema.metadata.create_all(connection)
        expected = _statements(connection)
    direct.dispose()
    with inspected(sqlite_url) as connection:
        assert _statements(connection) == expected


def _statements(connection: sa.Connection) -> dict[str, str]:
    found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    ours = (
        (name, " ".join(text.split()))
        for name, text in found
        if name != "alembic_version" and not name.startswith("sqlite_")
    )
    return {name: text.replace(" ,", ",") for name, text in ours}


def test_the_newest_migration_is_the_schemas() -> None:
    settings = config.Config()
    settings.set_main_option("script_location", str(migrations.HERE))
    assert script.ScriptDirectory.from_config(settings).get_heads() == [schema.REVISION]


def test_a_newer_store_is_left_alone(sql_url: str) -> None:
    create(sql_url)
    with inspected(sql_url) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(InfraError, match="9999") as caught:
        asyncio.run(store.open_store(sql_url))
    assert "newer Cupel" in (caught.value.hint or "")
    with inspected(sql_url) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM projects").scalar() == 1


def test_two_that_open_a_new_database_at_once_make_it_once(sql_url: str) -> None:
    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(use())

    async def use() -> None:
        async with opened(sql_url) as made, made.write() as transaction:
            await transaction.reserve("machine")

    asyncio.run(run())
    with inspected(sql_url) as connection:
        assert connection.exec_driver_sql("SELECT value FROM counters").scalar() == 3


# Processes


@contextlib.contextmanager
def process(what: str, url: str) -> Iterator[subprocess.Popen[str]]:
    """A `writer.py`, killed in the end whatever it does."""
    program = Path(__file__).with_name("writer.py")
    environment = os.environ | {"PYTHONPATH": str(Path(cupel.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, program, what, url], stdout=subprocess.PIPE, text=True, env=environment
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def test_a_killed_writer_keeps_what_it_acknowledged(sql_url: str) -> None:
    with process("write", sql_url) as writer:
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(50)]
        writer.kill()
        acknowledged += [int(line) for line in writer.stdout]

    async def look() -> list[int]:
        async with opened(sql_url) as made, made.read() as transaction:
            return [row.id for row in await transaction.select(Project)]

    kept = asyncio.run(look())
    assert {first + each for first in acknowledged for each in range(3)} <= set(kept)
    assert len(kept) % 3 == 0  # every transaction whole, or not at all
    assert len(kept) - 3 * len(acknowledged) in (0, 3)


def test_a_killed_planner_leaves_its_place(sql_url: str) -> None:
    async def run() -> None:
        async with opened(sql_url) as made:
            assert not await made.lock_planner()
            planner.kill()
            planner.wait()
            async with asyncio.timeout(60):
                while not await made.lock_planner():  # until PostgreSQL has noticed
                    await asyncio.to_thread(time.sleep, 0.01)

    with process("plan", sql_url) as planner:
        assert planner.stdout is not None
        assert planner.stdout.readline() == "True\n"
        asyncio.run(run())


def test_nothing_is_left_running_after_close(sql_url: str) -> None:
    before = set(threading.enumerate())

    async def run() -> None:
        async with opened(sql_url) as made:
            async with made.read(), made.read(), made.write():
                pass
            await made.lock_planner()

    asyncio.run(run())
    left = set(threading.enumerate()) - before
    for thread in left:  # told to end, a thread may take a moment on a busy computer
        thread.join(timeout=10)
    assert not any(thread.is_alive() for thread in left)


# Faults


def test_a_closed_store_is_a_bug() -> None:
    async def run() -> None:
        async with sql.SqlStore("sqlite:////nowhere/at/all").read():
            pass

    with pytest.raises(Bug, match="not open"):
        asyncio.run(run())


@pytest.mark.parametrize("url", ["", "cupel.db", "mysql://root@localhost/cupel", "sqlite://"])
def test_a_url_that_is_no_stores(url: str) -> None:
    with pytest.raises(UserError) as caught:
        asyncio.run(store.open_store(url))
    assert caught.value.hint is not None


def test_a_full_disk(sqlite_url: str) -> None:
    create(sqlite_url)

    def fill(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 1").close()  # no more than there are

    async def run() -> None:
        async with opened(sqlite_url) as made:
            with pytest.raises(InfraError, match="full") as caught:
                await write(made)
            assert "free some space" in (caught.value.hint or "")
            async with made.read() as transaction:
                assert await transaction.select(Project) == [samples.project(1)]

    async def write(made: interface.Store) -> None:
        async with made.write() as transaction:
            await transaction.put([samples.project(id=each) for each in range(2, 10_000)])

    sa.event.listen(sa.Pool, "connect", fill)
    try:
        asyncio.run(run())
    finally:
        sa.event.remove(sa.Pool, "connect", fill)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "cupel.db"
    path.write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(InfraError, match="not a SQLite database"):
        asyncio.run(store.open_store(f"sqlite:///{path}"))


def test_a_damaged_database(sqlite_url: str) -> None:
    create(sqlite_url)
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\x55" * (len(data) - 4096))
    with pytest.raises(InfraError, match="damaged"):
        asyncio.run(store.open_store(sqlite_url))


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InfraError, match="cannot be made"):
        asyncio.run(store.open_store(f"sqlite:///{tmp_path}/file/cupel.db"))


def test_a_writer_that_never_ends(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "WRITE_PATIENCE", 0)
    path = sqlite_url.removeprefix("sqlite:///")

    async def run() -> None:
        async with opened(sqlite_url) as made:
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE").close()
                with pytest.raises(InfraError, match="another process"):
                    await reserve(made)
            await reserve(made)

    async def reserve(made: interface.Store) -> None:
        async with made.write() as transaction:
            await transaction.reserve("machine")

    asyncio.run(run())


def test_a_number_beyond_64_bits_is_nothings(sql_url: str) -> None:
    async def run() -> None:
        async with opened(sql_url) as made, made.write() as transaction:
            await transaction.put([samples.project(2**63)])

    with pytest.raises(UserError, match="too large"):
        asyncio.run(run())


def test_a_database_that_does_not_exist(postgres_url: str) -> None:
    with pytest.raises(InfraError, match="does not exist") as caught:
        asyncio.run(store.open_store(postgres_url.replace("/test_", "/other_")))
    assert "createdb" in (caught.value.hint or "")


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="cannot be reached"):
        asyncio.run(store.open_store(f"postgresql://cupel@/cupel?host={tmp_path}"))


def test_a_full_disk_of_postgresql(postgres_url: str) -> None:
    backend = sql.SqlStore(postgres_url)._backend
    ours = backend.translate(psycopg.errors.DiskFull("could not extend file"))
    assert isinstance(ours, InfraError)
    assert "full" in ours.message


def test_no_password_is_shown() -> None:
    backend = sql.SqlStore("postgresql://cupel:hunter2@nowhere/cupel")._backend
    ours = backend.translate(psycopg.OperationalError("no route"))
    assert "hunter2" not in str(ours)


def cut(url: str) -> None:
    """End every connection to the database but this one."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_lost_connection_fails_one_transaction_and_no_more(postgres_url: str) -> None:
    async def run() -> None:
        async with opened(postgres_url) as made:
            with pytest.raises(InfraError, match="connection"):
                await write_across_a_cut(made)
            async with made.write() as transaction:
                assert await transaction.count(Project) == 0
                await transaction.put([samples.project(2)])
            await asyncio.to_thread(cut, postgres_url)
            async with made.read() as transaction:  # by connections that idled in the pool
                assert await transaction.count(Project) == 1

    async def write_across_a_cut(made: interface.Store) -> None:
        async with made.write() as transaction:
            await transaction.put([samples.project(1)])
            await asyncio.to_thread(cut, postgres_url)
            await transaction.put([samples.project(2)])

    asyncio.run(run())


def test_a_planner_that_lost_its_lock_cannot_write(postgres_url: str) -> None:
    async def run() -> None:
        async with opened(postgres_url) as first, opened(postgres_url) as second:
            assert await first.lock_planner()
            await asyncio.to_thread(cut, postgres_url)
            await write(first)  # nobody else has taken its place yet
            assert await second.lock_planner()
            with pytest.raises(InfraError, match="another server"):
                await write(first)
            assert not await first.lock_planner()
            await write(second)

    async def write(made: interface.Store) -> None:
        async with made.write() as transaction:
            await transaction.put([samples.project(1)])

    asyncio.run(run())


def test_a_planner_that_lost_its_lock_may_take_it_again(postgres_url: str) -> None:
    async def run() -> None:
        async with opened(postgres_url) as first, opened(postgres_url) as second:
            assert await first.lock_planner()
            await asyncio.to_thread(cut, postgres_url)
            assert await first.lock_planner()
            assert not await second.lock_planner()

    asyncio.run(run())


# What is found by an index

HOT: list[tuple[type[Any], tuple[str, ...], bool]] = [
    (model.Change, ("project_id", "key"), True),
    (model.Change, ("state",), False),
    (model.PatchSet, ("change_id", "number"), True),
    (model.Approval, ("change_id",), True),
    (model.Item, ("state",), False),
    (model.Item, ("project_id", "branch", "pipeline"), True),
    (model.Item, ("change_id",), True),
    (model.Buildset, ("item_id",), False),
    (model.Build, ("buildset_id",), False),
    (model.Build, ("state",), False),
    (model.Build, ("machine_id",), True),
    (model.Build, ("key",), True),
    (model.Evidence, ("key",), False),
    (model.Evidence, ("build_id",), False),
    (model.History, ("project_id", "subject"), True),
    (model.Queue, ("name",), True),
    (model.Machine, ("build_id",), True),
    (model.Event, ("change_id",), True),
    (model.Event, ("build_id",), False),
    (model.Token, ("digest",), True),
    (model.Artefact, ("build_id",), True),
]


@pytest.fixture(scope="module")
def hot_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('hot')}/cupel.db"
    create(url)
    return url


@pytest.mark.parametrize(("kind", "names", "one"), HOT, ids=str)
def test_hot_queries_use_an_index(
    hot_url: str, kind: type[Any], names: tuple[str, ...], one: bool
) -> None:
    shape = statements.Shape(
        kind=kind, fits=tuple(statements.Fit(name, one, none=False) for name in names)
    )
    statement = statements.Statements(sqlite.SqliteBackend(sa.make_url(hot_url))).select(shape)
    with inspected(hot_url) as connection:
        plan = connection.exec_driver_sql(
            f"EXPLAIN QUERY PLAN {statement.text}", (None,) * len(statement.parameters)
        )
        steps = [row[3] for row in plan]
    table = schema.TABLES[kind].name
    assert any(step.startswith(f"SEARCH {table} USING INDEX") for step in steps), steps
