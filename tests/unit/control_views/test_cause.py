"""What is shown first of a build that did not pass: whose fault it is, then the error."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from cupel.control import views
from cupel.control.views.cause import failed_step, to_tell
from cupel.core.blame import Blame
from cupel.core.flake import Flake, FlakeProof
from cupel.core.model import (
    Build,
    Buildset,
    BuildsetState,
    Conviction,
    Role,
    Row,
    StepResult,
    Verdict,
)
from cupel.core.offer import Offer
from cupel.core.results import FailedTest, Outcome, Result, Results, Tally
from cupel.report import cause as words
from unit.control_views import world

LOG = b"checking\na.py:3:1: F821 undefined name `b`\nFound 1 error.\n"
EVICTS = Result(
    suite="tests/test_cache.py",
    name="test_evicts",
    outcome=Outcome.FAILED,
    message="assert [1, 3] == [2, 3] + where [1, 3] = list(cache)",
    text="all of it",
    file="tests/test_cache.py",
    line=12,
)
FLAKY = replace(EVICTS, name="test_time", outcome=Outcome.PASSED, flaky=True)


def step(status: int | None) -> StepResult:
    return StepResult(name="s", started_at=1.0, finished_at=2.0, exit_status=status)


FAILED = replace(
    world.finished(world.build(191, 119, 19, world.LINT), Verdict.FAILURE),
    steps=(step(0), step(1)),
    reason="step 'ruff' exited with status 1",
)


def failing(number: int, result: Result) -> FailedTest:
    return FailedTest(
        id=number,
        build_id=191,
        project_id=1,
        job="lint",
        key=None,
        test=result.digest,
        result=result,
        at=9_070.0,
    )


RESULTS: list[Row] = [
    Results(
        id=191, project_id=1, job="lint", key=None, tally=Tally(failed=3), notices=(), at=9_070.0
    ),
    failing(1, EVICTS),
    failing(2, FLAKY),
]


def of_build(directory: Path, number: int, *more: Row) -> views.CauseView | None:
    async def run() -> views.BuildView:
        made = await world.make(directory)
        await made.put(*more)
        writer = made.logs.writer(191)
        writer.append(0, "out", 1.0, b"error: in a step that passed\n")
        writer.append(1, "out", 1.0, LOG)
        writer.close()
        async with made.store.read() as tx:
            return await views.build_view(tx, number, now=world.NOW, logs=made.logs)

    return asyncio.run(run()).cause


def of_change(directory: Path, number: int, *more: Row) -> list[views.CauseView]:
    async def run() -> views.ChangeView:
        made = await world.make(directory)
        await made.put(*more)
        async with made.store.read() as tx:
            return await views.change_view(tx, number, now=world.NOW, logs=made.logs)

    return asyncio.run(run()).causes


def test_without_results_of_tests_the_error_is_in_the_log(tmp_path: Path) -> None:
    found = of_build(tmp_path, 191, FAILED)
    assert found is not None
    assert [(line.number, line.text) for line in found.lines] == [
        (3, "a.py:3:1: F821 undefined name `b`")
    ]
    assert words.error(found.tests, found.failing, found.lines) == [
        "3 | a.py:3:1: F821 undefined name `b`"
    ]


def test_failing_tests_come_instead_of_the_log(tmp_path: Path) -> None:
    found = of_build(tmp_path, 191, FAILED, *RESULTS)
    assert found is not None
    assert found.lines == []
    assert words.error(found.tests, found.failing, found.lines) == [
        "tests/test_cache.py::test_evicts",
        "  assert [1, 3] == [2, 3]",
        "  tests/test_cache.py:12",
        "and 2 more tests that failed",
    ]
    assert words.brief(found.tests, found.failing, found.lines) == (
        "tests/test_cache.py::test_evicts: assert [1, 3] == [2, 3] at tests/test_cache.py:12"
        " (and 2 more tests that failed)"
    )


def test_a_build_that_took_too_long_shows_its_log_as_well(tmp_path: Path) -> None:
    found = of_build(tmp_path, 191, replace(FAILED, verdict=Verdict.TIMEOUT), *RESULTS)
    assert found is not None
    assert found.tests
    assert found.lines


def flake(result: Result) -> Flake:
    return Flake(
        id=1,
        project_id=1,
        job="lint",
        test=result.digest,
        name=result.id,
        first_seen=1.0,
        last_seen=2.0,
        count=1,
        proofs=(FlakeProof(failed=4, passed=9, at=2.0),),
        weight=1.0,
        runs=9.0,
        at=2.0,
    )


def test_a_build_of_which_every_failed_test_is_known_to_be_flaky_is_likely_a_flake(
    tmp_path: Path,
) -> None:
    one = replace(RESULTS[0], tally=Tally(failed=1))  # type: ignore[type-var]
    found = of_build(tmp_path / "all", 191, FAILED, one, failing(1, EVICTS), flake(EVICTS))
    assert found is not None
    assert (found.blame.blame, found.blame.text) == (
        Blame.FLAKE,
        "probably a flake, not the change's fault",
    )
    assert found.blame.proofs[0].builds == [4, 9]
    assert words.error(found.tests, found.failing, found.lines)[-1] == "  known to be flaky"
    some = of_build(tmp_path / "some", 191, FAILED, *RESULTS, flake(EVICTS))
    assert some is not None
    assert some.blame.blame is Blame.UNDECIDED


def test_a_build_that_passed_or_runs_is_nobodys_fault(tmp_path: Path) -> None:
    assert of_build(tmp_path / "passed", 211) is None
    assert of_build(tmp_path / "running", 223) is None


def test_whose_fault_it_is_comes_with_its_proof(tmp_path: Path) -> None:
    conviction = Conviction(job="lint", failures=(190, 191), witness=195)
    rejected = next(row for row in world.rows() if isinstance(row, world.Item) and row.id == 19)
    found = of_build(tmp_path, 191, FAILED, replace(rejected, conviction=conviction))
    assert found is not None
    assert found.blame.blame is Blame.CHANGE
    assert [(proof.text, proof.builds) for proof in found.blame.proofs] == [
        ("failed on the same inputs as well: build 190", [190]),
        ("passed without the change: build 195", [195]),
    ]


def test_a_rejected_change_begins_with_what_it_was_rejected_for(tmp_path: Path) -> None:
    (found,) = of_change(tmp_path, 19)
    assert (found.build, found.job) == (191, "lint")
    assert of_change(tmp_path / "landed", 20) == []
    amended = (world.change(19, patch_set=2), world.patch_set(2, 19))
    assert of_change(tmp_path / "amended", 19, *amended) == []


def test_what_the_infrastructure_lost_is_told_where_nothing_else_is_wrong(tmp_path: Path) -> None:
    (found,) = of_change(tmp_path, 22)
    assert (found.build, found.blame.blame) == (222, Blame.INFRASTRUCTURE)
    assert found.blame.proofs[0].text == "the host was lost after 60 s"


def state(number: int, role: Role = Role.PROOF) -> Buildset:
    return world.buildset(number, 19, None, role=role, state=BuildsetState.READY)


def test_the_last_failure_of_each_job_on_the_newest_state_is_worth_telling() -> None:
    def build(number: int, at: int, verdict: Verdict, job: str = "lint") -> world.Build:
        row = world.build(number, at, 19, replace(world.LINT, name=job))
        return world.finished(row, verdict)

    builds = [
        build(1, 10, Verdict.FAILURE),
        build(2, 20, Verdict.INFRA),
        build(3, 20, Verdict.FAILURE),
        build(4, 20, Verdict.FAILURE),
        build(5, 20, Verdict.FAILURE, "flaky"),
        build(6, 20, Verdict.SUCCESS, "flaky"),
        build(7, 30, Verdict.FAILURE),
        build(8, 40, Verdict.SUCCESS),
    ]
    states = [state(10), state(20), state(30, Role.BASE), state(40)]
    assert [each.id for each in to_tell(builds, states)] == [4]
    assert to_tell([], states) == []


def test_the_failed_step_is_the_last_that_did_not_end_well() -> None:
    assert failed_step(replace(FAILED, steps=(step(0), step(None)))) == 1
    assert failed_step(replace(FAILED, steps=(step(0),))) == 0
    assert failed_step(replace(FAILED, steps=())) is None


def test_a_pass_that_somebody_offered_is_no_proof_against_what_was_seen_here(
    tmp_path: Path,
) -> None:
    bad = next(row for row in world.rows() if isinstance(row, Build) and row.id == 191)
    failed = replace(bad, key="k")
    passed = replace(
        failed, id=300, item_id=30, buildset_id=300, verdict=Verdict.SUCCESS, machine_id=None
    )
    seen = of_build(tmp_path / "seen", 191, failed, passed)
    assert seen is not None
    assert [300] in [proof.builds[-1:] for proof in seen.blame.proofs]
    offered = replace(passed, offer=Offer(by="ada", host="laptop"))
    told = of_build(tmp_path / "offered", 191, failed, offered)
    assert told is not None
    assert 300 not in [number for proof in told.blame.proofs for number in proof.builds]
