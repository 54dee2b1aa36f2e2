"""When a build that fails has passed but for tests that are quarantined.

A build passes so only if nothing but these tests can have failed: the results are complete, each
failed test is quarantined, and the last step of the job ended with the very status by which it says
that tests failed and nothing else (`Step.failed_tests`). So a step that did not get its turn, or a
runner that crashed, blocks as ever. A runner that stops early leaves fewer tests than the job had
when it last landed: then it is not known what the others would have said.

Such a pass is no evidence: it holds for where it was seen and when, not for every build of its key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import replace

from cupel.core import events, history, results
from cupel.core.draft import Draft
from cupel.core.job import Job
from cupel.core.model import Build, Buildset, History, StepResult, Verdict
from cupel.core.quarantine import Quarantine
from cupel.core.results import Result, Results, Tally

BY_A_STEP = "step "
"""How the reason of a build begins that failed by a step, and not by what it printed or left."""

_NAMED = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How a build ends; one that passes `but_for` tests has their names."""

    verdict: Verdict
    reason: str | None
    but_for: tuple[str, ...] = ()


def judged(draft: Draft, build: Build, fact: events.BuildFinished, reason: str | None) -> Judged:
    """How the build ends, of which `reason` is told. It has its steps already."""
    as_it_is = Judged(verdict=fact.verdict, reason=reason)
    if fact.verdict is not Verdict.FAILURE or fact.findings is None:
        return as_it_is
    job = _job(draft, build)
    failed = [result for result in fact.findings.failing if result.is_failed]
    if job is None or not failed or not all(_is_quarantined(draft, job, build, r) for r in failed):
        return as_it_is
    names = tuple(dict.fromkeys(result.id for result in failed))
    found = fact.findings
    why = doubt(draft, job, build, found.tally, found.notices, len(failed), fact.reason)
    if why is not None:
        text = f"{reason}; every test that failed is quarantined, but {why}"
        return Judged(verdict=Verdict.FAILURE, reason=text)
    return Judged(verdict=Verdict.SUCCESS, reason=_some(names), but_for=names)


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _job(draft: Draft, build: Build) -> Job | None:
    state = draft.find(Buildset, build.buildset_id)
    jobs: Iterable[Job] = () if state is None else state.jobs
    return next((job for job in jobs if job.name == build.job), None)


def _is_quarantined(draft: Draft, job: Job, build: Build, result: Result) -> bool:
    return any(
        each.is_in_force(draft.now)
        and each.project_id == build.project_id
        and each.test == result.digest
        and each.job in (None, job.name, job.base)
        for each in draft.all(Quarantine)
    )


def doubt(
    draft: Draft,
    job: Job,
    build: Build,
    tally: Tally,
    notices: tuple[str, ...],
    listed: int,
    reason: str | None,
) -> str | None:
    """Why something else may have failed than the tests that are `listed`, in words."""
    if notices:
        return "not all results could be read"
    if listed != tally.bad:
        return "more tests failed than are listed"
    if not str(reason).startswith(BY_A_STEP):
        return "that is not why it ended"
    return _of_steps(job, build.steps) or _of_count(draft, build, tally)


def _of_steps(job: Job, steps: tuple[StepResult, ...]) -> str | None:
    last = job.steps[-1]
    if last.failed_tests is None:
        return f"step {last.name!r} does not say how it ends when tests fail (`failed-tests`)"
    ended = [step.exit_status for step in steps]
    if len(ended) < len(job.steps):
        return f"step {last.name!r} did not get its turn"
    if ended[-1] != last.failed_tests or any(status != 0 for status in ended[:-1]):
        return f"step {last.name!r} ended with {ended[-1]}, not {last.failed_tests}"
    return None


def _of_count(draft: Draft, build: Build, tally: Tally) -> str | None:
    known = draft.history(build.project_id, history.of_job(build.job))
    if known is None or known.tests == 0:
        return "it is not known how many tests there are until the job has landed with results"
    if tally.total < known.tests:
        return f"only {tally.total} of {known.tests} tests have run"
    return None


def landed(draft: Draft, state: Buildset) -> None:
    """Remember how many tests the jobs have in what has landed."""
    for build in draft.builds(state.id):
        if build.verdict is not Verdict.SUCCESS:
            continue
        of = draft.find(Results, build.reused_from or build.alone or build.id)
        subject = history.of_job(build.job)
        known = draft.history(build.project_id, subject)
        if of is None or (known is not None and known.tests == of.tally.total):
            continue
        if known is None:
            known = History(id=draft.new_id(), project_id=build.project_id, subject=subject)
        draft.put(replace(known, tests=of.tally.total))


# What people decide.


def added(draft: Draft, fact: events.QuarantineAdded) -> None:
    """Quarantine a test; one that is so already has a new owner, reason and end."""
    test = results.digest(fact.name)
    known = next(
        (
            each
            for each in draft.all(Quarantine)
            if each.is_in_force(draft.now)
            and (each.project_id, each.job, each.test) == (fact.project_id, fact.job, test)
        ),
        None,
    )
    draft.put(
        Quarantine(
            id=draft.new_id() if known is None else known.id,
            project_id=fact.project_id,
            job=fact.job,
            test=test,
            name=fact.name,
            owner=fact.owner,
            reason=fact.reason,
            created_by=fact.user,
            created_at=draft.now,
            expires_at=fact.until,
        )
    )
    text = f"{_named(fact.name, fact.job)}, for {fact.owner}: {fact.reason}"
    draft.tell("test.quarantined", text, project_id=fact.project_id, user=fact.user)


def removed(draft: Draft, fact: events.QuarantineRemoved) -> None:
    known = draft.find(Quarantine, fact.quarantine_id)
    if known is None or known.ended_at is not None:
        return
    draft.put(replace(known, ended_at=draft.now, ended_by=fact.user))
    text = _named(known.name, known.job)
    draft.tell("test.released", text, project_id=known.project_id, user=fact.user)


def expire(draft: Draft) -> None:
    """End what has lasted as long as it was to; its owner is told."""
    for each in draft.all(Quarantine):
        if each.ended_at is None and draft.now >= each.expires_at:
            draft.put(replace(each, ended_at=each.expires_at))
            text = f"{_named(each.name, each.job)} blocks again, {each.owner}: {each.reason}"
            draft.tell("quarantine.expired", text, project_id=each.project_id, user=each.owner)


def _named(name: str, job: str | None) -> str:
    return name if job is None else f"{name} of {job}"
