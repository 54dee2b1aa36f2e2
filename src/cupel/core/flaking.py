"""What builds of one key teach about their tests: a test that failed in one and not in the other is
flaky, and the two builds are the proof.

A failure is refuted at most once. A build that a person was in proves nothing, and neither does one
whose list of failed tests is not complete. Where very many tests fail and then pass it is what is
around them that is flaky: that is left to what is known of the job (`history`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cupel.core import flake
from cupel.core.draft import Draft
from cupel.core.flake import Flake, FlakeProof
from cupel.core.model import Build, Verdict
from cupel.core.results import FailedTest, Results

MOST_AT_ONCE = 20
"""Tests that a pass may show to be flaky: where there are more, it is none of theirs."""


def learn(draft: Draft, build: Build) -> None:
    """Take what the tests of a build say together with those of builds that asked the same.

    Its results, and all that is known of such builds, are in the draft.
    """
    mine = draft.find(Results, build.id)
    if mine is None:
        return
    for known in draft.all(Flake):
        if (known.project_id, known.job) == (build.project_id, build.job):
            aged = flake.faded(known, draft.now)
            draft.put(replace(aged, runs=aged.runs + 1.0))
    if build.visited_by is not None:
        return
    refuted = list(_refuted(draft, build, mine))
    if len({test.test for test, _ in refuted}) > MOST_AT_ONCE:
        return
    for test, passed in refuted:
        _flaked(draft, test, passed)


def _refuted(draft: Draft, build: Build, mine: Results) -> Iterator[tuple[FailedTest, int]]:
    """Failures of tests, each with the build that shows that it need not have been."""
    failed = _failed(draft, mine)
    for test in _listed(draft, mine):
        if test.result.flaky:
            yield test, build.id
    for other in _asked_the_same(draft, build):
        theirs = draft.find(Results, other.id)
        if theirs is None or other.visited_by is not None or not _compare(build, other):
            continue
        for test in failed.values():
            if _passed(draft, other, theirs, test.test, mine):
                yield test, other.id
        for test in _failed(draft, theirs).values():
            if _passed(draft, build, mine, test.test, theirs):
                yield test, build.id


def _asked_the_same(draft: Draft, build: Build) -> list[Build]:
    return [
        other
        for other in draft.all(Build)
        if other.id != build.id
        and other.project_id == build.project_id
        and other.job == build.job
        and (
            other.buildset_id == build.buildset_id
            or (build.key is not None and other.key == build.key)
        )
    ]


def _compare(one: Build, other: Build) -> bool:
    """Whether both ran the same tests: one that runs failed tests alone ran those of one build."""
    return all(this.alone in (None, that.id) for this, that in ((one, other), (other, one)))


def _listed(draft: Draft, of: Results) -> list[FailedTest]:
    return [test for test in draft.all(FailedTest) if test.build_id == of.id]


def _failed(draft: Draft, of: Results) -> dict[str, FailedTest]:
    return {test.test: test for test in _listed(draft, of) if test.result.is_failed}


def _passed(draft: Draft, build: Build, of: Results, test: str, other: Results) -> bool:
    """Whether the test ran in the build and did not fail, as far as one can tell.

    Passed tests are not listed. One that did not fail may not have been run: that is excluded where
    the build has passed, or has run as many tests as the other.
    """
    failed = _failed(draft, of)
    if test in failed or of.notices or len(failed) != of.tally.bad or not of.tally.total:
        return False
    return build.verdict is Verdict.SUCCESS or of.tally.total == other.tally.total


def _flaked(draft: Draft, test: FailedTest, passed: int) -> None:
    known = next(
        (
            each
            for each in draft.all(Flake)
            if (each.project_id, each.job, each.test) == (test.project_id, test.job, test.test)
        ),
        None,
    )
    if known is not None and any(proof.failed == test.build_id for proof in known.proofs):
        return
    now = draft.now
    proof = FlakeProof(failed=test.build_id, passed=passed, at=now)
    if known is None:
        known = Flake(
            id=draft.new_id(),
            project_id=test.project_id,
            job=test.job,
            test=test.test,
            name=test.result.id,
            first_seen=test.at,
            last_seen=now,
            count=0,
            proofs=(),
            weight=0.0,
            runs=2.0,  # the two builds of the proof
            at=now,
        )
    known = flake.faded(known, now)
    draft.put(
        replace(
            known,
            last_seen=now,
            count=known.count + 1,
            proofs=(*known.proofs, proof)[-flake.MOST_PROOFS :],
            weight=known.weight + 1.0,
        )
    )
    where = "was run again there" if passed == test.build_id else f"passed in build {passed}"
    draft.tell(
        "test.flaked",
        f"{known.name} of {known.job} failed in build {test.build_id} and {where}",
        project_id=test.project_id,
        build_id=passed,
    )
