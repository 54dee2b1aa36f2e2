"""The store in a database: rows through compiled statements on the driver's own connection.

SQLAlchemy makes the statements, keeps the pool and runs the migrations; the transactions speak to
the driver themselves, because Core's result layer and its many hops to SQLite's thread cost more
than the database does.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cupel.core.model import Row
from cupel.errors import Bug, CupelError, InfraError, UserError
from cupel.store import migrations, rows
from cupel.store.backend import Backend, Session, Statement
from cupel.store.interface import R, Transaction, Where
from cupel.store.postgresql import PostgresqlBackend
from cupel.store.rows import Convert, Kind
from cupel.store.sqlite import SqliteBackend
from cupel.store.statements import AFTER, BEFORE, LIMIT, Fit, Shape, Statements

_TAKE_EPOCH = (
    "INSERT INTO planner (id, epoch) VALUES (1, 1) "
    "ON CONFLICT (id) DO UPDATE SET epoch = planner.epoch + 1 RETURNING epoch"
)


class SqlTransaction:
    """The `Transaction` contract on a session that has begun."""

    def __init__(self, session: Session, backend: Backend, made: Statements, write: bool) -> None:
        self._session = session
        self._backend = backend
        self._statements = made
        self._write = write
        self._usable = True

    async def get(self, kind: type[R], id: int) -> R | None:
        self._check()
        codec = rows.codec(kind)
        statement = self._statements.select(Shape(kind=kind, fits=_BY_ID))
        found = await self._fetch(statement, {"id": id})
        return codec.decode(found[0]) if found else None

    async def select(
        self,
        kind: type[R],
        where: Where | None = None,
        *,
        order: str = "id",
        descending: bool = False,
        limit: int | None = None,
        after: int | None = None,
        before: int | None = None,
    ) -> list[R]:
        self._check()
        codec = rows.codec(kind)
        codec.scalar(order)
        fits, values = self._where(kind, where or {})
        values |= {LIMIT: limit, AFTER: after, BEFORE: before}
        shape = Shape(
            kind=kind,
            fits=fits,
            order=order,
            descending=descending,
            limit=limit is not None,
            after=after is not None,
            before=before is not None,
        )
        found = await self._fetch(self._statements.select(shape), values)
        return [codec.decode(each) for each in found]

    async def values(
        self,
        kind: type[R],
        fields: Sequence[str],
        where: Where | None = None,
        *,
        descending: bool = False,
        limit: int | None = None,
        after: int | None = None,
        before: int | None = None,
    ) -> list[tuple[Any, ...]]:
        self._check()
        codec = rows.codec(kind)
        decoders = [codec.field(name).decode for name in fields]
        fits, values = self._where(kind, where or {})
        values |= {LIMIT: limit, AFTER: after, BEFORE: before}
        shape = Shape(
            kind=kind,
            fits=fits,
            descending=descending,
            limit=limit is not None,
            after=after is not None,
            before=before is not None,
            fields=tuple(fields),
        )
        found = await self._fetch(self._statements.select(shape), values)
        return _decoded(found, decoders)

    async def count(self, kind: type[R], where: Where | None = None) -> int:
        self._check()
        fits, values = self._where(kind, where or {})
        statement = self._statements.count(Shape(kind=kind, fits=fits))
        return int((await self._fetch(statement, values))[0][0])

    async def put(self, rows: Sequence[Row]) -> None:
        self._check(write=True)
        by_kind: dict[Kind, list[Row]] = collections.defaultdict(list)
        for row in rows:
            by_kind[type(row)].append(row)
        for kind, group in by_kind.items():
            await self._put(kind, group)

    async def _put(self, kind: Kind, group: Sequence[Row]) -> None:
        encode = rows.codec(kind).encode
        with self._guard():
            values = [encode(row) for row in group]
            await self._session.run(self._statements.upsert(kind).text, values)

    async def delete(self, kind: type[R], ids: Sequence[int]) -> None:
        self._check(write=True)
        rows.codec(kind)
        with self._guard():
            values = [[self._backend.members(ids)]]
            await self._session.run(self._statements.delete(kind).text, values)

    async def reserve(self, counter: str, count: int = 1) -> int:
        self._check(write=True)
        if count < 1:
            raise Bug(f"{count} numbers were to be reserved")
        values = {"name": counter, "value": count}
        last = await self._fetch(self._statements.reserve, values)
        return int(last[0][0]) - count + 1

    async def begin(self) -> int:
        """Begin; the planner's epoch."""
        with self._guard():
            return await self._session.begin(write=self._write)

    async def new_epoch(self) -> int:
        """Begin a new epoch, in which whoever holds an older one may not write."""
        with self._guard():
            return int((await self._session.fetch(_TAKE_EPOCH, ()))[0][0])

    async def end(self, *, commit: bool) -> None:
        """Commit or roll back. Raises `Bug` when there was an error in what is to be committed."""
        healthy, self._usable = self._usable, False
        with self._guard():
            await self._session.end(commit=commit and healthy and self._write)
        if commit and not healthy:
            raise Bug("a transaction was to be committed after an error in it")

    async def _fetch(self, statement: Statement, values: dict[str, Any]) -> list[Any]:
        with self._guard():
            return await self._session.fetch(
                statement.text, [values[name] for name in statement.parameters]
            )

    def _where(self, kind: Kind, where: Where) -> tuple[tuple[Fit, ...], dict[str, Any]]:
        codec = rows.codec(kind)
        fits: list[Fit] = []
        values: dict[str, Any] = {}
        for name, value in where.items():
            field = codec.scalar(name)
            one = not isinstance(value, (list, tuple, set, frozenset))
            wanted = [value] if one else list(value)
            encoded = [
                each if field.encode is None else field.encode(each)
                for each in wanted
                if each is not None
            ]
            fits.append(Fit(name, one, len(encoded) < len(wanted)))
            if not one:
                values[name] = self._backend.members(encoded)
            elif encoded:
                values[name] = encoded[0]
        return tuple(fits), values

    def _check(self, *, write: bool = False) -> None:
        if not self._usable:
            raise Bug("a transaction was used after its end or after an error in it")
        if write and not self._write:
            raise Bug("a read transaction was to write")

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Translate the driver's errors; after one the transaction is of no more use."""
        try:
            yield
        except BaseException as error:
            self._usable = False
            _raise_translated(self._backend, error)
            raise


