"""A store without a disk, of the same contract: for `cupel simulate` and for tests.

A transaction is a view: what the disk holds, under the rows that differ. A writer's differing rows
are those it has put; a reader's are those that commits have replaced since it began. So a commit
costs what it changes, and nothing is ever copied. No method waits for anything but its turn.
"""

from __future__ import annotations

import asyncio
import bisect
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cupel.core.model import Row
from cupel.errors import Bug, Conflict
from cupel.store import indexes, rows
from cupel.store.interface import R, Transaction, Where
from cupel.store.rows import Kind

Key = tuple[Any, ...]


class _Table:
    """The rows of one class, with their indexes, as committed."""

    def __init__(self, kind: Kind) -> None:
        self.rows: dict[int, Row] = {}
        self.order: list[int] = []
        self.unique: dict[tuple[str, ...], dict[Key, int]] = {
            names: {} for names in indexes.UNIQUE.get(kind, ())
        }
        declared = (*indexes.INDEXES.get(kind, ()), *indexes.UNIQUE.get(kind, ()))
        fields = dict.fromkeys(name for names in declared for name in names)
        self.indexes: dict[str, dict[Any, set[int]]] = {name: {} for name in fields}

    def replace(self, id: int, row: Row | None) -> None:
        """Make `row` the one of this id, or let there be none."""
        old = self.rows.get(id)
        if row is None:
            del self.rows[id]
            del self.order[bisect.bisect_left(self.order, id)]
        else:
            self.rows[id] = row
            if old is None:
                bisect.insort(self.order, id)
        for name, index in self.indexes.items():
            _move(index, id, old, row, name)

    def between(self, after: int | None, before: int | None) -> Sequence[int]:
        """The ids in order, within the exclusive bounds."""
        start = 0 if after is None else bisect.bisect_right(self.order, after)
        end = len(self.order) if before is None else bisect.bisect_left(self.order, before)
        return self.order[start:end]

    def candidates(self, wanted: dict[str, frozenset[Any]]) -> set[int] | None:
        """The fewest ids that an index leaves; None if no index helps."""
        best: list[set[int]] | None = None
        for name, values in wanted.items():
            index = self.indexes.get(name)
            if index is None:
                continue
            found = [index[value] for value in values if value in index]
            if best is None or sum(map(len, found)) < sum(map(len, best)):
                best = found
        return None if best is None else set().union(*best)


def _move(index: dict[Any, set[int]], id: int, old: Row | None, new: Row | None, name: str) -> None:
    if old is not None:
        value = getattr(old, name)
        if new is not None and getattr(new, name) == value:
            return
        index[value].discard(id)
        if not index[value]:
            del index[value]
    if new is not None:
        index.setdefault(getattr(new, name), set()).add(id)


class Disk:
    """What outlives a `MemoryStore`, as a file outlives a process."""

    def __init__(self) -> None:
        self.tables = {kind: _Table(kind) for kind in rows.kinds()}
        self.counters: dict[str, int] = {}
        self.writer = asyncio.Lock()
        self.readers: set[_View] = set()
        self.planner: MemoryStore | None = None

    def commit(self, view: _View) -> None:
        """Make what differs in a writer's view so, and let each reader keep what it saw."""
        for kind, changed in view.differing.items():
            table = self.tables[kind]
            for reader in self.readers:
                kept = reader.differing.setdefault(kind, {})
                for row_id in changed:
                    kept.setdefault(row_id, table.rows.get(row_id))
            for row_id, row in changed.items():
                if row is not None or row_id in table.rows:
                    table.replace(row_id, row)
        for (kind, names), keys in view.keys.items():
            held = self.tables[kind].unique[names]
            for key, holder in keys.items():
                if holder is None:
                    held.pop(key, None)
                else:
                    held[key] = holder
        self.counters.update(view.counters)


