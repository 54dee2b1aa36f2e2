"""SQLite, in write-ahead mode: readers see their snapshot while one writer at a time writes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import aiosqlite as aiosqlite_dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cupel.errors import Bug, Conflict, CupelError, InfraError, UserError
from cupel.store.backend import WRITE_PATIENCE, Session

_SETTINGS = (
    # Each commit reaches the disk before it is acknowledged: it survives a power cut too.
    "PRAGMA synchronous = FULL",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -32768",  # KiB
)

# Reading any row makes a deferred transaction take its snapshot at once.
_EPOCH = "SELECT coalesce(max(epoch), 0) FROM planner"


class SqliteSession:
    """A transaction; every method is one hop to the connection's thread."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._driver = connection._conn

    async def begin(self, *, write: bool) -> int:
        begin = "BEGIN IMMEDIATE" if write else "BEGIN"

        def run() -> int:
            self._driver.execute(begin)
            return int(self._driver.execute(_EPOCH).fetchone()[0])

        return int(await self._hop(run))

    async def fetch(self, statement: str, values: Sequence[Any]) -> list[Any]:
        return list(await self._connection.execute_fetchall(statement, values))

    async def run(self, statement: str, values: Sequence[Sequence[Any]]) -> None:
        await self._hop(lambda: self._driver.executemany(statement, values).close())

    async def end(self, *, commit: bool) -> None:
        # A commit that was given up on while it ran may have ended the transaction already.
        await self._hop(self._driver.commit if commit else self._driver.rollback)

    async def _hop(self, function: Any) -> Any:
        # aiosqlite's public methods make one hop each, where several calls need but one.
        return await self._connection._execute(function)  # type: ignore[no-untyped-call]


class FileLock:
    """An flock on a file beside the database: the kernel drops it with the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    async def take(self) -> bool:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise InfraError(f"{self._path} cannot be locked: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    async def held(self) -> bool:
        return self._descriptor is not None

    async def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class SqliteBackend:
    """The database in one file. The file and its directory are made when they are missing."""

    dialect: sa.Dialect = aiosqlite_dialect.dialect(paramstyle="qmark")

    def __init__(self, url: sa.URL) -> None:
        if url.database in (None, "", ":memory:"):
            raise UserError(
                "a SQLite store needs a file",
                hint="write it as sqlite:////absolute/path, or use memory: to keep nothing",
            )
        self._url = url.set(drivername="sqlite+aiosqlite")
        self._path = Path(str(url.database)).absolute()

    def engine(self) -> AsyncEngine:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InfraError(f"{self._path.parent} cannot be made: {error.strerror}") from error
        self._write_ahead()
        engine = create_async_engine(
            self._url,
            # Sessions begin and end their transactions themselves, once and in one hop.
            connect_args={
                "isolation_level": None,
                "timeout": WRITE_PATIENCE,
                "cached_statements": 512,
            },
            pool_reset_on_return=None,
            pool_size=4,
            max_overflow=0,
        )
        sa.event.listen(engine.sync_engine, "connect", _set_up)
        return engine

    def _write_ahead(self) -> None:
        """Make the database one with a write-ahead log, which it stays.

        SQLite does not wait its turn for this change as it does for others, so that connections
        which all asked for it as they opened would refuse one another now and then.
        """
        try:
            with contextlib.closing(sqlite3.connect(self._path, timeout=WRITE_PATIENCE)) as opened:
                opened.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            raise _translated(str(error), name, self._path) from error

    def session(self, driver_connection: Any) -> Session:
        return SqliteSession(driver_connection)

    def planner_lock(self) -> FileLock:
        return FileLock(self._path.with_name(f"{self._path.name}.planner"))

    async def begin_migration(self, connection: AsyncConnection) -> None:
        await connection.exec_driver_sql("BEGIN IMMEDIATE")

    async def tune(self, engine: AsyncEngine) -> None:
        # Unless told otherwise, SQLite takes a state to be as telling as an id. A sample of each
        # index is enough, and better plans are not worth failing for, as on a full disk.
        async with engine.connect() as connection:
            with contextlib.suppress(sa.exc.OperationalError):
                await connection.exec_driver_sql("PRAGMA analysis_limit = 400")
                await connection.exec_driver_sql("ANALYZE")

    def among(self, column: sa.Column[Any], name: str) -> sa.ColumnElement[bool]:
        each = sa.func.json_each(sa.bindparam(name, type_=sa.Text())).table_valued("value")
        return column.in_(sa.select(each.c.value))

    def members(self, values: Sequence[Any]) -> Any:
        return json.dumps(list(values))

    def translate(self, error: Exception) -> CupelError | None:
        cause = getattr(error, "orig", None) or error
        if isinstance(cause, OverflowError):
            # Our own come from a counter, so it is somebody's who asks for a row.
            return UserError("a number is too large: nothing has it")
        if not isinstance(cause, sqlite3.Error):
            return None
        name = getattr(cause, "sqlite_errorname", "")
        return _translated(str(cause), name, self._path)


def _set_up(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for setting in _SETTINGS:
        cursor.execute(setting)
    cursor.close()


def _translated(text: str, name: str, path: Path) -> CupelError:
    if name in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"):
        return Conflict(f"there is another row with the same {text.rpartition(': ')[2]}")
    for prefix, message, hint in _FAULTS:
        if name.startswith(prefix):
            return InfraError(f"{path}: {message} ({text})", hint=hint)
    return Bug(f"{path}: {text} ({name})")


_FAULTS = (
    ("SQLITE_FULL", "the disk is full", "free some space there; nothing acknowledged is lost"),
    (
        "SQLITE_BUSY",
        f"another process has been writing for {WRITE_PATIENCE} s",
        "see what else has the file open, for instance with fuser",
    ),
    ("SQLITE_CORRUPT", "the database is damaged", "restore a backup; `.recover` may save the rest"),
    ("SQLITE_NOTADB", "this is not a SQLite database", "was another file put in its place?"),
    ("SQLITE_CANTOPEN", "the database cannot be opened", "look at the permissions there"),
    ("SQLITE_READONLY", "the database cannot be written", "look at the permissions there"),
    ("SQLITE_IOERR", "the disk failed", "`dmesg` may say more"),
)
