"""`extends`: what a job takes from others, put together before any of it is read.

Values keep the places at which they were written, so what is wrong with an inherited one is
reported where it stands, and `cupel explain` can tell where each came from.
"""

from __future__ import annotations

import dataclasses
import graphlib
from collections.abc import Collection, Iterator, Mapping, Sequence

from cupel.config.document import MAX_TEXT, MAX_VALUES, Array, Entry, Kind, Scalar, Table, Value
from cupel.config.problem import Problems, show
from cupel.config.scalar import Boolean, Text
from cupel.config.shape import Field, ListOf, Placed, Refused, Schema, attempt

MAX_PARENTS = 8
MAX_DEPTH = 10
"""Jobs from one to the last that it extends."""

MERGED = ("env", "services")
"""The keys whose entries are merged by name; others replace what is inherited."""


class ParentsShape:
    """The name of a job, or a list of names, of which later ones count more."""

    _one = Text(wanted="the name of a job", limit=64)
    _list = ListOf(_one, "names of jobs", least=1, empty_hint="leave the key out")

    def read(self, value: Value, problems: Problems) -> tuple[Placed[str], ...]:
        items = value.items if isinstance(value, Array) else (value,)
        if len(items) > MAX_PARENTS:
            raise Refused(value.at, f"a job extends at most {MAX_PARENTS} others")
        if isinstance(value, Array):
            self._list.read(value, problems)
        texts = [(attempt(self._one, item, problems), item.at) for item in items]
        return tuple(Placed(text, at) for text, at in texts if text is not None)

    def schema(self) -> Schema:
        listed = self._list.schema() | {"maxItems": MAX_PARENTS}
        return {"anyOf": [self._one.schema(), listed]}


EXTENDS = Field(
    key="extends",
    shape=ParentsShape(),
    text="The job, or the list of jobs, from which this one takes what it does not say itself.",
)
ABSTRACT = Field(
    key="abstract",
    shape=Boolean(),
    text="`true` for a template: it is never run, only extended, and may leave out any key.",
)
OWN = (EXTENDS.key, ABSTRACT.key)
"""The keys that are never inherited."""


Parents = Mapping[str, tuple[Placed[str], ...]]
"""The jobs that extend others, and which."""


def resolve(trees: Sequence[Value], problems: Problems) -> tuple[tuple[Value, ...], Parents]:
    """The files with each job as it is after `extends`, which is gone from it, and who did so.

    A job whose `extends` cannot be followed is left as it is.
    """
    jobs = dict(_jobs(trees))
    parents = _parents(jobs, problems)
    done = _Extending(jobs, parents, problems).run()
    good = {name: each for name, each in parents.items() if each is not None}
    return tuple(_replaced(tree, jobs, done) for tree in trees), good


def _jobs(trees: Sequence[Value]) -> Iterator[tuple[str, Table]]:
    """The jobs by name; of two with one name the first, since the other is an error anyway."""
    seen: set[str] = set()
    for tree in trees:
        for entry in _entries(_get(tree, "jobs")):
            if entry.key.text not in seen and isinstance(entry.value, Table):
                seen.add(entry.key.text)
                yield entry.key.text, entry.value


def _entries(value: Value | None) -> tuple[Entry, ...]:
    return value.entries if isinstance(value, Table) else ()


def _get(value: Value, key: str) -> Value | None:
    return next((entry.value for entry in _entries(value) if entry.key.text == key), None)


def _parents(
    jobs: Mapping[str, Table], problems: Problems
) -> dict[str, tuple[Placed[str], ...] | None]:
    """What each job extends, of those that do; None where that is wrong."""
    found: dict[str, tuple[Placed[str], ...] | None] = {}
    for name, table in jobs.items():
        value = _get(table, EXTENDS.key)
        if value is None:
            continue
        read = attempt(EXTENDS.shape, value, problems)
        found[name] = read if read and _known(read, jobs, problems) else None
    return found


def _known(names: tuple[Placed[str], ...], jobs: Mapping[str, Table], problems: Problems) -> bool:
    known, seen = True, set[str]()
    for name in names:
        if name.value not in jobs:
            message = f"no job {show(name.value)} to extend"
            problems.add_unknown(name.at, message, name.value, jobs, "jobs")
            known = False
        elif name.value in seen:
            problems.add(name.at, f"{show(name.value)} is there twice")
        seen.add(name.value)
    return known


