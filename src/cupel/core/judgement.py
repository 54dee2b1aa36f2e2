"""Who lands and who leaves: what the builds of a lane say beyond doubt, carried out."""

from __future__ import annotations

from dataclasses import replace

from cupel.core import buildset, item, lifecycle
from cupel.core.draft import Draft
from cupel.core.lane import Lane, place_of
from cupel.core.model import (
    Build,
    Buildset,
    BuildsetState,
    Conviction,
    Item,
    Queue,
    Reason,
    Role,
    Verdict,
)
from cupel.core.speculation import judge
from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.judge import Rules
from cupel.core.speculation.lattice import Entry, State, Trial

GOT_FURTHER = 1.25
"""Times the seconds at which a failure came after which its absence tells something."""


def judge_lane(draft: Draft, lane: Lane, beliefs: Beliefs, rules: Rules) -> bool:
    """Whether something landed or left."""
    refused = list(judge.refused(lane.lattice))
    for entry, trial in refused:
        _refuse(draft, lane, entry, trial)
    if refused:
        return True
    guilty = [
        entry
        for entry in judge.convicted(lane.lattice, beliefs, rules)
        if not unsure_of_branch(draft, lane, entry)
    ]
    for entry in guilty:
        _reject(draft, lane, entry)
    if guilty:
        return True
    if lane.queue.closed is not None:
        return False
    landing = judge.landable(lane.lattice, beliefs, rules)
    if landing is None:
        return False
    _land(draft, landing)
    return True


def _refuse(draft: Draft, lane: Lane, entry: Entry, trial: Trial | None) -> None:
    state = lane.lattice.root.children[entry.id]
    if trial is None:
        found = next(
            proof
            for proof in place_of(state).proofs
            if proof.state in (BuildsetState.CONFLICT, BuildsetState.MISCONFIGURED)
        )
        conflict = found.state is BuildsetState.CONFLICT
        reason = Reason.CONFLICT if conflict else Reason.MISCONFIGURED
        _leave(draft, lane, entry, reason, found.detail, "reject")
        return
    build = _last(draft, state, trial)
    reason = Reason(trial.refused or Reason.INFRASTRUCTURE)
    _leave(draft, lane, entry, reason, buildset.tell(build) if build else None, "reject")


def _last(draft: Draft, state: State, trial: Trial) -> Build | None:
    """The last attempt at the trial's job in this state."""
    name = trial.job.split(":", 1)[1]
    found = [b for proof in place_of(state).proofs for b in draft.builds_of(proof.id, name)]
    return found[-1] if found else None


def unsure_of_branch(draft: Draft, lane: Lane, entry: Entry) -> set[str]:
    """The jobs that the entry has failed of which nobody knows how they fare without it.

    They fare well once one has passed without it since, or got further than where it failed.
    """
    unsure: set[str] = set()
    for trial in lane.lattice.trials.values():
        if trial.members & entry.bit and trial.failed_at and not trial.passed:
            first, where = min(trial.failed_when), max(trial.failed_at)
            others = _without(lane, entry, trial.job)
            # What passes elsewhere may pass because a change there repairs the branch.
            if lane.lattice.base(trial.job).failing or not any(
                _fares_well(draft, other, first, where) for other in others
            ):
                unsure.add(trial.job)
    return unsure


def _without(lane: Lane, entry: Entry, job: str) -> list[Trial]:
    """The trials of a job to which the entry makes no difference, that on the head last."""
    found = [t for t in lane.lattice.trials.values() if t.job == job and not t.members & entry.bit]
    return [*found, lane.lattice.base(job)]


def _fares_well(draft: Draft, trial: Trial, since: float, where: float) -> bool:
    if trial.passed:
        return trial.passed_when >= since
    if trial.failed_at:
        return False
    beyond = [draft.now - run.started_at for run in trial.runs if run.started_at >= since - where]
    return max(beyond, default=0.0) > GOT_FURTHER * where + 1.0


def _reject(draft: Draft, lane: Lane, entry: Entry) -> None:
    failed = _failures(draft, lane, entry)
    if not failed:
        _leave(draft, lane, entry, Reason.BUILD_FAILED, None, "reject")
        return
    last = failed[-1]
    state = draft.find(Buildset, last.buildset_id)
    if state is not None:
        _report_the_rest(draft, state, last)
        # What it is rejected for is what is shown of it.
        present = draft.get(Item, last.item_id)
        draft.put(replace(present, buildset_id=last.buildset_id))
    conviction = _conviction(draft, lane, entry, failed)
    for member in lane.members(entry):
        if member.project_id == last.project_id:
            draft.put(replace(draft.get(Item, member.id), conviction=conviction))
    _leave(draft, lane, entry, Reason.BUILD_FAILED, _convicting(last, conviction), "reject")


