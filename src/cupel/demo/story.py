"""What became of the flaky change, the broken one and those behind them, as the API tells it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from cupel.control.views import AttemptView, BuildsetView, ChangeView, ItemView
from cupel.core.model import ItemState, Pipeline, Role, Verdict
from cupel.demo.scenes import Part


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A sentence of the story; `so` unless what happened is another one."""

    change: int
    part: Part
    text: str
    so: bool


def tell(parts: Sequence[tuple[Part, ChangeView]]) -> tuple[Told, ...]:
    """The story of the second act; `parts` are its changes, in the order of the queue."""
    broken = next(view for part, view in parts if part is Part.BROKEN)
    found: list[Told] = []
    for part, view in parts:
        match part:
            case Part.FLAKY:
                text, so = _flaky(view)
            case Part.BROKEN:
                text, so = _broken(view, [other for _, other in parts])
            case Part.GOOD:
                text, so = _good(view, broken, [other for _, other in parts])
        found.append(Told(change=view.id, part=part, text=text, so=so))
    return tuple(found)


def _flaky(view: ChangeView) -> tuple[str, bool]:
    for state in _states(view):
        for build in state.builds:
            if build.flaked:
                text = (
                    f"{build.job} failed, was run again on the same, and passed:"
                    f" a flake of {build.job}, not the change's fault; it landed"
                )
                return text, _item(view).state is ItemState.LANDED
    return "its test did not fail at first", False


def _broken(view: ChangeView, others: Sequence[ChangeView]) -> tuple[str, bool]:
    failed = [
        build
        for state in _states(view)
        if state.role is Role.PROOF
        for build in state.builds
        if build.verdict is Verdict.FAILURE
    ]
    if not failed:
        return "nothing of it failed", False
    job, first = failed[0].job, min(build.finished_at or 0.0 for build in failed)
    without = [build for build in _without(view, others) if _passed_since(build, job, first)]
    passes = f"{job} passes without it (build {without[0].id})" if without else ""
    again = f"{job} failed, was run again, and failed again"
    text = f"{again}; {passes}, so it was rejected" if passes else again
    rejected = _item(view).state is ItemState.REJECTED
    return text, len(failed) > 1 and bool(without) and rejected


def _without(view: ChangeView, others: Sequence[ChangeView]) -> Iterator[AttemptView]:
    """Builds on states that do not hold the change: those of the bare branch, and of what landed
    while it was in the gate or after."""
    for other in others:
        for state in _states(other):
            landed = other.id != view.id and state.commit == other.landed_commit
            if landed or state.role is Role.BASE:
                yield from state.builds


def _passed_since(build: AttemptView, job: str, first: float) -> bool:
    ran = build.reused_from is None and build.verdict is Verdict.SUCCESS
    return ran and build.job == job and (build.finished_at or 0.0) > first


def _good(view: ChangeView, broken: ChangeView, others: Sequence[ChangeView]) -> tuple[str, bool]:
    """It waited for no verdict if it landed before it, or what proved it had begun before it."""
    landed, rejected = _item(view).finished_at, _item(broken).finished_at
    if _item(view).state is not ItemState.LANDED or landed is None or rejected is None:
        return "it did not land", False
    if landed < rejected:
        return f"landed {rejected - landed:.0f} s before #{broken.id} was rejected", True
    after = f"it landed {landed - rejected:.0f} s after"
    own, borrowed = _proving(view, others)
    if not own and all(run.queued_at < rejected for run in borrowed):
        text = f"needed no run of its own, since what it depends on had passed; {after}"
        return f"{text} #{broken.id} was rejected", True
    ahead = rejected - min((run.queued_at for run in own), default=landed)
    if ahead <= 0:
        return f"what proved it began only after #{broken.id} was rejected", False
    text = f"what proved it began {ahead:.0f} s before #{broken.id} was rejected"
    return f"{text}, and went on; {after}", True


def _proving(
    view: ChangeView, others: Sequence[ChangeView]
) -> tuple[list[AttemptView], list[AttemptView]]:
    """The runs in this act whose passes the landing rests on, on whatever state they were made:
    the change's own, and those of others. A pass that is older than the act is of no run here."""
    ran = {
        build.id: (build, other.id == view.id)
        for other in others
        for state in _states(other)
        for build in state.builds
    }
    found = [
        ran[build.reused_from or build.id]
        for state in _states(view)
        if state.commit == view.landed_commit
        for build in state.builds
        if build.verdict is Verdict.SUCCESS and (build.reused_from or build.id) in ran
    ]
    return [run for run, own in found if own], [run for run, own in found if not own]


def _item(view: ChangeView) -> ItemView:
    """Its last place in the gate."""
    return next(each.item for each in view.items if each.item.pipeline is Pipeline.GATE)


def _states(view: ChangeView) -> Iterator[BuildsetView]:
    for history in view.items:
        if history.item.pipeline is Pipeline.GATE:
            yield from history.buildsets
