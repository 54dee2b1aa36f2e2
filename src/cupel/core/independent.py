"""The pipelines whose items do not wait for one another: check, post and the audits of periodic."""

from __future__ import annotations

from dataclasses import replace

from cupel.core import admission, buildset, evidence, item
from cupel.core.buildset import Standing
from cupel.core.draft import Draft
from cupel.core.model import (
    Build,
    Buildset,
    Change,
    ChangeState,
    Item,
    Pipeline,
    Policy,
    Project,
    Purpose,
    Reason,
    Verdict,
)


def plan(draft: Draft) -> None:
    for pipeline in (Pipeline.CHECK, Pipeline.POST):
        for entry in draft.live_items(pipeline):
            _plan_item(draft, entry)
    for entry in draft.live_items(Pipeline.PERIODIC):
        _plan_audit(draft, entry)


def _plan_item(draft: Draft, entry: Item) -> None:
    unfit = _why_unfit(draft, entry) if entry.pipeline is Pipeline.CHECK else None
    if unfit is not None:
        item.leave(draft, entry, "remove", unfit)
        return
    if entry.buildset_id is None:
        entry = item.prove_on(draft, entry, _onto(draft, entry))
    policy = draft.get(Project, entry.project_id).policy
    present = draft.get(Buildset, entry.buildset_id)
    buildset.advance(draft, entry, present, policy)
    _judge(draft, entry, present, policy)


def _onto(draft: Draft, entry: Item) -> str | None:
    """A change is checked on the branch head as it is when it comes; a landed commit as it is."""
    if entry.pipeline is Pipeline.POST:
        return None
    return draft.branch(entry.project_id, entry.branch).head


def _why_unfit(draft: Draft, entry: Item) -> Reason | None:
    change = draft.get(Change, entry.change_id)
    if change.state is ChangeState.ABANDONED:
        return Reason.ABANDONED
    if entry.patch_set != change.patch_set:
        return Reason.NEW_PATCH_SET
    policy = draft.get(Project, entry.project_id).policy
    if policy.keep_check:
        return None
    if change.state is ChangeState.LANDED or draft.gate_item(change.id) is not None:
        return Reason.ENTERED_GATE
    return None


def _judge(draft: Draft, entry: Item, present: Buildset, policy: Policy) -> None:
    outcome = buildset.evaluate(present, draft.builds(present.id), policy)
    if not outcome.complete:
        return
    match outcome.standing:
        case Standing.FAILING:
            item.leave(draft, entry, "reject", outcome.reason, outcome.detail)
        case Standing.SUCCESS:
            item.leave(draft, entry, "pass")
            _ask_to_land(draft, entry, policy)
        case Standing.PENDING:
            pass


def _ask_to_land(draft: Draft, entry: Item, policy: Policy) -> None:
    """Where nobody need approve, a passed check is the request to land."""
    if entry.pipeline is not Pipeline.CHECK or policy.approvals > 0:
        return
    change = draft.get(Change, entry.change_id)
    if admission.is_approved(draft, change):
        draft.put(replace(change, wants_land=True, land_asked_at=draft.now))


def _plan_audit(draft: Draft, entry: Item) -> None:
    """Run all the jobs of an audit; one that fails is run twice before it refutes anything."""
    present = draft.get(Buildset, entry.buildset_id)
    policy = draft.get(Project, entry.project_id).policy
    _run_failed_again(draft, entry, present)
    buildset.advance(draft, entry, present, policy)
    builds = draft.builds(present.id)
    for build in builds:
        if build.purpose is Purpose.FIRST:
            draft.put(replace(build, purpose=Purpose.AUDIT))
    outcome = buildset.evaluate(present, builds, policy)
    if outcome.complete:
        _judge_audit(draft, entry, list(buildset.latest(builds).values()), outcome)


def _run_failed_again(draft: Draft, entry: Item, present: Buildset) -> None:
    for job in present.jobs:
        tried = [build for build in draft.builds(present.id) if build.job == job.name]
        failed = [build for build in tried if build.verdict in evidence.FAILED]
        if len(failed) == 1 and failed[0] == tried[-1]:
            evidence.run_again(draft, entry, present, job)


def _judge_audit(draft: Draft, entry: Item, builds: list[Build], outcome: buildset.Outcome) -> None:
    """Only a failure refutes: a job that was too slow, or had no machine, has said nothing."""
    failed = [build for build in builds if build.verdict is Verdict.FAILURE]
    if failed:
        found = [evidence.explain(draft, each, evidence.refute(draft, each)) for each in failed]
        item.leave(draft, entry, "reject", Reason.BUILD_FAILED, "; ".join(found))
    elif outcome.reason is not None:
        item.leave(draft, entry, "reject", outcome.reason, outcome.detail)
    else:
        item.leave(draft, entry, "pass")
