"""Failed tests that are run again alone: when, and what comes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cupel.core import events, nodes
from cupel.core.actions import RunBuild
from cupel.core.flake import Flake
from cupel.core.model import (
    Build,
    Evidence,
    Job,
    Purpose,
    Role,
    Step,
    StepResult,
    Usage,
    Verdict,
)
from cupel.core.results import Findings, Outcome, Result, Tally
from unit.core import making
from unit.core.making import Core

STEP = Step(name="pytest", run="pytest", failed_tests=1, rerun_failed="pytest $CUPEL_FAILED_PYTEST")
JOB = making.job(steps=(STEP,))


def findings(*failed: str, total: int = 10, **fields: Any) -> Findings:
    bad = tuple(Result(suite="", name=name, outcome=Outcome.FAILED) for name in failed)
    made = Findings(tally=Tally(passed=total - len(bad), failed=len(bad)), failing=bad)
    return replace(made, **fields)


def ended(
    core: Core, run: RunBuild, found: Findings | None, verdict: Verdict, status: int = 1
) -> Build:
    core.now += 10.0
    step = StepResult(name="pytest", started_at=1.0, finished_at=2.0, exit_status=status)
    core.hear(
        events.BuildFinished(
            machine_id=run.machine.id,
            verdict=verdict,
            reason=None if verdict is Verdict.SUCCESS else "step 'pytest' exited with status 1",
            steps=(step,),
            usage=Usage(),
            artefacts=(),
            findings=found,
        )
    )
    return core.draft().get(Build, run.build.id)


def runs(core: Core) -> list[RunBuild]:
    """What is to run of changes, not of the branch without them."""
    for _ in range(3):
        found = [each for each in core.runs() if each.buildset.role is Role.PROOF]
        if found:
            return found
        core.prepare(JOB)
    return []


def failed(*jobs: Job, tests: int = 10, found: Findings | None = None) -> tuple[Core, RunBuild]:
    """A change whose build in the gate has failed the tests `a` and `b`."""
    core = Core()
    core._keep([making.history(id=50, tests=tests)])
    core.push(7, land=True)
    core.prepare(*(jobs or (JOB,)))
    run = next(each for each in runs(core) if each.job.name == "tests")
    ended(core, run, findings("a", "b") if found is None else found, Verdict.FAILURE)
    return core, run


def again(core: Core) -> RunBuild:
    return next(each for each in runs(core) if each.job.name == "tests")


def test_a_failure_is_confirmed_by_its_failed_tests_alone() -> None:
    core, first = failed()
    run = again(core)
    assert (run.build.purpose, run.build.alone) == (Purpose.RERUN, first.build.id)
    assert [test.name for test in run.failed] == ["a", "b"]
    assert run.machine.id != first.machine.id


def test_where_they_pass_the_job_has_passed_and_they_are_flaky_but_that_is_no_evidence() -> None:
    core, first = failed()
    done = ended(core, again(core), findings(total=2), Verdict.SUCCESS, status=0)
    assert done.verdict is Verdict.SUCCESS
    assert f"what build {first.build.id} failed passed alone" in str(done.reason)
    assert sorted(each.name for each in core.draft().all(Flake)) == ["a", "b"]
    assert core.draft().all(Evidence) == []
    core.step()
    assert core.item(7).state.value == "landing"
    core.hear(events.Landed(item_ids=(core.item(7).id,)))
    known = core.draft().history(1, "job tests")
    assert known is not None
    assert known.tests == 10


def test_once_that_has_landed_all_tests_are_run_again() -> None:
    core, _ = failed()
    ended(core, again(core), findings(total=2), Verdict.SUCCESS, status=0)
    core.step()
    core.hear(events.Landed(item_ids=(core.item(7).id,)))
    core.prepare()
    [audit] = [each for each in core.runs() if each.item.pipeline.value == "periodic"]
    assert (audit.job.name, audit.build.alone) == ("tests", None)


@pytest.mark.parametrize(
    ("found", "verdict", "status"),
    [
        (findings("a", total=2), Verdict.FAILURE, 1),
        (None, Verdict.FAILURE, 4),
        (None, Verdict.SUCCESS, 0),
        (findings(total=1), Verdict.SUCCESS, 0),
        (findings(total=2, notices=("odd",)), Verdict.SUCCESS, 0),
        (None, Verdict.TIMEOUT, 1),
    ],
    ids=["one fails", "the runner fails", "no results", "one is missing", "unread", "too slow"],
)
def test_anything_else_says_nothing_and_all_tests_are_run_again(
    found: Findings | None, verdict: Verdict, status: int
) -> None:
    core, _ = failed()
    done = ended(core, again(core), found, verdict, status)
    assert done.verdict is Verdict.CANCELLED
    assert "was run alone, which says nothing" in str(done.reason)
    assert core.draft().all(Flake) == []
    full = again(core)
    assert (full.build.purpose, full.build.alone, full.failed) == (Purpose.RERUN, None, ())


@pytest.mark.parametrize(
    ("jobs", "how"),
    [
        ((replace(JOB, steps=(replace(STEP, rerun_failed=""),)),), {}),
        ((JOB, making.job("package", needs=("tests",))), {}),
        ((), {"found": findings("a", total=9)}),
        ((), {"found": findings("a", notices=("odd",))}),
        ((), {"found": findings(*(f"t{n}" for n in range(60)), total=100)}),
        ((), {"tests": 0}),
    ],
    ids=["not said", "others need it", "stopped early", "unread", "very many", "unknown number"],
)
def test_when_all_tests_are_run_at_once(jobs: tuple[Job, ...], how: dict[str, Any]) -> None:
    core, _ = failed(*jobs, **how)
    assert again(core).build.alone is None


def test_a_check_knows_no_reruns() -> None:
    core = Core()
    core.push(7)
    core.prepare(JOB)
    [run] = runs(core)
    ended(core, run, findings("a"), Verdict.FAILURE)
    core.step()
    assert [each.alone for each in core.builds()] == [None]


def test_runners_are_told_what_they_call_the_tests() -> None:
    tests = [
        Result(suite="tests.test_a.TestB", name="test_c[x y]", outcome=Outcome.FAILED),
        Result(suite="tests.test_d", name="test_e", outcome=Outcome.ERROR),
        Result(suite="example.org/m", name="TestF/one_two", outcome=Outcome.FAILED),
    ]
    told = nodes.variables(tests)
    assert told["CUPEL_FAILED_TESTS"].splitlines()[0] == "tests.test_a.TestB::test_c[x y]"
    assert told["CUPEL_FAILED_PYTEST"].splitlines()[:2] == [
        "tests/test_a.py::TestB::test_c[x y]",
        "tests/test_d.py::test_e",
    ]
    assert told["CUPEL_FAILED_GO"] == "^(test_c.x.y.|test_e|TestF)$"
