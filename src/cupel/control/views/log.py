"""The lines of a build's log, its outline, and what is found in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cupel.control.views.nouns.log import (
    FoldView,
    FoundView,
    LogLinesView,
    LogLineView,
    MomentView,
    OutlineView,
)
from cupel.core.model import Build, Verdict
from cupel.errors import NotFound
from cupel.log import index
from cupel.log.find import Found
from cupel.log.outline import Fold, Outline
from cupel.log.stream import Line, LogReader

MAKING = "The machine"
"""What stands over lines that belong to no step."""


def machine_names(build: Build) -> list[str]:
    """The names of the machines of a build that has several, in the order of their parts."""
    return [part.name for part in build.parts]


def part_of(build: Build, machine: str | None) -> int | None:
    """The part that a machine is of; None for none. Raises `NotFound`."""
    if machine is None:
        return None
    names = machine_names(build)
    if machine not in names:
        known = ", ".join(names) or "none: its job has one machine"
        raise NotFound(f"build {build.id} has no machine {machine!r}", hint=f"it has {known}")
    return names.index(machine)


def log_line(line: Line, machines: Sequence[str]) -> LogLineView:
    return LogLineView(
        number=line.number,
        at=line.at,
        step=None if line.step == index.NO_STEP else line.step + 1,
        stream=line.stream,
        text=line.text,
        continues=line.continues,
        ended=line.ended,
        machine=machines[line.part] if line.part < len(machines) else None,
    )


def log_lines(build: Build, reader: LogReader, first: int, count: int) -> LogLinesView:
    """Up to `count` lines from number `first` on; fewer if they are very long."""
    names = machine_names(build)
    return LogLinesView(
        total=reader.line_count,
        lines=[log_line(line, names) for line in reader.lines(first, count)],
    )


def found_view(build: Build, reader: LogReader, found: Found) -> FoundView:
    names = machine_names(build)
    lines = [line for number in found.numbers for line in reader.lines(number, 1)]
    return FoundView(
        count=found.count, end=found.end, lines=[log_line(line, names) for line in lines]
    )


def moment_view(reader: LogReader, time: float) -> MomentView:
    found = reader.lines(reader.at(time), 1)
    return MomentView(line=found[0].number if found else None, at=found[0].at if found else None)


class FoldRow(NamedTuple):
    """What a `FoldView` says, for those who are told of many."""

    kind: str
    title: str
    step: int | None
    depth: int
    first: int
    last: int | None
    open: bool


def outline_view(build: Build, outline: Outline) -> OutlineView:
    return OutlineView(
        lines=outline.lines,
        cut=outline.is_cut,
        folds=[FoldView(**row._asdict()) for row in folds(build, outline)],
    )


def folds(build: Build, outline: Outline) -> list[FoldRow]:
    """The folds, of which the last step is open: that is where a build fails if it does.

    So is the last part that is marked in it, unless the build has passed.
    """
    steps = [fold for fold in outline.folds if fold.kind == "step"]
    last = max((at for at, fold in enumerate(steps) if fold.step != index.NO_STEP), default=0)
    shown = {(0, fold.first) for fold in steps[last:]}
    if build.verdict is not Verdict.SUCCESS:
        shown |= _last_parts(outline.folds, steps[last].first if steps else 0)
    names = {number: step.name for number, step in enumerate(build.steps)}
    return [_row(fold, names, (fold.depth, fold.first) in shown) for fold in outline.folds]


def _last_parts(folds: Sequence[Fold], step: int) -> set[tuple[int, int]]:
    """The depths and first lines of the last fold within a step, and of those it stands in."""
    inside: dict[int, int] = {}
    end = next((fold.last for fold in folds if fold.first == step and fold.depth == 0), None)
    for fold in folds:
        if fold.first >= step and fold.depth > 0 and (end is None or fold.first <= end):
            inside = {depth: first for depth, first in inside.items() if depth < fold.depth}
            inside[fold.depth] = fold.first
    return set(inside.items())


def _row(fold: Fold, names: dict[int, str], shown: bool) -> FoldRow:
    return FoldRow(
        kind=fold.kind,
        title=names.get(fold.step, MAKING) if fold.kind == "step" else fold.title,
        step=None if fold.step == index.NO_STEP else fold.step + 1,
        depth=fold.depth,
        first=fold.first,
        last=fold.last,
        open=fold.is_open or shown,
    )
