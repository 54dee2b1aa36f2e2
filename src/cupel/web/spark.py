"""Small drawings beside words: a line over time, marks in time, and how a number is made up.

They are drawn in units of WIDTH × HEIGHT, whatever size they are shown in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from cupel.core.model import MachineState
from cupel.web import status

WIDTH, HEIGHT = 100.0, 24.0
POINTS = 180
"""Points that a line is drawn through, at most."""

GAP = 90.0
"""Seconds without a value after which a line begins anew."""

Point = tuple[float, float | None]
"""A time and a value, or None where there is none."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spark:
    """`path` is for the `d` of an SVG path; `top` is the value at the upper edge."""

    path: str
    top: float
    last: float
    peak: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a bar: where it begins and how wide it is, and what it stands for."""

    state: str
    tone: str
    count: int
    x: float
    width: float


def line(points: Sequence[Point], since: float, until: float, least: float) -> Spark | None:
    """Values over time, on a scale to `least` at least; None without any."""
    thinned = _thinned([each for each in points if since <= each[0] <= until])
    known = [value for _, value in thinned if value is not None]
    if not known:
        return None
    top = max(least, *known)
    drawn, before = [], None
    for at, value in thinned:
        if value is None:
            before = None
            continue
        pen = "M" if before is None or at - before > GAP else "L"
        drawn.append(f"{pen}{_x(at, since, until):.1f} {_y(value, top):.1f}")
        before = at
    return Spark(path="".join(drawn), top=top, last=known[-1], peak=max(known))


def marks(points: Sequence[tuple[float, float]], since: float, until: float) -> Spark | None:
    """A mark for each value, as high as that; None without any."""
    shown = [each for each in points if since <= each[0] <= until]
    if not shown:
        return None
    top = max(value for _, value in shown) or 1.0
    path = "".join(
        f"M{_x(at, since, until):.1f} {HEIGHT:g}V{min(_y(value, top), HEIGHT - 1):.1f}"
        for at, value in shown
    )
    return Spark(path=path, top=top, last=shown[-1][1], peak=top)


def pieces(counts: Mapping[MachineState, int], total: int) -> list[Piece]:
    """The states of machines as parts of a bar that is `total` machines wide."""
    found, x = [], 0.0
    for state, count in counts.items():
        if count:
            width = WIDTH * count / max(total, 1)
            tone = status.look(state).tone
            found.append(Piece(state=state, tone=tone, count=count, x=x, width=width))
            x += width
    return found


def hardest(columns: Iterable[Sequence[float | None]]) -> list[float | None]:
    """Of values side by side the largest that is known."""
    return [
        max((value for value in values if value is not None), default=None)
        for values in zip(*columns, strict=True)
    ]


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most POINTS: of those side by side the highest, so that no peak is lost."""
    step = max(1, -(-len(points) // POINTS))
    if step == 1:
        return list(points)
    return [
        max(points[at : at + step], key=lambda each: -1.0 if each[1] is None else each[1])
        for at in range(0, len(points), step)
    ]


def _x(at: float, since: float, until: float) -> float:
    return WIDTH * (at - since) / max(until - since, 1e-9)


def _y(value: float, top: float) -> float:
    return HEIGHT * (1 - value / top)