class _View:
    """A transaction on a disk; the `Transaction` contract."""

    def __init__(self, disk: Disk, *, writable: bool) -> None:
        self._disk = disk
        self._writable = writable
        self._open = False
        self._failed = False
        self.differing: dict[Kind, dict[int, Row | None]] = {}
        self.keys: dict[tuple[Kind, tuple[str, ...]], dict[Key, int | None]] = {}
        self.counters: dict[str, int] = {}

    async def __aenter__(self) -> Transaction:
        if self._writable:
            await self._disk.writer.acquire()
        else:
            self._disk.readers.add(self)
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._open = False
        if not self._writable:
            self._disk.readers.discard(self)
            return
        try:
            if error is None:
                if self._failed:
                    raise Bug("a transaction was to be committed after an error in it")
                self._disk.commit(self)
        finally:
            self._disk.writer.release()

    async def get(self, kind: type[R], id: int) -> R | None:
        self._check()
        return typing.cast("R | None", self._row(kind, id))

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
        rows.codec(kind).scalar(order)
        found = self._matching(kind, where or {}, after, before)
        if order != "id":
            found.sort(key=_ordering(order))
        if descending:
            found.reverse()
        return typing.cast("list[R]", found if limit is None else found[:limit])

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
        names = [rows.codec(kind).field(name).name for name in fields]
        found = self._matching(kind, where or {}, after, before)
        if descending:
            found.reverse()
        return [tuple(getattr(row, name) for name in names) for row in found[:limit]]

    async def count(self, kind: type[R], where: Where | None = None) -> int:
        self._check()
        return len(self._matching(kind, where or {}, None, None))

    async def put(self, rows: Sequence[Row]) -> None:
        self._check(write=True)
        for row in rows:
            self._put(row)

    def _put(self, row: Row) -> None:
        kind = type(row)
        row = rows.codec(kind).clean(row)
        old = self._row(kind, row.id)
        for names in indexes.UNIQUE.get(kind, ()):
            self._claim(kind, names, row, old)
        self.differing.setdefault(kind, {})[row.id] = row

    async def delete(self, kind: type[R], ids: Sequence[int]) -> None:
        self._check(write=True)
        for row_id in ids:
            old = self._row(kind, row_id)
            if old is None:
                continue
            for names in indexes.UNIQUE.get(kind, ()):
                self.keys.setdefault((kind, names), {})[_key(old, names)] = None
            self.differing.setdefault(kind, {})[row_id] = None

    async def reserve(self, counter: str, count: int = 1) -> int:
        self._check(write=True)
        if count < 1:
            raise Bug(f"{count} numbers were to be reserved")
        last = self.counters.get(counter, self._disk.counters.get(counter, 0))
        self.counters[counter] = last + count
        return last + 1

    def _check(self, *, write: bool = False) -> None:
        if not self._open or self._failed:
            raise Bug("a transaction was used after its end or after an error in it")
        if write and not self._writable:
            raise Bug("a read transaction was to write")

    def _row(self, kind: Kind, id: int) -> Row | None:
        differing = self.differing.get(kind)
        if differing is not None and id in differing:
            return differing[id]
        return self._disk.tables[kind].rows.get(id)

    def _claim(self, kind: Kind, names: tuple[str, ...], row: Row, old: Row | None) -> None:
        """Note that the row has its key now, and has no longer the one it had."""
        key = _key(row, names)
        noted = self.keys.setdefault((kind, names), {})
        holder = noted[key] if key in noted else self._disk.tables[kind].unique[names].get(key)
        if holder not in (None, row.id):
            self._failed = True
            raise Conflict(f"there is another {kind.__name__} with the same {' and '.join(names)}")
        if old is not None and (had := _key(old, names)) != key:
            noted[had] = None
        noted[key] = row.id

    def _matching(
        self, kind: Kind, where: Where, after: int | None, before: int | None
    ) -> list[Row]:
        """The rows that fit, in order of their ids."""
        wanted = {name: _wanted(kind, name, value) for name, value in where.items()}
        table, differing = self._disk.tables[kind], self.differing.get(kind, {})
        candidates = table.candidates(wanted)
        numbers: Iterable[int]
        if candidates is None:
            numbers = table.between(after, before)
        else:
            numbers = sorted(each for each in candidates if _within(each, after, before))
        if not differing:
            return _fitting((table.rows[each] for each in numbers), wanted)
        found = _fitting((table.rows[each] for each in numbers if each not in differing), wanted)
        others = (row for row in differing.values() if row and _within(row.id, after, before))
        if more := _fitting(others, wanted):
            found += more
            found.sort(key=lambda row: row.id)
        return found


def _fitting(found: Iterable[Row], wanted: dict[str, frozenset[Any]]) -> list[Row]:
    if not wanted:
        return list(found)
    pairs = list(wanted.items())
    return [row for row in found if all(getattr(row, name) in fits for name, fits in pairs)]


def _wanted(kind: Kind, name: str, value: Any) -> frozenset[Any]:
    rows.codec(kind).scalar(name)
    values = value if isinstance(value, (list, tuple, set, frozenset)) else (value,)
    return frozenset(rows.storable(each) if type(each) is str else each for each in values)


def _within(id: int, after: int | None, before: int | None) -> bool:
    return (after is None or id > after) and (before is None or id < before)


def _key(row: Row, names: tuple[str, ...]) -> Key:
    return tuple(getattr(row, name) for name in names)


def _ordering(name: str) -> Callable[[Row], tuple[bool, Any]]:
    """None comes before everything else, as in SQLite; equal values keep the order of their ids."""

    def key(row: Row) -> tuple[bool, Any]:
        value = getattr(row, name)
        return (value is not None, value)

    return key


class MemoryStore:
    """A store in memory. Give two of them one `Disk` to stage a restart or a second server."""

    def __init__(self, disk: Disk | None = None) -> None:
        self._disk = disk or Disk()

    async def open(self) -> None:
        """Nothing has to be done."""

    def read(self) -> _View:
        return _View(self._disk, writable=False)

    def write(self) -> _View:
        return _View(self._disk, writable=True)

    async def lock_planner(self) -> bool:
        if self._disk.planner is None:
            self._disk.planner = self
        return self._disk.planner is self

    async def close(self) -> None:
        if self._disk.planner is self:
            self._disk.planner = None
