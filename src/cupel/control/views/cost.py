"""What was spent on a change, and what was not because a pass was known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cupel.control.views import lookup
from cupel.control.views.nouns.change import CostView
from cupel.core.model import Build, Buildset, BuildsetState, BuildState, Pipeline, Verdict
from cupel.store.interface import Transaction

_LOST = frozenset({Verdict.CANCELLED, Verdict.INFRA})


async def costs(
    tx: Transaction, builds: Sequence[Build], states: Iterable[Buildset], now: float
) -> list[CostView]:
    """By pipeline, those of builds on these states; pipelines without builds are left out."""
    taken = await lookup.by_id(tx, Build, (build.reused_from for build in builds))
    by_id = {state.id: state for state in states}
    return [
        _cost(pipeline, own, by_id, taken, now)
        for pipeline in Pipeline
        if (own := [build for build in builds if build.pipeline is pipeline])
    ]


def _cost(
    pipeline: Pipeline,
    builds: Sequence[Build],
    states: Mapping[int, Buildset],
    taken: Mapping[int, Build],
    now: float,
) -> CostView:
    ran = [build for build in builds if build.reused_from is None and build.offer is None]
    spent = {build.id: machine_seconds(build, now) for build in ran}
    lost = {build.id for build in ran if _is_wasted(build, states)}
    again = {build.id for build in ran if build.attempt > 1} - lost
    reused = [build for build in builds if build.reused_from is not None]
    sources = (taken.get(build.reused_from or 0) for build in reused)
    return CostView(
        pipeline=pipeline,
        builds=sum(build.started_at is not None for build in ran),
        seconds=sum(spent.values()),
        wasted=sum(spent[number] for number in lost),
        repeated=sum(spent[number] for number in again),
        reused=len(reused),
        saved=sum(machine_seconds(build, now) for build in sources if build is not None),
        cpu=sum(build.usage.cpu_seconds or 0.0 for build in ran),
    )


def machine_seconds(build: Build, now: float) -> float:
    """For how long a build has had its machines, each of them counted."""
    return (lookup.build_seconds(build, now) or 0.0) * len(build.labels)


def _is_wasted(build: Build, states: Mapping[int, Buildset]) -> bool:
    """Whether nobody has learnt anything from it that still counts."""
    state = states.get(build.buildset_id)
    given_up = state is not None and state.state is BuildsetState.SUPERSEDED
    return build.verdict in _LOST or (given_up and build.state is BuildState.FINISHED)
