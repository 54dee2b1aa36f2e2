"""What a machine used, as small charts: lines in SVG, drawn here, and the same as a table.

A browser with scripts draws the same lines again, so that they can be pointed at (static/chart.js).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cupel.log import metrics
from cupel.log.metrics import Row
from cupel.web import text

POINTS = 120
"""Records that a line is drawn through, at most."""
TABLE = 20
"""Rows of the table."""
NEAR = 2.0
"""A limit is drawn that is at most so many times what was used."""
WIDTH, HEIGHT = 300.0, 60.0
"""The units in which lines are drawn, whatever size they are shown in."""

Values = Sequence[float | None]
Number = Callable[[float], str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`path` is for the `d` of an SVG path; `peak` and `last` are in words."""

    name: str
    path: str
    peak: str
    last: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What there is at most, in words; `y` is where it is drawn (None: far above the lines)."""

    text: str
    y: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Lines over the same time, on the same scale, from nothing to `top`."""

    title: str
    top: str
    lines: tuple[Line, ...]
    limit: Limit | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """When a step ran; it is drawn as a band behind the lines."""

    name: str
    number: int
    start: float
    end: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened then, such as that the time was over."""

    text: str
    at: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What lines are drawn against: `cpus` and bytes of `memory` are what a machine has at most."""

    steps: tuple[Step, ...] = ()
    marks: tuple[Mark, ...] = ()
    cpus: float | None = None
    memory: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A step as it is drawn, from `x` on."""

    name: str
    number: int
    x: float
    width: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a machine of a build used, over so many seconds; `machine` is its name, if it has one.

    The cells of a row of the table are named by `HEADINGS`.
    """

    machine: str
    seconds: float
    charts: tuple[Chart, ...]
    table: tuple[tuple[str, ...], ...]
    bands: tuple[Band, ...] = ()
    marks: tuple[float, ...] = ()


HEADINGS = ("After", "Processor", "Memory", "Processes", "Disk", "Read", "Written", "Waited")


def of(files: Sequence[tuple[str, Path]], frame: Frame | None = None) -> list[Used]:
    """What each machine used, by its name and its file; those that nothing is known of are left
    out."""
    found = ((name, metrics.sample(file, POINTS)) for name, file in files)
    return [used(name, rows, frame) for name, rows in found if len(rows) > 1]


def used(machine: str, rows: Sequence[Row], frame: Frame | None = None) -> Used:
    """At least two records of a machine, as it is shown."""
    frame = frame or Frame()
    column = {name: [row[at] for row in rows] for at, name in enumerate(metrics.COLUMNS)}
    at = [value or 0.0 for value in column["at"]]
    cpu, read, written = (rates(at, column[name]) for name in ("cpu_seconds", "read", "written"))
    waits = [column[f"waits_{name}"] for name in ("cpu", "memory", "io")]
    drawn = (
        ("Processor", _cores, (("cores", cpu),), 1.0, frame.cpus),
        ("Memory", _size, (("memory", column["memory"]),), float(1 << 20), frame.memory),
        ("Disk", _speed, (("read", read), ("written", written)), float(1 << 20), None),
        (
            "Waited for",
            _percent,
            tuple(zip(("cpu", "memory", "disk"), waits, strict=True)),
            100.0,
            None,
        ),
    )
    step = max(1, -(-len(rows) // TABLE))
    cells = zip(
        *([text.elapsed(each - at[0]) for each in at], _told(_cores, cpu)),
        *(_told(_size, column["memory"]), _told("{:.0f}".format, column["processes"])),
        *(_told(_size, column["disk"]), _told(_speed, read), _told(_speed, written)),
        [" ".join(each) for each in zip(*(_told(_percent, wait) for wait in waits), strict=True)],
        strict=True,
    )
    charts = (chart(title, number, lines, at, *scale) for title, number, lines, *scale in drawn)
    return Used(
        machine=machine,
        seconds=at[-1] - at[0],
        charts=tuple(each for each in charts if each.lines),
        table=tuple(cells)[(len(rows) - 1) % step :: step],
        bands=tuple(bands(frame.steps, at[0], at[-1])),
        marks=tuple(
            WIDTH * (mark.at - at[0]) / max(at[-1] - at[0], 1e-9)
            for mark in frame.marks
            if at[0] <= mark.at <= at[-1]
        ),
    )


def bands(steps: Sequence[Step], start: float, end: float) -> Iterator[Band]:
    """The steps that ran between two times, each from where it began to where it ended."""
    scale = WIDTH / max(end - start, 1e-9)
    for step in steps:
        first, last = max(step.start, start), min(step.end, end)
        if last > first:
            yield Band(
                name=step.name,
                number=step.number,
                x=(first - start) * scale,
                width=(last - first) * scale,
            )


def chart(
    title: str,
    number: Number,
    lines: Sequence[tuple[str, Values]],
    at: Sequence[float],
    least: float,
    most: float | None = None,
) -> Chart:
    """Lines of values at times, on a scale to `least` at least. What is unknown is left out.

    `most` is the limit: it is drawn where the lines come near it.
    """
    known = [(name, values) for name, values in lines if any(v is not None for v in values)]
    peak = max([0.0, *(value for _, values in known for value in values if value is not None)])
    top = max(least, peak)
    near = most is not None and most <= NEAR * peak
    if most is not None and near:
        top = max(top, most * 1.05)
    return Chart(
        limit=None
        if most is None
        else Limit(text=number(most), y=HEIGHT * (1 - most / top) if near else None),
        title=title,
        top=number(top),
        lines=tuple(
            Line(
                name=name,
                path=path(at, values, top),
                peak=number(max(value for value in values if value is not None)),
                last=number([value for value in values if value is not None][-1]),
            )
            for name, values in known
        ),
    )


def path(at: Sequence[float], values: Values, top: float) -> str:
    """A line through the values that are known, with a gap for those that are not."""
    span = max(at[-1] - at[0], 1e-9)
    pen = "M"
    drawn = []
    for when, value in zip(at, values, strict=True):
        if value is None:
            pen = "M"
            continue
        x, y = WIDTH * (when - at[0]) / span, HEIGHT * (1 - value / top)
        drawn.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    return "".join(drawn)


def rates(at: Sequence[float], counts: Values) -> list[float | None]:
    """How fast a count grows, each second, since the value before; the first is like the second."""
    found = list(_growth(at, counts))
    return [*found[:1], *found]


def _growth(at: Sequence[float], counts: Values) -> Iterator[float | None]:
    for here in range(1, len(at)):
        now, before, passed = counts[here], counts[here - 1], at[here] - at[here - 1]
        if now is None or before is None or passed <= 0:
            yield None
        else:
            yield max(now - before, 0.0) / passed


def _told(number: Number, values: Values) -> list[str]:
    return ["?" if value is None else number(value) for value in values]


def seconds(value: float) -> str:
    """A duration, as lines of durations are told."""
    return text.duration(value)


def _cores(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _size(value: float) -> str:
    return text.size(int(value))


def _speed(value: float) -> str:
    return f"{text.size(int(value))}/s"


def _percent(value: float) -> str:
    return f"{value:.0f} %"
