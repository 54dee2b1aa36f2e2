"""What `cupel top` has seen of a server, what the person at the keyboard looks at, and how a key
changes that."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cupel.control.views import HostView, ItemView, JobView, QueueView, StatusView

SAMPLES = 120
"""How far back the lines of load go, in samples."""

RECENT = 5
"""Items that left the gate are shown, the last so many of a queue."""

LONGEST_FILTER = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The end of a build's log."""

    build: int
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the server said at `at`. `trouble` is why it says nothing now."""

    at: float
    status: StatusView | None = None
    queues: tuple[QueueView, ...] = ()
    hosts: tuple[HostView, ...] = ()
    log: Log | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is looked at: an item by id, perhaps `opened` with one of its jobs, by name.

    Until somebody `moved`, the first item is selected, whichever that is. `typing`: keys go to the
    filter.
    """

    selected: int | None = None
    moved: bool = False
    opened: bool = False
    job: str | None = None
    filter: str = ""
    typing: bool = False
    paused: bool = False
    over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How busy a host was, from 0 to 1 each; `waits` is the most of cpu, memory and io."""

    machines: float
    cpu: float
    memory: float
    waits: float


class History:
    """The loads of hosts, as they came."""

    def __init__(self) -> None:
        self._loads: dict[str, collections.deque[Load]] = {}

    def add(self, hosts: Sequence[HostView]) -> None:
        """One sample of each host; those that are gone are forgotten."""
        names = {host.name for host in hosts}
        for gone in set(self._loads) - names:
            del self._loads[gone]
        for host in hosts:
            known = self._loads.setdefault(host.name, collections.deque(maxlen=SAMPLES))
            known.append(load_of(host))

    def of(self, host: str) -> Sequence[Load]:
        return tuple(self._loads.get(host, ()))


def load_of(host: HostView) -> Load:
    machines = host.used / host.slots if host.slots else 0.0
    if host.load is None:
        return Load(machines=_part(machines), cpu=0.0, memory=0.0, waits=0.0)
    load = host.load
    waits = max(load.waits_cpu or 0.0, load.waits_memory or 0.0, load.waits_io or 0.0)
    return Load(
        machines=_part(machines),
        cpu=_part(load.runnable / max(1, load.cores)),
        memory=_part(1 - load.available / max(1, load.memory)),
        waits=_part(waits / 100),
    )


def _part(value: float) -> float:
    return min(1.0, max(0.0, value))


def items(queue: QueueView) -> list[ItemView]:
    """The items of a queue in the order in which they are shown: those that will land first."""
    return [*queue.gate, *queue.check, *queue.post, *queue.recent[:RECENT]]


def shown(snapshot: Snapshot, look: Look) -> list[tuple[QueueView, list[ItemView]]]:
    """The queues with what fits the filter; without one, those in which something goes on too."""
    found = []
    for queue in snapshot.queues:
        fitting = [item for item in items(queue) if fits(item, queue, look.filter)]
        if fitting or (not look.filter and (queue.kept_out or queue.rules.closed)):
            found.append((queue, fitting))
    return found


def fits(item: ItemView, queue: QueueView, text: str) -> bool:
    """Whether each word stands somewhere in what is said of the item."""
    said = (
        f"#{item.change} {item.project} {item.branch} {queue.name} {item.pipeline} {item.status}"
        f" {item.author} {item.title} {' '.join(job.name for job in item.jobs)}"
    ).casefold()
    return all(word in said for word in text.casefold().split())


def chosen(snapshot: Snapshot, look: Look) -> ItemView | None:
    """The selected item, if it is still there."""
    for _, found in shown(snapshot, look):
        for item in found:
            if item.id == look.selected:
                return item
    return None


def job_of(item: ItemView, look: Look) -> JobView | None:
    """The job whose log is shown: the one that was chosen, else what failed, else what runs."""
    if not item.jobs:
        return None
    for job in item.jobs:
        if job.name == look.job:
            return job
    return min(item.jobs, key=_interest)


_INTEREST = ("failure", "timeout", "infra", "running", "starting", "success", "reused")


def _interest(job: JobView) -> int:
    return _INTEREST.index(job.icon) if job.icon in _INTEREST else len(_INTEREST)


def wanted_log(snapshot: Snapshot, look: Look) -> int | None:
    """The build whose log is looked at."""
    item = chosen(snapshot, look) if look.opened else None
    job = None if item is None else job_of(item, look)
    return None if job is None else job.build


def settled(snapshot: Snapshot, look: Look) -> Look:
    """The look, when there is other news: on something that is there."""
    rows = [item.id for _, found in shown(snapshot, look) for item in found]
    if look.selected in rows and (look.moved or look.opened):
        return look
    first = rows[0] if rows else None
    return replace(look, selected=first, moved=False, opened=False, job=None)


def press(key: str, snapshot: Snapshot, look: Look, *, page: int = 10) -> Look:
    """The look after a key; `page` is how many rows there are room for."""
    if look.typing:
        return settled(snapshot, _type(key, look))
    match key:
        case "q" if not look.opened:
            return replace(look, over=True)
        case "q" | "escape" | "backspace" | "left" if look.opened:
            return replace(look, opened=False, job=None)
        case "escape":
            return settled(snapshot, replace(look, filter=""))
        case "p":
            return replace(look, paused=not look.paused)
        case "/":
            return replace(look, typing=True, opened=False, job=None)
        case "enter" | "right":
            there = look.selected is not None
            return replace(look, opened=there, moved=look.moved or there)
    step = _STEPS.get(key)
    if step is None:
        return look
    by, pages = step
    return _move(by * (page if pages else 1), snapshot, look)


_STEPS: dict[str, tuple[int, bool]] = {
    "up": (-1, False),
    "k": (-1, False),
    "down": (1, False),
    "j": (1, False),
    "page-up": (-1, True),
    "page-down": (1, True),
    "home": (-1_000_000, False),
    "g": (-1_000_000, False),
    "end": (1_000_000, False),
    "G": (1_000_000, False),
}


def _type(key: str, look: Look) -> Look:
    match key:
        case "enter":
            return replace(look, typing=False)
        case "escape":
            return replace(look, typing=False, filter="")
        case "backspace":
            return replace(look, filter=look.filter[:-1])
        case "clear":
            return replace(look, filter="")
    if len(key) > 1 or len(look.filter) >= LONGEST_FILTER:
        return look
    return replace(look, filter=look.filter + key)


def _move(by: int, snapshot: Snapshot, look: Look) -> Look:
    """Select another item; another job, where one is opened."""
    item = chosen(snapshot, look)
    if look.opened and item is not None and item.jobs:
        job = job_of(item, look)
        names = [each.name for each in item.jobs]
        index = names.index(job.name) if job is not None else 0
        return replace(look, job=names[_within(index + by, len(names))])
    rows = [each.id for _, found in shown(snapshot, look) for each in found]
    if not rows:
        return look
    index = rows.index(look.selected) if look.selected in rows else 0
    return replace(look, selected=rows[_within(index + by, len(rows))], moved=True)


def _within(index: int, count: int) -> int:
    return min(max(index, 0), count - 1)


def dump(snapshot: Snapshot) -> dict[str, object]:
    """All of it as JSON's values."""
    return {
        "status": None if snapshot.status is None else snapshot.status.model_dump(mode="json"),
        "queues": [queue.model_dump(mode="json") for queue in snapshot.queues],
        "hosts": [host.model_dump(mode="json") for host in snapshot.hosts],
    }
