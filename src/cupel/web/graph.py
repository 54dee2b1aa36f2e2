"""Draws what needs what: arcs beside the rows of a list, and jobs in columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from cupel.control.views import ChainView, FrozenJobView
from cupel.web.text import shortened

ROW = 40
"""Pixels that a row of the list takes."""

STEP = 12
"""Pixels by which an arc bulges for each row that it passes."""

WIDEST = 84

BOX = (168, 30)
"""Width and height of a job's box."""

GAP = (56, 12)
"""What is between columns, and between rows."""

MOST = 60
"""Boxes that are drawn; with more, nobody sees anything."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Arcs:
    """Paths in a picture of so many pixels; `points` are where the rows are."""

    width: int
    height: int
    paths: Sequence[str]
    points: Sequence[tuple[int, int, bool]]


def arcs(chain: Sequence[ChainView]) -> Arcs:
    """Arcs from each change to those that it needs; the chain's rows stand to the right."""
    at = {each.id: number for number, each in enumerate(chain)}
    spans = [(at[each.id], at[need]) for each in chain for need in each.needs]
    reach = max((min(WIDEST, STEP * abs(a - b)) for a, b in spans), default=0)
    x = reach + 10
    return Arcs(
        width=x + 10,
        height=ROW * len(chain),
        paths=[_arc(x, _middle(a), _middle(b)) for a, b in spans],
        points=[(x, _middle(number), each.is_self) for number, each in enumerate(chain)],
    )


def _middle(row: int) -> int:
    return ROW * row + ROW // 2


def _arc(x: int, start: int, end: int) -> str:
    bulge = min(WIDEST, STEP * abs(start - end) // ROW)
    return f"M{x} {start}C{x - bulge * 4 // 3} {start} {x - bulge * 4 // 3} {end} {x} {end}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A job, or all cells of its matrix: `count` of them."""

    x: int
    y: int
    name: str
    title: str
    href: str
    count: int
    voting: bool
    state: str | None
    differs: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    width: int
    height: int
    boxes: Sequence[Box]
    paths: Sequence[str]


_WORST = ("failure", "timeout", "infra", "cancelled", "running", "starting", "queued")


def jobs(frozen: Sequence[FrozenJobView]) -> Picture | None:
    """The jobs by how deep they stand, those that are needed left; None if they are too many."""
    bases: dict[str, list[FrozenJobView]] = {}
    for job in frozen:
        bases.setdefault(job.base, []).append(job)
    if len(bases) > MOST or not bases:
        return None
    rows: dict[int, int] = {}
    boxes: dict[str, Box] = {}
    for base, cells in bases.items():
        depth = max(cell.depth for cell in cells)
        row = rows.get(depth, 0)
        rows[depth] = row + 1
        boxes[base] = Box(
            x=depth * (BOX[0] + GAP[0]) + 1,
            y=row * (BOX[1] + GAP[1]) + 1,
            name=shortened(base, 15),
            title=base,
            href=f"#job-{frozen.index(cells[0])}",
            count=len(cells),
            voting=any(cell.voting for cell in cells),
            state=_worst([cell.state for cell in cells]),
            differs=any(cell.differs for cell in cells),
        )
    of = {job.name: job.base for job in frozen}
    lines = dict.fromkeys(
        (of[need], base) for base, cells in bases.items() for need in cells[0].needs if need in of
    )
    return Picture(
        width=(max(rows) + 1) * (BOX[0] + GAP[0]) - GAP[0] + 2,
        height=max(rows.values()) * (BOX[1] + GAP[1]) - GAP[1] + 2,
        boxes=list(boxes.values()),
        paths=[_line(boxes[one], boxes[other]) for one, other in lines],
    )


def _worst(states: Sequence[str | None]) -> str | None:
    """The one to show for several: what went wrong, else what goes on."""
    known = [state for state in states if state is not None]
    return next((state for state in _WORST if state in known), known[0] if known else None)


def _line(one: Box, other: Box) -> str:
    x1, y1 = one.x + BOX[0], one.y + BOX[1] // 2
    x2, y2 = other.x, other.y + BOX[1] // 2
    middle = (x1 + x2) // 2
    return f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"
