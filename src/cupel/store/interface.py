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
    """A consistent view of the rows; what is put becomes visible to others at the end, or never.

    After an error from the store it is of no more use, and it cannot be committed. A field with
    structure (a tuple, a dataclass) is stored, but cannot be selected or ordered by.
    """

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
        """Rows that fit, in order of a field; `after` and `before` bound the id, exclusively.

        None comes first and text goes by code point. Equal values go by id; `descending` turns
        all of it around.
        """
        ...

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
        """These fields of the rows that fit, in order of their ids: for what looks at very many.

        `after`, `before`, `descending` and `limit` mean what they mean to `select`.
        """
        ...

    async def count(self, kind: type[R], where: Where | None = None) -> int: ...

    async def put(self, rows: Sequence[Row]) -> None:
        """Insert rows, or replace those of the same id. Raises `Bug` in a read transaction.

        NUL and lone surrogates in text become U+FFFD. Raises `Conflict` when another row has the
        values that only one may have (`indexes.UNIQUE`).
        """
        ...

    async def delete(self, kind: type[R], ids: Sequence[int]) -> None:
        """Forget rows; those that are not there are nobody's loss."""
        ...

    async def reserve(self, counter: str, count: int = 1) -> int:
        """The first of `count` consecutive numbers that nobody else gets; they start at 1.

        When the transaction is rolled back, its numbers were never given to anybody.
        """
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
        """A write transaction; writers take turns. An exception rolls everything back.

        Its end is the acknowledgement: what was put survives any crash from then on. An
        `InfraError` at the end, or a cancellation, may come after the commit or before it.
        """
        ...

    async def lock_planner(self) -> bool:
        """Become the one active planner until `close`; False if somebody else is.

        The planner may ask again whether it still is: a lost connection can have cost it the lock.
        It is then given the lock anew, unless somebody else has taken it; and until it asks, a
        write of its raises `InfraError` once somebody has.
        """
        ...

    async def close(self) -> None: ...
