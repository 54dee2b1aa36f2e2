"""What the builds of a buildset amount to, and which to start, retry, skip or stop."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import replace

from cupel.core import alone, attempts, evidence, lifecycle
from cupel.core import host as hosts
from cupel.core.draft import Draft
from cupel.core.model import (
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Item,
    Job,
    Policy,
    Purpose,
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
    """How a buildset stands, from its state and the last attempts at its jobs that count."""
    builds = attempts.counting(buildset, builds)
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
            return _failing(Reason.BUILD_FAILED, tell(build), complete=complete)
    for build in decided:
        if build.verdict is Verdict.INFRA:
            return _failing(Reason.INFRASTRUCTURE, tell(build), complete=complete)
    for build in decided:
        if build.verdict in (Verdict.SKIPPED, Verdict.CANCELLED):
            return _failing(Reason.BUILD_FAILED, tell(build), complete=complete)
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


def tell(build: Build) -> str:
    """How the build ended, for people."""
    why = f": {build.reason}" if build.reason else ""
    why = f" but for quarantined{why}" if build.but_for else why
    return f"job {build.job} {_ENDED[build.verdict]}{why}" if build.verdict else build.job


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
    """Whether the infrastructure has failed the job as often as it may.

    What its host is to blame for does not count: that host gets no builds for a while instead.
    """
    mine = [b for b in builds if b.job == last.job and b.verdict is Verdict.INFRA]
    lost = sum(not hosts.is_hosts_fault(build) for build in mine)
    restarts = sum(
        build.reason == hosts.RESTARTED or str(build.reason).startswith(hosts.PROTECTED)
        for build in mine
    )
    return lost >= policy.attempts or restarts >= _RESTARTS * policy.attempts


def spent(attempts: list[Build], policy: Policy) -> Reason | None:
    """Why a job of the gate cannot pass any more on this state though nothing speaks against the
    change: it has been lost, or took too long, as often as it may."""
    if not attempts or attempts[-1].state is not BuildState.FINISHED:
        return None
    if any(build.verdict is Verdict.SUCCESS for build in attempts):
        return None
    if attempts[-1].verdict is Verdict.SKIPPED:
        return Reason.BUILD_FAILED
    if sum(build.verdict is Verdict.TIMEOUT for build in attempts) >= policy.attempts:
        return Reason.TIMED_OUT
    return Reason.INFRASTRUCTURE if _is_spent(attempts[-1], attempts, policy) else None


def is_final(attempts: list[Build], policy: Policy, *, voting: bool) -> bool:
    """Whether a job of the gate has not passed on this state and will not be tried again.

    A voting job that failed is tried again until the gate is sure of whose fault that is.
    """
    if not attempts or attempts[-1].state is not BuildState.FINISHED:
        return False
    ended = attempts[-1].verdict
    if not voting and ended in CONVICTING:
        return True
    return spent(attempts, policy) is not None


def advance(draft: Draft, item: Item, buildset: Buildset, policy: Policy) -> None:
    """Queue the builds whose needs are met, retry what the infrastructure failed, skip the rest."""
    if buildset.state is not BuildsetState.READY:
        return
    builds = attempts.counting(buildset, draft.builds(buildset.id))
    for job in buildset.jobs:
        if _advance_job(draft, item, buildset, job, builds, policy):
            builds = attempts.counting(buildset, draft.builds(buildset.id))


def _advance_job(
    draft: Draft, item: Item, buildset: Buildset, job: Job, builds: list[Build], policy: Policy
) -> bool:
    """Whether the job got a new build."""
    build = latest(builds).get(job.name)
    if build is None:
        return _begin(draft, item, buildset, job, _finals(builds, policy))
    if build.state is not BuildState.FINISHED or job.name in _finals(builds, policy):
        return False
    begin(draft, item, buildset, job)
    return True


def _begin(draft: Draft, item: Item, buildset: Buildset, job: Job, final: dict[str, Build]) -> bool:
    """Whether the job could begin, or was skipped."""
    needed = [final.get(name) for name in job.needs]
    for build in needed:
        if build is not None and build.verdict is not Verdict.SUCCESS:
            skip(draft, item, buildset, job, f"needs {build.job}, which ended as {build.verdict}")
            return True
    if None in needed:
        return False
    begin(draft, item, buildset, job)
    return True


def begin(draft: Draft, item: Item, buildset: Buildset, job: Job) -> Build:
    """The next attempt at a job; none is run where a pass is known that is good for it."""
    tried = draft.builds_of(buildset.id, job.name)
    purpose = _purpose(buildset, job, tried)
    if purpose is Purpose.FIRST:
        found = evidence.reusable(draft, buildset, job)
        if found is not None:
            return evidence.reuse(draft, item, buildset, job, found)
    again = purpose is Purpose.RERUN
    first = alone.first(draft, item, buildset, job, tried) if again else None
    build = _new_build(
        draft, item, buildset, job, attempt=1 + len(tried), purpose=purpose, first=first
    )
    if purpose is not Purpose.FIRST:
        asked = "as asked, " if purpose is Purpose.ASKED else ""
        text = f"{job.name}: attempt {build.attempt}, {asked}after: {tell(tried[-1])}"
        draft.tell("build.retried", text, **_about(item, build))
    return build


def _purpose(buildset: Buildset, job: Job, tried: list[Build]) -> Purpose:
    """What the next attempt is for. Those that were cancelled do not count."""
    counted = attempts.counting(buildset, tried)
    ended = [build for build in counted if build.verdict is not Verdict.CANCELLED]
    if not ended:
        return Purpose.ASKED if attempts.was_asked(buildset, job.name) else Purpose.FIRST
    return Purpose.RERUN if ended[-1].verdict is Verdict.FAILURE else Purpose.RETRY


def advance_wanted(
    draft: Draft, item: Item, buildset: Buildset, job: Job, policy: Policy, *, wanted: bool
) -> Build | None:
    """Bring one job of the gate to where the planner wants it: under way, or not.

    A pass that is known is taken even if nobody asked for it. The build under way is returned.
    """
    tried = draft.builds_of(buildset.id, job.name)
    if any(build.verdict is Verdict.SUCCESS for build in tried):
        return None
    last = tried[-1] if tried else None
    if last is not None and last.state is not BuildState.FINISHED:
        if not wanted:
            stop_build(draft, last, "nothing waits for its result any more", started_too=True)
        return last
    if _purpose(buildset, job, tried) is Purpose.FIRST:
        found = evidence.reusable(draft, buildset, job)
        if found is not None:
            evidence.reuse(draft, item, buildset, job, found)
            return None
    counted = attempts.counting(buildset, tried)
    if not wanted or is_final(counted, policy, voting=job.voting):
        return None
    for name in job.needs:
        needed = next(each for each in buildset.jobs if each.name == name)
        before = attempts.counting(buildset, draft.builds_of(buildset.id, name))
        if before and is_final(before, policy, voting=needed.voting):
            why = f"needs {name}, which ended as {before[-1].verdict}"
            skip(draft, item, buildset, job, why)
            return None
    passed = {b.job for b in draft.builds(buildset.id) if b.verdict is Verdict.SUCCESS}
    return begin(draft, item, buildset, job) if passed.issuperset(job.needs) else None


def skip(draft: Draft, item: Item, buildset: Buildset, job: Job, why: str) -> None:
    """The job is not run, and says why."""
    attempt = 1 + len(draft.builds_of(buildset.id, job.name))
    build = _new_build(draft, item, buildset, job, attempt=attempt)
    finish(draft, build, Verdict.SKIPPED, why)


def _new_build(
    draft: Draft,
    item: Item,
    buildset: Buildset,
    job: Job,
    *,
    attempt: int,
    purpose: Purpose = Purpose.FIRST,
    first: int | None = None,
) -> Build:
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
        purpose=purpose,
        key=evidence.awaited(draft, buildset, job),
        parts=job.parts,
        image=attempts.image(buildset, job.name),
        alone=first,
    )
    draft.tell("build.queued", job.name, **_about(item, build))
    return draft.put(build)


def stop(draft: Draft, buildset: Buildset, why: str, *, started_too: bool = True) -> None:
    """End what has not finished: queued builds at once, started ones by their host.

    With `started_too` False, builds that already have a machine go on.
    """
    for build in draft.builds(buildset.id):
        stop_build(draft, build, why, started_too=started_too)


def stop_build(draft: Draft, build: Build, why: str, *, started_too: bool) -> None:
    """End one build; one that has a machine only if `started_too`."""
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


def _of(build: Build) -> dict[str, int | str | None]:
    return {
        "project_id": build.project_id,
        "item_id": build.item_id,
        "build_id": build.id,
        "machine_id": build.machine_id,
    }


def _about(item: Item, build: Build) -> dict[str, int | str | None]:
    return {**_of(build), "change_id": item.change_id}