class _Extending:
    """Goes through the jobs, parents first."""

    def __init__(
        self,
        jobs: Mapping[str, Table],
        parents: Mapping[str, tuple[Placed[str], ...] | None],
        problems: Problems,
    ) -> None:
        self._jobs = jobs
        self._parents = parents
        self._problems = problems
        self._done: dict[str, Table] = {}
        self._depth: dict[str, int] = {}
        self._budget = _Budget()

    def run(self) -> Mapping[str, Table]:
        """The jobs that could be put together."""
        sorter = graphlib.TopologicalSorter(
            {
                name: [each.value for each in parents or ()]
                for name, parents in self._parents.items()
            }
        )
        try:
            sorter.prepare()
        except graphlib.CycleError as error:
            self._refuse_circle(error.args[1])
        while ready := sorter.get_ready():
            for name in ready:
                self._extend(name)
            sorter.done(*ready)
        return self._done

    def _refuse_circle(self, circle: list[str]) -> None:
        names = circle[::-1][1:]
        start = names.index(min(names, key=list(self._jobs).index))
        names = [*names[start:], *names[:start]]
        at = next(
            each.at for each in self._parents[names[0]] or () if each.value == [*names, names[0]][1]
        )
        words = " extends ".join([*names, names[0]])
        self._problems.add(at, f"these jobs go round in a circle: {words}")

    def _extend(self, name: str) -> None:
        own = self._jobs[name]
        if name not in self._parents:
            self._done[name], self._depth[name] = own, 0
            return
        parents = self._parents[name]
        if not parents or any(each.value not in self._done for each in parents):
            return
        self._depth[name] = 1 + max(self._depth[each.value] for each in parents)
        if self._depth[name] > MAX_DEPTH:
            hint = "extend a job nearer to the first one"
            self._problems.add(parents[0].at, f"more than {MAX_DEPTH} jobs extend each other", hint)
            return
        inherited: tuple[Entry, ...] = ()
        for each in parents:
            above = (e for e in self._done[each.value].entries if e.key.text not in OWN)
            inherited = _over(inherited, tuple(above))
        mine = tuple(entry for entry in own.entries if entry.key.text != EXTENDS.key)
        merged = _cleared(inherited, mine, self._problems)
        if not self._budget.charge(merged):
            message = f"all that is extended is more than {MAX_VALUES:,} values or 4 MiB of text"
            self._problems.add(parents[0].at, message, "make the templates smaller")
            return
        self._done[name] = Table(at=own.at, entries=merged)


def _over(
    below: Sequence[Entry], above: Sequence[Entry], by_name: Collection[str] = MERGED
) -> tuple[Entry, ...]:
    """The entries of both; of those with one key the ones above count, but for what is merged."""
    merged = {entry.key.text: entry for entry in below}
    for entry in above:
        under = merged.get(entry.key.text)
        if under is not None and entry.key.text in by_name:
            merged[entry.key.text] = _merged(under, entry)
        else:
            merged[entry.key.text] = entry
    return tuple(merged.values())


def _merged(under: Entry, entry: Entry) -> Entry:
    if not isinstance(under.value, Table) or not isinstance(entry.value, Table):
        return entry
    both = _over(under.value.entries, entry.value.entries, ())
    return dataclasses.replace(entry, value=Table(at=entry.value.at, entries=both))


def _cleared(
    inherited: tuple[Entry, ...],
    own: tuple[Entry, ...],
    problems: Problems,
    by_name: Collection[str] = MERGED,
) -> tuple[Entry, ...]:
    """The job's own entries over the inherited ones, without what an empty one takes away."""
    result = {entry.key.text: entry for entry in inherited}
    for entry in own:
        key = entry.key.text
        under = result.get(key)
        if _is_nothing(entry.value):
            _take_away(result, entry, problems)
        elif under is not None and key in by_name and isinstance(entry.value, Table):
            names = _cleared(_entries(under.value), entry.value.entries, problems, ())
            table = Table(at=entry.value.at, entries=names)
            result[key] = dataclasses.replace(entry, value=table)
        else:
            result[key] = entry
    return tuple(result.values())


def _is_nothing(value: Value) -> bool:
    return isinstance(value, Scalar) and value.kind is Kind.NULL


def _take_away(below: dict[str, Entry], entry: Entry, problems: Problems) -> None:
    if below.pop(entry.key.text, None) is None:
        problems.add(
            entry.key.at,
            f"nothing to take away: no job above says {show(entry.key.text)}",
            "give the key a value, or remove it",
        )


class _Budget:
    """How much all extended jobs may come to, as many do that share a large template."""

    def __init__(self) -> None:
        self._values = MAX_VALUES
        self._text = MAX_TEXT
        self._known: dict[int, tuple[int, int]] = {}

    def charge(self, entries: tuple[Entry, ...]) -> bool:
        """Whether there was enough left for them."""
        for entry in entries:
            if self._values < 0 or self._text < 0:
                return False
            values, text = self._weigh(entry.value)
            self._values -= values + 1
            self._text -= text + len(entry.key.text)
        return self._values >= 0 and self._text >= 0

    def _weigh(self, value: Value) -> tuple[int, int]:
        """Values and characters; what many jobs inherit is only counted once.

        A value is known by its identity: all that are weighed are kept, in files or in jobs.
        """
        if isinstance(value, Scalar):
            return 1, len(value.text)
        known = self._known.get(id(value))
        if known is None:
            parts = [self._weigh(each) for each in _inner(value)]
            known = 1 + sum(each[0] for each in parts), sum(each[1] for each in parts)
            self._known[id(value)] = known
        return known


def _inner(value: Array | Table) -> Iterator[Value]:
    if isinstance(value, Array):
        yield from value.items
    else:
        for entry in value.entries:
            yield entry.key
            yield entry.value


def _replaced(tree: Value, jobs: Mapping[str, Table], done: Mapping[str, Table]) -> Value:
    """The file with its jobs as they are now."""
    if not isinstance(tree, Table):
        return tree
    return dataclasses.replace(
        tree,
        entries=tuple(
            dataclasses.replace(entry, value=_all_replaced(entry.value, jobs, done))
            if entry.key.text == "jobs" and isinstance(entry.value, Table)
            else entry
            for entry in tree.entries
        ),
    )


def _all_replaced(table: Table, jobs: Mapping[str, Table], done: Mapping[str, Table]) -> Table:
    entries = []
    for entry in table.entries:
        name = entry.key.text
        ours = name in done and entry.value is jobs[name]
        entries.append(dataclasses.replace(entry, value=done[name]) if ours else entry)
    return Table(at=table.at, entries=tuple(entries))