def _conviction(draft: Draft, lane: Lane, entry: Entry, failed: list[Build]) -> Conviction:
    last = failed[-1]
    witness = _witness(draft, lane, entry, last)
    return Conviction(
        job=last.job,
        failures=tuple(build.id for build in failed if _job_of(build) == _job_of(last)),
        witness=None if witness is None else witness.id,
        new=lane.is_new(_job_of(last)),
    )


def _convicting(last: Build, conviction: Conviction) -> str:
    """What speaks against the entry, for people."""
    again = len(conviction.failures) > 1
    said = "; it failed again when it was run again, and" if again else ";"
    if conviction.new:
        return f"{buildset.tell(last)}{said} the branch does not have this job"
    return f"{buildset.tell(last)}{said}{'' if again else ' it'} fares well without the change"


def _witness(draft: Draft, lane: Lane, entry: Entry, failed: Build) -> Build | None:
    """The build that shows how the job fares without the entry: the last to pass, or to run on."""
    trials = [trial for trial in _without(lane, entry, _job_of(failed)) if not trial.failed_at]
    asked = {trial.key[1] for trial in trials if isinstance(trial.key, tuple)}
    base = lane.bases.get(failed.project_id)
    asked |= set() if base is None else {base.id}
    found = [
        build
        for build in draft.all(Build)
        if _job_of(build) == _job_of(failed)
        and (build.key in asked or build.buildset_id in asked)
        and build.verdict in (Verdict.SUCCESS, None)
        and build.started_at is not None
    ]
    return max(found, key=lambda b: (b.verdict is not None, b.started_at or 0.0), default=None)


def _job_of(build: Build) -> str:
    """Its job, as trials name it."""
    return f"{build.project_id}:{build.job}"


def _failures(draft: Draft, lane: Lane, entry: Entry) -> list[Build]:
    """Those of jobs that the entry fails, the oldest first; flakes of others are none of them."""
    failing = [
        trial
        for trial in lane.lattice.trials.values()
        if trial.members & entry.bit and trial.failed_at and not trial.passed
    ]
    jobs, trials = {trial.job for trial in failing}, {trial.key for trial in failing}
    members = {member.id for member in lane.members(entry)}
    found = []
    for build in draft.all(Build):
        if build.item_id in members and build.verdict is Verdict.FAILURE:
            state = draft.find(Buildset, build.buildset_id)
            if state is None:  # it was given up, so its failure counts where the same is asked
                counts = (build.job, build.key) in trials
            else:
                counts = state.role is Role.PROOF and _job_of(build) in jobs
            if counts:
                found.append(build)
    return sorted(found, key=lambda build: build.finished_at or 0.0)


def _report_the_rest(draft: Draft, proof: Buildset, failed: Build) -> None:
    """Jobs that never began say why not."""
    entry = draft.get(Item, proof.item_id)
    for job in proof.jobs:
        if not draft.builds_of(proof.id, job.name):
            why = f"job {failed.job} failed"
            if failed.job in job.needs:
                why = f"needs {failed.job}, which failed"
            buildset.skip(draft, entry, proof, job, why)


def _leave(
    draft: Draft, lane: Lane, entry: Entry, reason: Reason, detail: str | None, event: str
) -> None:
    for member in lane.members(entry):
        item.leave(draft, draft.get(Item, member.id), event, reason, detail)
    queue = draft.get(Queue, lane.queue.id)
    if queue.window is not None and event == "reject":
        draft.put(replace(queue, window=max(queue.window_floor, queue.window // 2)))


def _land(draft: Draft, states: list[State]) -> None:
    """Have the branches moved to where the last of these states has them."""
    steps = [step for state in states for step in place_of(state).steps]
    last = steps[-1][0].id
    for member, proof in steps:
        present = draft.get(Item, member.id)
        state = lifecycle.step(lifecycle.ITEM, present.state, "land")
        draft.tell("item.landing", "proved; moving the branch", **item.about(present))
        draft.put(replace(present, state=state, lands_with=last, buildset_id=proof.id, wait=None))
