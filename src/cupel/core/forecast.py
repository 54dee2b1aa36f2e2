"""When what is queued is expected to be done, if nothing fails. Nothing decides by it.

Tasks get machines in the order of the queue, each as soon as enough are free: list scheduling
(R. L. Graham, "Bounds on multiprocessing timing anomalies", 1969), on the times that jobs usually
take. The planner may well do it in another order, so this is what to tell people and no more.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A job that is to be run, or runs: it takes `seconds` yet, on so many `machines`.

    `needs` are the places in the list of tasks that end before it begins, all ahead of it. One on
    no machine is done with them: another run shows what it would show.
    """

    seconds: float
    running: bool = False
    machines: int = 1
    needs: tuple[int, ...] = ()


def ends(tasks: Sequence[Task], machines: int) -> list[float]:
    """In how many seconds each task is done. There is at least one machine."""
    free = [0.0] * machines
    found = [0.0] * len(tasks)
    for place, task in enumerate(tasks):
        if task.running:
            found[place] = task.seconds
            for _ in range(min(task.machines, machines)):
                heapq.heapreplace(free, max(free[0], task.seconds))
    for place, task in enumerate(tasks):
        if task.running:
            continue
        if task.machines == 1:
            begin = free[0] if not task.needs else max(free[0], *map(found.__getitem__, task.needs))
            found[place] = begin + task.seconds
            heapq.heapreplace(free, found[place])
        else:
            taken = [heapq.heappop(free) for _ in range(min(task.machines, machines))]
            begin = max([*taken[-1:], *(found[need] for need in task.needs)], default=0.0)
            found[place] = begin + task.seconds
            for _ in taken:
                heapq.heappush(free, found[place])
    return found


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An item of a queue: in how many seconds it is `proved`; None where nobody knows.

    One that is `out` does not land as it stands, and holds up nobody. One that is proved by those
    behind it has no runs of its own: `behind`.
    """

    proved: float | None
    out: bool = False
    behind: bool = False


def landings(places: Sequence[Place]) -> list[float | None]:
    """In how many seconds each lands, in the order of the queue; None where nobody knows."""
    found: list[float | None] = []
    latest: float | None = 0.0
    for place, proved in zip(places, _proved(places), strict=True):
        if place.out:
            found.append(None)
            continue
        latest = None if latest is None or proved is None else max(latest, proved)
        found.append(latest)
    return found


def _proved(places: Sequence[Place]) -> list[float | None]:
    """With the time of the nearest one behind for those that it proves too."""
    found: list[float | None] = []
    nearest: float | None = None
    for place in reversed(places):
        if not place.out and not place.behind:
            nearest = place.proved
        found.append(nearest if place.behind else place.proved)
    found.reverse()
    return found
