"""The tables: one per row class with a real column per field, and two of the store's own.

There are no foreign keys: rows refer to each other in circles (an item to its buildset, a buildset
to its item), and a transaction puts them in whatever order it made them. That references hold is
one of the core's invariants, checked after every step of the simulator.
"""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

from cupel.store import indexes, rows
from cupel.store.rows import Kind

REVISION = "0001"
"""The newest migration, which this schema is the result of."""

metadata = sa.MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"}
)

# SQLite compares bytes; PostgreSQL would follow the locale of the database unless told otherwise.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
# Only a column declared INTEGER is SQLite's own row id.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_TYPES: dict[rows.Shape, sa.types.TypeEngine[Any]] = {
    rows.Shape.INTEGER: sa.BigInteger(),
    rows.Shape.FLOAT: sa.Double(),
    rows.Shape.BOOLEAN: sa.Boolean(),
    rows.Shape.TEXT: TEXT,
    rows.Shape.JSON: sa.JSON(),
}


_PLURALS = {
    "branch": "branches",
    "delivery": "deliveries",
    "evidence": "evidence",
    "history": "histories",
    "results": "results",
}


def _table_name(kind: Kind) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()
    return _PLURALS.get(words, words + "s")


def _table(kind: Kind) -> sa.Table:
    fields = rows.codec(kind).fields
    columns = [
        sa.Column(field.name, ID, primary_key=True, autoincrement=False)
        if field.name == "id"
        else sa.Column(field.name, _TYPES[field.shape], nullable=field.nullable)
        for field in fields
    ]
    table = sa.Table(_table_name(kind), metadata, *columns)
    for names in indexes.UNIQUE.get(kind, ()):
        table.append_constraint(sa.UniqueConstraint(*names))
    for names in indexes.INDEXES.get(kind, ()):
        _index(table, names)
    return table


def _index(table: sa.Table, names: tuple[str, ...]) -> None:
    columns = [table.c[name] for name in names]
    name = f"ix_{table.name}_{'_'.join(names)}"
    if len(columns) == 1 and columns[0].nullable:
        # Both databases can prove that a row found by equality has the field.
        present = columns[0].is_not(None)
        sa.Index(name, *columns, sqlite_where=present, postgresql_where=present)
    else:
        sa.Index(name, *columns)


TABLES: dict[Kind, sa.Table] = {kind: _table(kind) for kind in rows.kinds()}

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", TEXT, primary_key=True),
    sa.Column("value", sa.BigInteger(), nullable=False),
)
"""The last number that `reserve` gave out of each counter."""

planner = sa.Table(
    "planner",
    metadata,
    sa.Column("id", ID, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.BigInteger(), nullable=False),
)
"""One row: how often the planner's lock was taken. Who holds an older epoch may not write."""
