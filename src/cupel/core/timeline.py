"""Where the time of a build went. Pure: values in, values out."""

from __future__ import annotations

import dataclasses
import enum

from cupel.core.model import Build, BuildState, Machine


class Phase(enum.StrEnum):
    """What a part of a build's time was for; `report.messages` words it."""

    QUEUED = "queued"
    """No machine was given to it, and none was being made for it."""
    MAKING = "making"
    """Its machine was being made."""
    BEGINNING = "beginning"
    """The machine had it, and got the source, caches and services ready."""
    STEP = "step"
    SAVING = "saving"
    """After the last step: results, artefacts and caches."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of the time, to `end`, or until now while it lasts. `step` is its number, from 1."""

    phase: Phase
    start: float
    end: float
    step: int | None = None
    name: str = ""
    lasts: bool = False

    @property
    def seconds(self) -> float:
        return self.end - self.start


def of(build: Build, machine: Machine | None, now: float) -> list[Span]:
    """The parts of a build's time in their order, without gaps; none of one that was not run."""
    if build.reused_from is not None or build.offer is not None:
        return []
    over = build.finished_at if build.state is BuildState.FINISHED else None
    end = now if over is None else over
    marks = _before(build, machine)
    marks += [
        (step.started_at, Phase.STEP, number, step.name)
        for number, step in enumerate(build.steps, start=1)
    ]
    if build.steps and build.steps[-1].finished_at is not None:
        marks.append((build.steps[-1].finished_at, Phase.SAVING, None, ""))
    spans: list[Span] = []
    at = build.queued_at
    for place, (start, phase, number, name) in enumerate(marks):
        last = place == len(marks) - 1
        until = end if last else min(max(marks[place + 1][0], at), end)
        begun = max(start, at) if spans else at
        if until > begun or phase is Phase.STEP or (last and over is None):
            lasts = last and over is None
            spans.append(
                Span(phase=phase, start=begun, end=until, step=number, name=name, lasts=lasts)
            )
        at = max(at, until)
    return spans


def _before(build: Build, machine: Machine | None) -> list[tuple[float, Phase, int | None, str]]:
    """When each part before the first step began."""
    marks: list[tuple[float, Phase, int | None, str]] = [(build.queued_at, Phase.QUEUED, None, "")]
    given = build.started_at
    if machine is not None:
        if machine.used_at is not None:
            given = machine.used_at
        if machine.created_at > build.queued_at:
            marks.append((machine.created_at, Phase.MAKING, None, ""))
    if given is not None:
        marks.append((max(given, marks[-1][0]), Phase.BEGINNING, None, ""))
    return marks
