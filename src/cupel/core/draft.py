"""The rows that a decision reads and the rows that it makes, side by side.

A draft is filled from one consistent read. Deciders look rows up and put new versions; the caller
persists `changed` and `events` in one transaction, or throws the draft away. It does no I/O.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, TypeVar, cast

from cupel.core.model import (
    Approval,
    Branch,
    Build,
    Buildset,
    BuildState,
    Change,
    Event,
    Evidence,
    History,
    Item,
    ItemState,
    PatchSet,
    Pipeline,
    Project,
    Queue,
    Row,
)
from cupel.errors import Bug

R = TypeVar("R", bound=Row)
A = TypeVar("A")


class Draft:
    """`now` is the time of the decision, `ids` an endless source of numbers never used before."""

    def __init__(self, rows: Iterable[Row], *, now: float, ids: Iterator[int]) -> None:
        self.now = now
        self.events: list[Event] = []
        self.version = 0
        """Grows with every row that changes."""
        self.urgency: dict[int, float] = {}
        """By build id, how soon it should get a machine as the planner has it: higher first."""
        self._ids = ids
        self.numbers_used = 0
        # Of any type, so that looking a row up is no call more: it is done thousands of times.
        self._rows: defaultdict[type[Any], dict[int | None, Any]] = defaultdict(dict)
        self._changed: dict[tuple[type[Any], int], Row] = {}
        self._versions: Counter[type[Any]] = Counter()
        self._remembered: dict[Any, tuple[int, Any]] = {}
        self._indexes: dict[str, dict[Any, dict[int, Any]]] = {
            name: {} for indexes in _INDEXES.values() for name in indexes
        }
        for row in rows:
            self._keep(row)

    def new_id(self) -> int:
        self.numbers_used += 1
        return next(self._ids)

    def find(self, kind: type[R], id: int | None) -> R | None:
        row: R | None = self._rows[kind].get(id)
        return row

    def get(self, kind: type[R], id: int | None) -> R:
        """The row, which must have been read. Raises `Bug` if it was not."""
        row: R | None = self._rows[kind].get(id)
        if row is None:
            raise Bug(f"{kind.__name__} {id} is not in the draft")
        return row

    def all(self, kind: type[R]) -> list[R]:
        return list(self._rows[kind].values())

    def put(self, row: R) -> R:
        """Keep a new row or a new version; a version equal to the present one changes nothing."""
        if self.find(type(row), row.id) != row:
            self._keep(row)
            self._versions[type(row)] += 1
            self.version += 1
            self._changed[type(row), row.id] = row
        return row

    def tell(self, kind: str, text: str = "", /, **about: int | str | None) -> None:
        """Record an event; `about` are the id fields and the user of `Event`."""
        fields = cast("dict[str, Any]", about)
        self.events.append(Event(id=self.new_id(), at=self.now, kind=kind, text=text, **fields))

    @property
    def changed(self) -> list[Row]:
        return list(self._changed.values())

    def remember(self, key: Any, of: type[Row], find: Callable[[], A]) -> A:
        """What `find` says, which depends on nothing but rows of one kind: asked again only when
        one of them has changed."""
        version = self._versions[of]
        known = self._remembered.get(key)
        if known is None or known[0] != version:
            known = self._remembered[key] = (version, find())
        return cast("A", known[1])

    # What deciders look up, by index.

    def branch(self, project_id: int, name: str) -> Branch:
        found: Branch | None = self._first("branch", (project_id, name))
        if found is None:
            raise Bug(f"branch {name} of project {project_id} is not in the draft")
        return found

    def patch_set(self, change_id: int, number: int) -> PatchSet:
        found: PatchSet | None = self._first("patch_set", (change_id, number))
        if found is None:
            raise Bug(f"patch set {number} of change {change_id} is not in the draft")
        return found

    def queue(self, project_id: int) -> Queue:
        """The queue that the project's changes go through."""
        return self.get(Queue, self.get(Project, project_id).queue_id)

    def evidence(self, key: str | None) -> Evidence | None:
        """The pass that is good for `key`, if there is one and it was not withdrawn; one that was
        offered only where there is no other."""
        if key is None or key not in self._indexes["evidence"]:
            return None
        found: list[Evidence] = self._index("evidence", key)
        good = (e for e in found if e.withdrawn_at is None)
        return min(good, key=lambda e: (e.offered, e.id), default=None)

    def history(self, project_id: int, subject: str) -> History | None:
        found: History | None = self._first("history", (project_id, subject))
        return found

    def buildsets(self, item_id: int) -> list[Buildset]:
        """Every state that the item is or was proved on, oldest first."""
        return self._in_order("buildset", item_id)

    def approvals(self, change_id: int) -> list[Approval]:
        return self._index("approval", change_id)

    def builds(self, buildset_id: int) -> list[Build]:
        """Builds of a buildset, by id: later attempts after earlier ones."""
        return self._in_order("build", buildset_id)

    def builds_of(self, buildset_id: int, job: str) -> list[Build]:
        """The attempts at one job of a buildset, by id."""
        return self._in_order("attempt", (buildset_id, job))

    def unfinished_of(self, buildset_id: int, job: str) -> bool:
        """Whether an attempt at the job waits or is under way."""
        found = self._indexes["attempt"].get((buildset_id, job))
        if not found:
            return False
        return any(build.state is not BuildState.FINISHED for build in found.values())

    def live_items(self, pipeline: Pipeline) -> list[Item]:
        """Items that are live or landing, in queue order."""
        found: list[Item] = self._index("item", pipeline)
        live = [item for item in found if item.state in (ItemState.LIVE, ItemState.LANDING)]
        return sorted(live, key=lambda item: item.position)

    def gate_item(self, change_id: int) -> Item | None:
        """The change's place in the gate, if it has one."""
        found: list[Item] = self._index("gate", change_id)
        return next(
            (i for i in found if i.state in (ItemState.LIVE, ItemState.LANDING)),
            None,
        )

    def unfinished_build_on(self, machine_id: int) -> Build | None:
        found: list[Build] = self._index("machine", machine_id)
        return next((b for b in found if b.state is not BuildState.FINISHED), None)

    def changes(self) -> list[Change]:
        return self.all(Change)

    def _index(self, name: str, key: Any) -> list[Any]:
        found = self._indexes[name].get(key)
        return list(found.values()) if found else []

    def _in_order(self, name: str, key: Any) -> list[Any]:
        """By id."""
        found = self._indexes[name].get(key)
        if not found:
            return []
        return sorted(found.values(), key=_ID) if len(found) > 1 else list(found.values())

    def _first(self, name: str, key: Any) -> Any:
        found = self._indexes[name].get(key)
        return next(iter(found.values())) if found else None

    def _keep(self, row: Row) -> None:
        kind = type(row)
        rows = self._rows[kind]
        old = rows.get(row.id)
        rows[row.id] = row
        for name, key in _INDEXES.get(kind, {}).items():
            index = self._indexes[name]
            value = key(row)
            if old is not None and (before := key(old)) != value:
                index[before].pop(row.id, None)
            index.setdefault(value, {})[row.id] = row


_ID = attrgetter("id")

_INDEXES: dict[type[Any], dict[str, Callable[[Any], Any]]] = {
    Branch: {"branch": attrgetter("project_id", "name")},
    PatchSet: {"patch_set": attrgetter("change_id", "number")},
    Approval: {"approval": attrgetter("change_id")},
    Buildset: {"buildset": attrgetter("item_id")},
    Evidence: {"evidence": attrgetter("key")},
    History: {"history": attrgetter("project_id", "subject")},
    Build: {
        "build": attrgetter("buildset_id"),
        "attempt": attrgetter("buildset_id", "job"),
        "machine": attrgetter("machine_id"),
    },
    Item: {
        "item": attrgetter("pipeline"),
        "gate": lambda row: row.change_id if row.pipeline is Pipeline.GATE else None,
    },
}
