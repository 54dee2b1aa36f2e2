"""What a store does. One contract, kept by memory, SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from cupel.core.model import Row

R = TypeVar("R", bound=Row)

Where = Mapping[str, Any]
"""Field name → value, or a list, tuple or set of values any of which fits; all must fit."""


class Transaction(Protocol):
    """A consistent view of the rows; what is put becomes visible to others at the end, or never."""

    async def get(self, kind: type[R], id: int) -> R | None: ...

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
        """Rows that fit, in order of a field; `after` and `before` bound the id, exclusively."""
        ...

    async def count(self, kind: type[R], where: Where | None = None) -> int: ...

    async def put(self, rows: Sequence[Row]) -> None:
        """Insert rows, or replace those of the same id. Raises `Bug` in a read transaction."""
        ...

    async def delete(self, kind: type[R], ids: Sequence[int]) -> None: ...

    async def reserve(self, counter: str, count: int = 1) -> int:
        """The first of `count` consecutive numbers that nobody else gets; they start at 1."""
        ...


class Store(Protocol):
    """Where the truth is."""

    async def open(self) -> None:
        """Create or migrate the schema. Raises `InfraError` if it is newer than the program."""
        ...

    def read(self) -> AbstractAsyncContextManager[Transaction]:
        """A read transaction: a snapshot that writers do not disturb."""
        ...

    def write(self) -> AbstractAsyncContextManager[Transaction]:
        """A write transaction; writers take turns. An exception rolls everything back."""
        ...

    async def lock_planner(self) -> bool:
        """Become the one active planner until `close`; False if somebody else is."""
        ...

    async def close(self) -> None: ...