def _decoded(
    found: Sequence[Sequence[Any]], decoders: Sequence[Convert | None]
) -> list[tuple[Any, ...]]:
    """The values as the fields have them. Most need no decoding, so that is done by column."""
    if not found or not any(decoders):
        return [tuple(each) for each in found]
    columns = [
        values if decode is None else [None if value is None else decode(value) for value in values]
        for values, decode in zip(zip(*found, strict=True), decoders, strict=True)
    ]
    return list(zip(*columns, strict=True))


_BY_ID = (Fit("id", one=True, none=False),)


class SqlStore:
    """The store at a database URL: `sqlite:////path` or `postgresql://user@host/name`."""

    def __init__(self, url: str) -> None:
        self._backend = _backend(url)
        self._statements = Statements(self._backend)
        self._engine: AsyncEngine | None = None
        self._writer = asyncio.Lock()
        self._planner = self._backend.planner_lock()
        self._epoch: int | None = None

    async def open(self) -> None:
        if self._engine is not None:
            return
        engine = self._backend.engine()
        try:
            await migrations.migrate(engine, self._backend)
            await self._backend.tune(engine)
        except BaseException as error:
            await engine.dispose()
            _raise_translated(self._backend, error)
            raise
        self._engine = engine

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        async with self._transaction(write=False) as (transaction, _):
            yield transaction

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        # Writers of this process wait here, in order and without holding a connection.
        async with self._writer, self._transaction(write=True) as (transaction, epoch):
            if self._epoch not in (None, epoch):
                raise InfraError(
                    "another server has become the planner, so this one may not write",
                    hint="its connection to the database was lost for a while; restart it",
                )
            yield transaction

    async def lock_planner(self) -> bool:
        try:
            if self._epoch is not None and await self._planner.held():
                return True
            self._epoch = None
            if not await self._planner.take():
                return False
            self._epoch = await self._new_epoch()
        except BaseException as error:
            await self._planner.release()
            _raise_translated(self._backend, error)
            raise
        return True

    async def close(self) -> None:
        self._epoch = None
        await self._planner.release()
        if self._engine is not None:
            engine, self._engine = self._engine, None
            await engine.dispose()

    async def _new_epoch(self) -> int:
        async with self._writer, self._transaction(write=True) as (transaction, _):
            return await transaction.new_epoch()

    @contextlib.asynccontextmanager
    async def _transaction(self, *, write: bool) -> AsyncIterator[tuple[SqlTransaction, int]]:
        """A transaction, and the planner's epoch in which it began."""
        connection = await self._connect()
        idle = False
        try:
            raw = await connection.get_raw_connection()
            session = self._backend.session(raw.driver_connection)
            transaction = SqlTransaction(session, self._backend, self._statements, write)
            epoch = await transaction.begin()
            try:
                yield transaction, epoch
            except BaseException:
                # What went wrong matters, not that a broken connection cannot roll back either.
                with contextlib.suppress(CupelError):
                    await transaction.end(commit=False)
                    idle = True
                raise
            await transaction.end(commit=True)
            idle = True
        finally:
            if not idle:
                await connection.invalidate()
            await connection.close()

    async def _connect(self) -> AsyncConnection:
        if self._engine is None:
            raise Bug("the store is not open")
        try:
            return await self._engine.connect()
        except Exception as error:
            _raise_translated(self._backend, error)
            raise


def _backend(url: str) -> Backend:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise UserError("the store's URL cannot be understood", hint=_URLS) from None
    match parsed.get_backend_name():
        case "sqlite":
            return SqliteBackend(parsed)
        case "postgresql" | "postgres":
            return PostgresqlBackend(parsed)
        case other:
            raise UserError(f"Cupel keeps nothing in {other}", hint=_URLS)


_URLS = "write sqlite:////absolute/path or postgresql://user@host/database"


def _raise_translated(backend: Backend, error: BaseException) -> None:
    """Raise a driver's or the pool's error as one of ours; let any other be."""
    if not isinstance(error, Exception) or isinstance(error, CupelError):
        return
    if isinstance(error, sa.exc.TimeoutError):
        raise InfraError("all connections to the store are in use", hint="try again") from error
    if (ours := backend.translate(error)) is not None:
        raise ours from error
