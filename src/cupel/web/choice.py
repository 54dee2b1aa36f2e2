"""What of a queue is shown, as its address says: filters, and what the rest is grouped by."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import urlencode

from cupel.control.views import ChangeRef, ItemView, QueueView
from cupel.errors import UserError

T = TypeVar("T")

STATES = (
    "waiting", "preparing", "running", "passed", "landing", "failed", "conflict", "misconfigured",
)  # fmt: skip
GROUPS = ("project", "author", "topic")
LONGEST = 200
"""Characters of a filter."""
LISTED = 200
"""Names that a choice offers at most."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Filters, all of which an item must fit, and what items are grouped by; empty is any."""

    text: str = ""
    project: str = ""
    branch: str = ""
    author: str = ""
    state: str = ""
    job: str = ""
    group: str = ""

    @property
    def is_filter(self) -> bool:
        """Whether anything may be left out."""
        return any((self.text, self.project, self.author, self.state, self.job))

    @property
    def query(self) -> str:
        """The part of an address after `?` that says this."""
        return urlencode({key: value for key, value in dataclasses.asdict(self).items() if value})

    def fits(self, item: ItemView) -> bool:
        return (
            (not self.project or item.project == self.project)
            and (not self.author or name_of(item.author) == self.author)
            and (not self.state or item.status == self.state)
            and (not self.job or any(job.name == self.job for job in item.jobs))
            and (not self.text or self._has_text(item.change, item.project, item))
        )

    def fits_change(self, change: ChangeRef) -> bool:
        """Of a change that has no place in a pipeline, and so neither state nor jobs."""
        return (
            not (self.state or self.job)
            and (not self.project or change.project == self.project)
            and (not self.author or name_of(change.author) == self.author)
            and (not self.text or self._has_text(change.id, change.project, change))
        )

    def _has_text(self, number: int | None, project: str, of: ItemView | ChangeRef) -> bool:
        wanted = self.text.casefold()
        if wanted.startswith("#") and wanted[1:].isdecimal():
            return str(number) == wanted[1:]
        said = (str(number), of.title, of.author, of.topic or "", project)
        return any(wanted in each.casefold() for each in said)

    def key(self, item: ItemView) -> str:
        """The group that an item is in."""
        match self.group:
            case "project":
                return item.project
            case "author":
                return name_of(item.author)
            case "topic":
                return item.topic or ""
        return ""


def read(query: Mapping[str, str]) -> Choice:
    """The choice that an address makes. Raises `UserError` for what cannot be chosen."""
    names = [field.name for field in dataclasses.fields(Choice)]
    said = {name: query.get(name, "").strip() for name in names}
    for name, value in said.items():
        if len(value) > LONGEST:
            raise UserError(
                f"`{name}` is {len(value)} characters long",
                hint=f"at most {LONGEST} are looked for",
            )
    _one_of("state", said["state"], STATES)
    _one_of("group", said["group"], GROUPS)
    return Choice(**said)


def _one_of(name: str, value: str, known: Sequence[str]) -> None:
    if value and value not in known:
        raise UserError(
            f"`{name}={value[:40]}` is not something to choose", hint=f"one of {', '.join(known)}"
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Items that have the same `name` for what is grouped by, in landing order."""

    name: str
    items: Sequence[ItemView]


def grouped(choice: Choice, items: Sequence[ItemView]) -> list[Group]:
    """Groups by their first item; one without a name if nothing is grouped."""
    if not choice.group:
        return [Group(name="", items=items)]
    found: dict[str, list[ItemView]] = {}
    for item in items:
        found.setdefault(choice.key(item), []).append(item)
    return [Group(name=name, items=own) for name, own in found.items()]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """What there is to choose from: each with how many items have it."""

    projects: Sequence[tuple[str, int]]
    authors: Sequence[tuple[str, int]]
    jobs: Sequence[tuple[str, int]]
    states: Sequence[tuple[str, int]]


def offers(choice: Choice, queues: Iterable[QueueView]) -> Offers:
    """By what goes on now; what is chosen is there in any case."""
    items = [item for queue in queues for item in (*queue.gate, *queue.check, *queue.post)]
    return Offers(
        projects=_counted(items, lambda item: [item.project], choice.project),
        authors=_counted(items, lambda item: [name_of(item.author)], choice.author),
        jobs=_counted(items, lambda item: [job.name for job in item.jobs], choice.job),
        states=_counted(items, lambda item: [item.status], choice.state),
    )


def _counted(
    items: Iterable[ItemView], names: Callable[[ItemView], Iterable[str]], chosen: str
) -> list[tuple[str, int]]:
    counts = Counter(name for item in items for name in names(item) if name)
    named = [name for name, _ in counts.most_common(LISTED)]
    if chosen and chosen not in named:
        named.append(chosen)
    return [(name, counts[name]) for name in sorted(named, key=str.casefold)]


def name_of(author: str) -> str:
    """An author without the address."""
    return author.partition(" <")[0].strip()
