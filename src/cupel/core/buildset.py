"""What the builds of a buildset amount to, and which to start, retry, skip or stop."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import replace

from cupel.core import lifecycle
from cupel.core.draft import Draft
from cupel.core.model import (
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Item,
    Job,
    Pipeline,
    Policy,
    Reason,
    Usage,
    Verdict,
)


class Standing(enum.Enum):
    PENDING = enum.auto()
    SUCCESS = enum.auto()
    """Every voting job has passed; others may still run."""
    FAILING = enum.auto()
    """Whatever else happens on this state, the item cannot pass on it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a buildset stands; `reason` and `detail` go with FAILING, `complete`: nothing runs on."""

    standing: Standing
    reason: Reason | None = None
    detail: str | None = None
    complete: bool = True


CONVICTING = frozenset({Verdict.FAILURE, Verdict.TIMEOUT})


def latest(builds: list[Build]) -> dict[str, Build]:
    """The last attempt at each job."""
    return {build.job: build for build in builds}


def evaluate(buildset: Buildset, builds: list[Build], policy: Policy) -> Outcome:
    """How a buildset stands, from its state and the last attempts at its jobs."""
    match buildset.state:
        case BuildsetState.CONFLICT:
            return _failing(Reason.CONFLICT, buildset.detail)
        case BuildsetState.MISCONFIGURED:
            return _failing(Reason.MISCONFIGURED, buildset.detail)
        case BuildsetState.PREPARING | BuildsetState.SUPERSEDED:
            return Outcome(standing=Standing.PENDING, complete=False)
        case BuildsetState.READY:
            return _evaluate_ready(buildset, builds, policy)


def _failing(reason: Reason, detail: str | None, *, complete: bool = True) -> Outcome:
    return Outcome(standing=Standing.FAILING, reason=reason, detail=detail, complete=complete)


def _evaluate_ready(buildset: Buildset, builds: list[Build], policy: Policy) -> Outcome:
    final = _finals(builds, policy)
    complete = all(job.name in final for job in buildset.jobs)
    voting = [job for job in buildset.jobs if job.voting]
    decided = [final[job.name] for job in voting if job.name in final]
    for build in decided:
        if build.verdict in CONVICTING:
            return _failing(Reason.BUILD_FAILED, _tell(build), complete=complete)
    for build in decided:
        if build.verdict is Verdict.INFRA:
            return _failing(Reason.INFRASTRUCTURE, _tell(build), complete=complete)
    for build in decided:
        if build.verdict in (Verdict.SKIPPED, Verdict.CANCELLED):
            return _failing(Reason.BUILD_FAILED, _tell(build), complete=complete)
    passed = len(decided) == len(voting)
    standing = Standing.SUCCESS if passed else Standing.PENDING
    return Outcome(standing=standing, complete=complete)


_ENDED = {
    Verdict.SUCCESS: "passed",
    Verdict.FAILURE: "failed",
    Verdict.TIMEOUT: "took too long",
    Verdict.INFRA: "was failed by the infrastructure",
    Verdict.CANCELLED: "was cancelled",
    Verdict.SKIPPED: "was skipped",
}


def _tell(build: Build) -> str:
    why = f": {build.reason}" if build.reason else ""
    return f"job {build.job} {_ENDED[build.verdict]}{why}" if build.verdict else build.job


RESTARTED = "its host started anew"
"""The reason of a build that was lost with a restart: no mark against the build."""

_RESTARTS = 10
"""So many times the policy's attempts are made if all are lost with restarts: the build may well
be what brings its host down."""


def _finals(builds: list[Build], policy: Policy) -> dict[str, Build]:
    """By job, the last attempt, if no other will follow."""
    return {
        name: build
        for name, build in latest(builds).items()
        if build.state is BuildState.FINISHED
        and (build.verdict is not Verdict.INFRA or _is_spent(build, builds, policy))
    }


def _is_spent(last: Build, builds: list[Build], policy: Policy) -> bool:
    """Whether the infrastructure has failed the job as often as it may."""
    lost = sum(
        build.job == last.job and build.verdict is Verdict.INFRA and build.reason != RESTARTED
        for build in builds
    )
    return lost >= policy.attempts or last.attempt >= _RESTARTS * policy.attempts


def advance(draft: Draft, item: Item, buildset: Buildset, policy: Policy) -> None:
    """Queue the builds whose needs are met, retry what the infrastructure failed, skip the rest."""
    if buildset.state is not BuildsetState.READY:
        return
    builds = draft.builds(buildset.id)
    for job in buildset.jobs:
        if _advance_job(draft, item, buildset, job, builds, policy):
            builds = draft.builds(buildset.id)


def _advance_job(
    draft: Draft, item: Item, buildset: Buildset, job: Job, builds: list[Build], policy: Policy
) -> bool:
    """Whether the job got a new build."""
    build = latest(builds).get(job.name)
    if build is None:
        return _begin(draft, item, buildset, job, _finals(builds, policy))
    if build.state is not BuildState.FINISHED or job.name in _finals(builds, policy):
        return False
    retry = _new_build(draft, item, buildset, job, attempt=build.attempt + 1)
    draft.tell(
        "build.retried",
        f"{job.name}: attempt {retry.attempt}, after: {build.reason}",
        **_about(item, retry),
    )
    return True


def _begin(draft: Draft, item: Item, buildset: Buildset, job: Job, final: dict[str, Build]) -> bool:
    """Whether the job could begin, or was skipped."""
    needed = [final.get(name) for name in job.needs]
    for build in needed:
        if build is not None and build.verdict is not Verdict.SUCCESS:
            _skip(draft, item, buildset, job, f"needs {build.job}, which ended as {build.verdict}")
            return True
    if None in needed:
        return False
    _new_build(draft, item, buildset, job, attempt=1)
    return True


def _skip(draft: Draft, item: Item, buildset: Buildset, job: Job, why: str) -> None:
    build = _new_build(draft, item, buildset, job, attempt=1)
    finish(draft, build, Verdict.SKIPPED, why)


def _new_build(draft: Draft, item: Item, buildset: Buildset, job: Job, *, attempt: int) -> Build:
    build = Build(
        id=draft.new_id(),
        buildset_id=buildset.id,
        item_id=item.id,
        project_id=item.project_id,
        pipeline=item.pipeline,
        job=job.name,
        label=job.label,
        attempt=attempt,
        voting=job.voting,
        state=BuildState.QUEUED,
        verdict=None,
        reason=None,
        machine_id=None,
        steps=(),
        usage=Usage(),
        queued_at=draft.now,
    )
    draft.tell("build.queued", job.name, **_about(item, build))
    return draft.put(build)


def stop(draft: Draft, buildset: Buildset, why: str, *, started_too: bool = True) -> None:
    """End what has not finished: queued builds at once, started ones by their host.

    With `started_too` False, builds that already have a machine go on.
    """
    for build in draft.builds(buildset.id):
        match build.state:
            case BuildState.QUEUED:
                finish(draft, build, Verdict.CANCELLED, why)
            case BuildState.STARTING | BuildState.RUNNING if started_too:
                state = lifecycle.step(lifecycle.BUILD, build.state, "cancel")
                draft.put(replace(build, state=state, reason=why))
                draft.tell("build.cancelling", f"{build.job}: {why}", **_of(build))
            case _:
                pass


def finish(draft: Draft, build: Build, verdict: Verdict, reason: str | None) -> Build:
    """The build ends with `verdict`; its machine is somebody else's business."""
    done = replace(
        build,
        state=lifecycle.step(lifecycle.BUILD, build.state, "finish"),
        verdict=verdict,
        reason=reason,
        finished_at=draft.now,
    )
    draft.tell(
        "build.finished", f"{build.job} {verdict}" + (f": {reason}" if reason else ""), **_of(build)
    )
    return draft.put(done)


def fail_fast(draft: Draft, item: Item, buildset: Buildset, why: str) -> None:
    """In the gate, a failing item's other builds are of no use."""
    if item.pipeline is Pipeline.GATE:
        stop(draft, buildset, why)


def _of(build: Build) -> dict[str, int | str | None]:
    return {
        "project_id": build.project_id,
        "item_id": build.item_id,
        "build_id": build.id,
        "machine_id": build.machine_id,
    }


def _about(item: Item, build: Build) -> dict[str, int | str | None]:
    return {**_of(build), "change_id": item.change_id}
