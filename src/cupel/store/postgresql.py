"""PostgreSQL: readers in repeatable-read snapshots, writers one at a time by an advisory lock.

Writers that take turns cannot fail for having met another, so nothing is ever retried. They take
them in each transaction with a lock that ends with it, whatever becomes of its connection.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.types.string import TextLoader
from sqlalchemy.dialects.postgresql import psycopg as psycopg_dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cupel.errors import Bug, Conflict, CupelError, InfraError, UserError
from cupel.store.backend import WRITE_PATIENCE, Session

# Keys of advisory locks, unique within a database: "cupl" and a number.
_WRITER, _PLANNER, _MIGRATION = (0x6375706C << 8 | number for number in (1, 2, 3))

_EPOCH = "SELECT coalesce(max(epoch), 0) FROM planner"
# One round trip each: without parameters, several statements may go in one message.
_READ = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_EPOCH}"
_WRITE = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '{WRITE_PATIENCE}s'; "
    f"SELECT pg_advisory_xact_lock({_WRITER}); {_EPOCH}"
)

# A server that is gone without a word is noticed after a minute; all in seconds.
_CONNECTION: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}


class PostgresqlSession:
    """A transaction on a connection that is in autocommit mode."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def begin(self, *, write: bool) -> int:
        cursor = await self._connection.execute(_WRITE if write else _READ)
        while cursor.nextset():
            pass
        return int((await cursor.fetchall())[0][0])

    async def fetch(self, statement: str, values: Sequence[Any]) -> list[Any]:
        cursor = await self._connection.execute(statement.encode(), values)
        return await cursor.fetchall()

    async def run(self, statement: str, values: Sequence[Sequence[Any]]) -> None:
        async with self._connection.cursor() as cursor:
            await cursor.executemany(statement.encode(), values)

    async def end(self, *, commit: bool) -> None:
        await (self._connection.commit() if commit else self._connection.rollback())


class AdvisoryLock:
    """A lock of a database session, on a connection of its own.

    When that connection breaks, PostgreSQL lets the lock go and another server may take it; the
    epoch in the table `planner` then keeps this one from writing. `held` finds out.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: psycopg.AsyncConnection[Any] | None = None

    async def take(self) -> bool:
        connection = await psycopg.AsyncConnection.connect(
            self._conninfo, autocommit=True, **_CONNECTION
        )
        try:
            cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (_PLANNER,))
            row = await cursor.fetchone()
            if row is not None and row[0]:
                self._connection = connection
        finally:
            if self._connection is not connection:
                await connection.close()
        return self._connection is not None

    async def held(self) -> bool:
        if self._connection is not None:
            with contextlib.suppress(psycopg.OperationalError):
                await self._connection.execute("SELECT 1")
                return True
            await self.release()
        return False

    async def release(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()


class PostgresqlBackend:
    """A database on a PostgreSQL server, made beforehand."""

    # Positional parameters: a row is a sequence, not a dictionary.
    dialect: sa.Dialect = psycopg_dialect.dialect(  # type: ignore[no-untyped-call]
        paramstyle="format"
    )

    def __init__(self, url: sa.URL) -> None:
        self._url = url.set(drivername="postgresql+psycopg")

    def engine(self) -> AsyncEngine:
        engine = create_async_engine(
            self._url,
            isolation_level="AUTOCOMMIT",
            connect_args=_CONNECTION,
            pool_pre_ping=True,
            pool_reset_on_return=None,
            pool_size=8,
            max_overflow=0,
            use_native_hstore=False,
        )
        sa.event.listen(engine.sync_engine, "connect", _set_up)
        return engine

    def session(self, driver_connection: Any) -> Session:
        return PostgresqlSession(driver_connection)

    def planner_lock(self) -> AdvisoryLock:
        url = self._url.set(drivername="postgresql")
        return AdvisoryLock(url.render_as_string(hide_password=False))

    async def begin_migration(self, connection: AsyncConnection) -> None:
        await connection.exec_driver_sql("BEGIN")
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION})")

    async def tune(self, engine: AsyncEngine) -> None:
        """PostgreSQL's autovacuum does so."""

    def among(self, column: sa.Column[Any], name: str) -> sa.ColumnElement[bool]:
        members = sa.bindparam(name, type_=sa.ARRAY(_plain(column.type)))
        return column == sa.any_(members)

    def members(self, values: Sequence[Any]) -> Any:
        return list(values)

    def translate(self, error: Exception) -> CupelError | None:
        cause = getattr(error, "orig", None) or error
        return _translated(cause, self._url) if isinstance(cause, psycopg.Error) else None


def _plain(kind: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    # A cast to an array takes no collation; the comparison has the column's.
    return sa.Text() if isinstance(kind, sa.Text) else kind


def _set_up(connection: Any, _: object) -> None:
    # The codecs take JSON as its text, and remember what it said.
    connection.driver_connection.adapters.register_loader("json", TextLoader)


def _translated(error: psycopg.Error, url: sa.URL) -> CupelError:
    where, text, state = url.render_as_string(), str(error).strip(), error.sqlstate or ""
    if state == "23505":
        detail = error.diag.message_detail or text
        return Conflict(f"there is another row of the same kind: {detail}")
    if state == "22003":
        # Our own come from a counter, so it is somebody's who asks for a row.
        return UserError("a number is too large: nothing has it")
    for prefix, message, hint in _FAULTS:
        if state.startswith(prefix):
            return InfraError(f"{where}: {message} ({text})", hint=hint)
    if isinstance(error, psycopg.OperationalError) and not state:
        return InfraError(f"{where} cannot be reached: {text}", hint=_UNREACHABLE)
    return Bug(f"{where}: {text} ({type(error).__name__})")


# libpq gives no code for a refused connection, only its text, in the server's language.
_UNREACHABLE = "is PostgreSQL running there, and is the database made (createdb)?"

_FAULTS = (
    ("53100", "its disk is full", "free some space there; nothing acknowledged is lost"),
    ("53", "it is short of resources", "its log says of which"),
    (
        "55P03",
        f"another process has been writing for {WRITE_PATIENCE} s",
        "see what it does in pg_stat_activity",
    ),
    ("57P", "the server ended the connection", "it is shutting down or starting; try again"),
    ("08", "the connection was lost", "is PostgreSQL running there?"),
    ("42501", "we may not do that there", "the user of the URL needs to own the database"),
    ("XX001", "the database is damaged", "restore a backup"),
    ("XX002", "an index is damaged", "REINDEX mends it"),
    ("58", "its disk or system failed", "its log may say more"),
    ("25006", "the database is read-only", "is this a standby?"),
)
