"""Every statement of the store, built with SQLAlchemy's Core and compiled once for each shape.

A shape is everything of a statement but its values; a list's length is a value. So a handful of
texts serves a server's life, the driver keeps them prepared, and building them costs nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from cupel.store import rows, schema
from cupel.store.backend import Backend, Statement
from cupel.store.rows import Kind

AFTER, BEFORE, LIMIT = "after__", "before__", "limit__"
"""Parameters that are no fields."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fit:
    """How a field is compared: with one value or with many, and whether None fits too."""

    field: str
    one: bool
    none: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Which rows are asked for, up to the values."""

    kind: Kind
    fits: tuple[Fit, ...]
    order: str = "id"
    descending: bool = False
    limit: bool = False
    after: bool = False
    before: bool = False
    fields: tuple[str, ...] = ()
    """Those that are wanted; none stands for all."""


class Statements:
    """The compiled statements of one backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._selects: dict[Shape, Statement] = {}
        self._counts: dict[Shape, Statement] = {}
        self._upserts: dict[Kind, Statement] = {}
        self._deletes: dict[Kind, Statement] = {}
        self.reserve = self._reserve()

    def select(self, shape: Shape) -> Statement:
        found = self._selects.get(shape)
        if found is None:
            found = self._selects[shape] = self._select(shape)
        return found

    def count(self, shape: Shape) -> Statement:
        found = self._counts.get(shape)
        if found is None:
            table = schema.TABLES[shape.kind]
            query = sa.select(sa.func.count()).select_from(table)
            found = self._counts[shape] = self._compile(query.where(*self._conditions(shape)))
        return found

    def upsert(self, kind: Kind) -> Statement:
        found = self._upserts.get(kind)
        if found is None:
            found = self._upserts[kind] = self._upsert(kind)
        return found

    def delete(self, kind: Kind) -> Statement:
        found = self._deletes.get(kind)
        if found is None:
            table = schema.TABLES[kind]
            query = sa.delete(table).where(self._backend.among(table.c.id, "id"))
            found = self._deletes[kind] = self._compile(query)
        return found

    def _select(self, shape: Shape) -> Statement:
        table = schema.TABLES[shape.kind]
        wanted = [table.c[name] for name in shape.fields] or list(table.c)
        query = sa.select(*wanted).where(*self._conditions(shape))
        # Ties go by id, in the same direction, so that a page has one right successor.
        for name in dict.fromkeys((shape.order, "id")):
            column = table.c[name]
            ordering = column.desc() if shape.descending else column.asc()
            if column.nullable:
                ordering = ordering.nulls_last() if shape.descending else ordering.nulls_first()
            query = query.order_by(ordering)
        if shape.limit:
            query = query.limit(sa.bindparam(LIMIT, type_=sa.BigInteger()))
            # For SQLite Core would add an offset of its own, as one more parameter.
            query = query.offset(sa.literal_column("0"))
        return self._compile(query)

    def _conditions(self, shape: Shape) -> list[sa.ColumnElement[bool]]:
        table = schema.TABLES[shape.kind]
        conditions = [self._fits(table.c[fit.field], fit) for fit in shape.fits]
        if shape.after:
            conditions.append(table.c.id > sa.bindparam(AFTER, type_=sa.BigInteger()))
        if shape.before:
            conditions.append(table.c.id < sa.bindparam(BEFORE, type_=sa.BigInteger()))
        return conditions

    def _fits(self, column: sa.Column[Any], fit: Fit) -> sa.ColumnElement[bool]:
        if fit.one:
            if fit.none:
                return column.is_(None)
            return column == sa.bindparam(fit.field, type_=column.type)
        among = self._backend.among(column, fit.field)
        return sa.or_(among, column.is_(None)) if fit.none else among

    def _upsert(self, kind: Kind) -> Statement:
        # Both dialects' `insert` take the same ON CONFLICT clause; SQLite's stands for both types.
        insert = sqlite.insert if self._backend.dialect.name == "sqlite" else postgresql.insert
        query = insert(schema.TABLES[kind])
        values = {name: query.excluded[name] for name in rows.codec(kind).names if name != "id"}
        statement = query.on_conflict_do_update(index_elements=["id"], set_=values)
        return self._compile(statement, columns=rows.codec(kind).names)

    def _reserve(self) -> Statement:
        insert = sqlite.insert if self._backend.dialect.name == "sqlite" else postgresql.insert
        query = insert(schema.counters)
        statement = query.on_conflict_do_update(
            index_elements=["name"],
            set_={"value": schema.counters.c.value + query.excluded.value},
        ).returning(schema.counters.c.value)
        return self._compile(statement, columns=("name", "value"))

    def _compile(
        self, query: sa.ClauseElement, columns: tuple[str, ...] | None = None
    ) -> Statement:
        compiled = query.compile(dialect=self._backend.dialect, column_keys=columns)
        assert isinstance(compiled, sa.sql.compiler.SQLCompiler)
        return Statement(str(compiled), tuple(compiled.positiontup or ()))
