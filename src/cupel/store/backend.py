"""What differs between SQLite and PostgreSQL, as one interface that `sql.py` is written against."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cupel.errors import CupelError

WRITE_PATIENCE = 30
"""For how many seconds a writer waits for writers of other processes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Statement:
    """SQL for the driver, and which parameters it takes, in their order."""

    text: str
    parameters: tuple[str, ...]


class Session(Protocol):
    """A driver's connection, in one transaction."""

    async def begin(self, *, write: bool) -> int:
        """Begin, with the snapshot taken or the writers' turn got; the planner's epoch."""
        ...

    async def fetch(self, statement: str, values: Sequence[Any]) -> list[Any]: ...

    async def run(self, statement: str, values: Sequence[Sequence[Any]]) -> None:
        """Run the statement once for each sequence of values."""
        ...

    async def end(self, *, commit: bool) -> None: ...


class PlannerLock(Protocol):
    """A lock among all processes that use the database; it falls when its holder dies."""

    async def take(self) -> bool:
        """Take the lock, which we do not hold; False if somebody else does."""
        ...

    async def held(self) -> bool:
        """Whether we hold it, and have not lost it."""
        ...

    async def release(self) -> None: ...


class Backend(Protocol):
    """One kind of database."""

    dialect: sa.Dialect

    def engine(self) -> AsyncEngine: ...

    def session(self, driver_connection: Any) -> Session: ...

    def planner_lock(self) -> PlannerLock: ...

    async def begin_migration(self, connection: AsyncConnection) -> None:
        """Begin a transaction that no other migration runs beside."""
        ...

    async def tune(self, engine: AsyncEngine) -> None:
        """Let the database learn how its rows are spread, if it does not do so by itself."""
        ...

    def among(self, column: sa.Column[Any], name: str) -> sa.ColumnElement[bool]:
        """Whether the column is one of the list that is the parameter `name`."""
        ...

    def members(self, values: Sequence[Any]) -> Any:
        """The parameter for such a list."""
        ...

    def translate(self, error: Exception) -> CupelError | None:
        """A driver's error as one of ours; None for any other."""
        ...
