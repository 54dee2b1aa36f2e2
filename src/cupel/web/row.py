"""An item of a queue as it is shown: which of its jobs are worth a look, and the rest in counts."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from cupel.control.views import ItemView, JobView
from cupel.web import lane, status, text
from cupel.web.lane import Node, Picture

FEW = 4
"""So many jobs of an item are all shown one by one, once any has begun."""

_QUIET = {
    "success": "passed",
    "reused": "reused",
    "queued": "queued",
    "waiting": "waiting",
    "skipped": "skipped",
    "cancelled": "cancelled",
}
"""What is counted rather than shown, by the word that sums a job up."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """Jobs that are alike: in a `word` how, and in words `why` they wait, if they do."""

    word: str
    why: str
    jobs: Sequence[JobView]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Those to `look` at, and the `rest`, of which `told` says how many there are."""

    look: Sequence[JobView]
    rest: Sequence[Rest]
    told: str


def jobs(item: ItemView) -> Jobs:
    """Failing and running jobs are shown; of many others only how many there are."""
    begun = any(job.icon not in ("queued", "waiting") for job in item.jobs)
    if begun and len(item.jobs) <= FEW:
        return Jobs(look=item.jobs, rest=(), told="")
    look: list[JobView] = []
    alike: dict[tuple[str, str], list[JobView]] = {}
    for job in item.jobs:
        word = None if job.failures else _QUIET.get(job.icon)
        if word is None:
            look.append(job)
        else:
            alike.setdefault((word, job.waiting or ""), []).append(job)
    rest = [Rest(word=word, why=why, jobs=own) for (word, why), own in alike.items()]
    return Jobs(look=look, rest=rest, told=_told(len(item.jobs), rest))


def links(jobs: Sequence[JobView]) -> Markup:
    """Jobs by their names, each as a link to its build. There are thousands of them on a page, so
    this is no template."""
    return Markup(", ".join(_link(job) for job in jobs))  # noqa: S704 - names are escaped


def _link(job: JobView) -> str:
    name = text.visible(text.shortened(job.name, 60))
    said = f"<span>{name}</span>"
    if job.build is not None:
        said = f'<a href="/builds/{job.build}">{name}</a>'
    if job.reused is None:
        return said
    origin = f"#{job.reused.change}" if job.reused.change else f"build {job.reused.build}"
    return f'{said} from <a href="/builds/{job.reused.build}">{origin}</a>'


def _told(total: int, rest: Sequence[Rest]) -> str:
    counts: Counter[str] = Counter()
    for each in rest:
        counts[each.word] += len(each.jobs)
    said = ", ".join(f"{count} {word}" for word, count in counts.items())
    noun = "job" if total == 1 else "jobs"
    return f"{total} {noun}: {said}" if counts.total() == total else f"and {said}" if said else ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An item in its place, with its part of the lane, and how many are hidden beneath it."""

    item: ItemView
    jobs: Jobs
    picture: Picture
    hidden: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Items of a gate that are shown, under the `name` of their group, with what joins them."""

    name: str
    rows: Sequence[Row]
    base: Picture
    columns: int


def gate(name: str, every: Sequence[ItemView], shown: Sequence[ItemView]) -> Gate:
    """`every` item of the gate says who stands on whom; those `shown` are drawn."""
    drawn = lane.shown(nodes(every), [item.id for item in shown])
    drawing = lane.draw(drawn)
    return Gate(
        name=name,
        rows=[
            Row(item=item, jobs=jobs(item), picture=picture, hidden=node.hidden)
            for item, node, picture in zip(shown, drawn, drawing.pictures, strict=True)
        ],
        base=drawing.base,
        columns=drawing.columns,
    )


def nodes(items: Sequence[ItemView]) -> list[Node]:
    """What each item stands on; one without a state will stand on the last that is on the lane."""
    by_change = {item.change: item.id for item in items if item.change is not None}
    found = []
    last: int | None = None
    for item in items:
        bad = item.status in status.OFF_LANE
        if item.proof is None:
            found.append(Node(id=item.id, parent=last, bad=bad, to_be=True))
        else:
            ahead = item.proof.ahead
            parent = by_change.get(ahead[-1]) if ahead else None
            found.append(Node(id=item.id, parent=parent, bad=bad))
        if not bad:
            last = item.id
    return found


def standing_on(change: int, items: Sequence[ItemView]) -> list[ItemView]:
    """Those of a gate whose state holds a change that is ahead of them."""
    holding: set[int] = set()
    found = []
    for item, node in zip(items, nodes(items), strict=True):
        if item.change == change:
            holding.add(item.id)
        elif not node.to_be and node.parent in holding:
            holding.add(item.id)
            found.append(item)
    return found
