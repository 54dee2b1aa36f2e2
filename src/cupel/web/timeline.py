"""The time of a build as a bar, and those of the jobs beside it, for SVG that the server draws."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from cupel.control.views import AttemptView, SpanView
from cupel.core.timeline import Phase

WIDTH = 1000.0
"""The units in which bars are drawn, whatever size they are shown in."""

LEAST = 2.0
"""Units that a part has at least: what was short is still there."""

BESIDE = 40
"""Jobs that are drawn beside a build."""

_TONES = {
    Phase.QUEUED: "queued",
    Phase.MAKING: "making",
    Phase.BEGINNING: "beginning",
    Phase.SAVING: "saving",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A part of the bar; `tone` is a class of static/build.css."""

    x: float
    width: float
    tone: str
    span: SpanView


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A build among those of its state: when it waited and when it ran, on one scale for all."""

    build: AttemptView
    waited: tuple[float, float]
    ran: tuple[float, float] | None


def bars(spans: Sequence[SpanView]) -> list[Bar]:
    """The parts side by side over the whole width; steps have tones in turn."""
    whole = sum(span.seconds for span in spans)
    if whole <= 0:
        return []
    widths = [max(WIDTH * span.seconds / whole, LEAST) for span in spans]
    scale = WIDTH / sum(widths)
    found = []
    at = 0.0
    for span, width in zip(spans, widths, strict=True):
        tone = _TONES.get(span.phase) or f"step-{(span.step or 0) % 2}"
        found.append(Bar(x=at, width=width * scale, tone=tone, span=span))
        at += width * scale
    return found


def lanes(beside: Sequence[AttemptView], own: int, now: float) -> list[Lane]:
    """The builds of a state on the time of them all; `own` is among them, if there are many."""
    ran = [each for each in beside if each.reused_from is None]
    shown = ran[:BESIDE]
    if own not in {each.id for each in shown}:
        shown += [each for each in ran[BESIDE:] if each.id == own]
    if len(shown) < 2:
        return []
    start = min(each.queued_at for each in shown)
    end = max(each.finished_at or now for each in shown)
    scale = WIDTH / max(end - start, 1e-9)

    def units(begin: float, until: float) -> tuple[float, float]:
        width = max((max(until, begin) - begin) * scale, LEAST)
        return min((begin - start) * scale, WIDTH - width), width

    return [
        Lane(
            build=each,
            waited=units(each.queued_at, each.started_at or each.finished_at or now),
            ran=None
            if each.started_at is None
            else units(each.started_at, each.finished_at or now),
        )
        for each in shown
    ]
