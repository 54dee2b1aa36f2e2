"""When a build passes but for tests that are quarantined, and when it must not."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from cupel.core import events, facts, results
from cupel.core.draft import Draft
from cupel.core.model import (
    Build,
    BuildState,
    Event,
    Evidence,
    Host,
    HostState,
    Machine,
    MachineState,
    Row,
    Step,
    StepResult,
    Usage,
    Verdict,
)
from cupel.core.quarantine import Quarantine
from cupel.core.results import Findings, Outcome, Result, Tally
from unit.core import making
from unit.core.making import Core

NOW = 1_000.0
STEPS = (
    Step(name="install", run="pip install ."),
    Step(name="pytest", run="pytest", failed_tests=1),
)
REASON = "step 'pytest' exited with status 1"
MACHINE = Machine(
    id=50,
    label="debian-12",
    image="sha256:image",
    host_id=1,
    build_id=1,
    state=MachineState.USED,
    detail=None,
    created_at=0.0,
)
HOST = Host(
    id=1, name="h", slots=1, labels=(), state=HostState.CONNECTED, detail=None, last_seen=0.0
)


def quarantined(name: str = "a", **fields: Any) -> Quarantine:
    made = Quarantine(
        id=len(name) + 900,
        project_id=1,
        job=None,
        test=results.digest(name),
        name=name,
        owner="ada",
        reason="it waits for the clock",
        created_by="eve",
        created_at=0.0,
        expires_at=NOW + 1.0,
    )
    return replace(made, **fields)


def findings(*failed: str, total: int = 10, **fields: Any) -> Findings:
    bad = tuple(Result(suite="", name=name, outcome=Outcome.FAILED) for name in failed)
    tally = Tally(passed=total - len(bad), failed=len(bad))
    return replace(Findings(tally=tally, failing=bad), **fields)


def steps(*statuses: int | None) -> tuple[StepResult, ...]:
    return tuple(
        StepResult(name=step.name, started_at=1.0, finished_at=2.0, exit_status=status)
        for step, status in zip(STEPS, statuses, strict=False)
    )


def ended(
    *quarantines: Quarantine,
    found: Findings | None = None,
    tests: int = 10,
    job: dict[str, Any] | None = None,
    **fact: Any,
) -> Draft:
    """After build 1, whose test `a` failed, has ended."""
    build = making.build(state=BuildState.RUNNING, machine_id=50, started_at=5.0)
    rows: list[Row] = [
        making.project(),
        making.queue(),
        making.item(),
        making.buildset(
            jobs=(making.job(**{"steps": STEPS} | (job or {})),), keys=(("tests", "key"),)
        ),
        build,
        MACHINE,
        HOST,
        *quarantines,
    ]
    if tests:
        rows.append(making.history(tests=tests))
    draft = Draft(rows, now=NOW, ids=itertools.count(10_000))
    said = events.BuildFinished(
        machine_id=50,
        verdict=Verdict.FAILURE,
        reason=REASON,
        steps=steps(0, 1),
        usage=Usage(),
        artefacts=(),
        findings=findings("a") if found is None else found,
    )
    facts.apply(draft, replace(said, **fact))
    return draft


def build_of(draft: Draft) -> Build:
    return draft.get(Build, 1)


def test_a_build_that_failed_only_what_is_quarantined_passes_but_for_that() -> None:
    draft = ended(quarantined())
    found = build_of(draft)
    assert (found.verdict, found.but_for, found.reason) == (Verdict.SUCCESS, ("a",), "a")


def test_such_a_pass_is_no_evidence() -> None:
    assert ended(quarantined()).all(Evidence) == []
    passes = {"verdict": Verdict.SUCCESS, "reason": None, "steps": steps(0, 0)}
    assert len(ended(quarantined(), found=findings(), **passes).all(Evidence)) == 1


@pytest.mark.parametrize(
    ("quarantines", "how"),
    [
        ((), {}),
        ((quarantined("b"),), {}),
        ((quarantined(expires_at=NOW),), {}),
        ((quarantined(ended_at=5.0, ended_by="eve"),), {}),
        ((quarantined(project_id=2),), {}),
        ((quarantined(job="lint"),), {}),
        ((quarantined(),), {"found": findings("a", "b")}),
        ((quarantined(),), {"verdict": Verdict.TIMEOUT}),
        ((quarantined(),), {"found": findings()}),
    ],
    ids=[
        "nothing is",
        "another is",
        "expired",
        "removed",
        "of another project",
        "of another job",
        "another failed too",
        "too slow",
        "no test failed",
    ],
)
def test_what_fails_as_ever(quarantines: tuple[Quarantine, ...], how: dict[str, Any]) -> None:
    found = build_of(ended(*quarantines, **how))
    assert (found.verdict, found.but_for) == (how.get("verdict", Verdict.FAILURE), ())
    assert "quarantined" not in str(found.reason)


@pytest.mark.parametrize(
    ("why", "how"),
    [
        ("not all results could be read", {"found": findings("a", notices=("odd",))}),
        (
            "more tests failed than are listed",
            {"found": findings("a", tally=Tally(passed=8, failed=1, error=1))},
        ),
        ("that is not why it ended", {"reason": "printed more than 1 MiB"}),
        ("ended with 3, not 1", {"steps": steps(0, 3)}),
        ("ended with None, not 1", {"steps": steps(0, None)}),
        ("did not get its turn", {"steps": steps(1)}),
        ("only 9 of 10 tests have run", {"found": findings("a", total=9)}),
        ("it is not known how many tests there are", {"tests": 0}),
        (
            "does not say how it ends when tests fail",
            {"job": {"steps": (STEPS[0], replace(STEPS[1], failed_tests=None))}},
        ),
    ],
)
def test_a_failure_that_may_be_something_else_blocks_and_says_why(
    why: str, how: dict[str, Any]
) -> None:
    found = build_of(ended(quarantined(), **how))
    assert (found.verdict, found.but_for) == (Verdict.FAILURE, ())
    assert "every test that failed is quarantined, but " in str(found.reason)
    assert why in str(found.reason)


def test_a_quarantine_may_be_of_one_job_whatever_its_cell() -> None:
    job = {"name": "tests", "base": "tests", "cell": (("python", "3.11"),)}
    assert build_of(ended(quarantined(job="tests"), job=job)).but_for == ("a",)


def test_a_test_that_passed_when_it_was_run_again_needs_no_quarantine() -> None:
    again = Result(suite="", name="b", outcome=Outcome.PASSED, flaky=True)
    found = findings("a")
    found = replace(found, failing=(*found.failing, again))
    assert build_of(ended(quarantined(), found=found)).but_for == ("a",)


def told(core: Core) -> list[Event]:
    return [each for each in core.told if "quarantine" in each.kind or "test." in each.kind]


def test_what_has_lasted_as_long_as_it_was_to_ends_and_its_owner_is_told() -> None:
    core = Core()
    core.hear(
        events.QuarantineAdded(
            project_id=1, job=None, name="a", owner="ada", reason="r", until=100.0, user="eve"
        )
    )
    core.step()
    assert [each.kind for each in told(core)] == ["test.quarantined"]
    core.now = 100.0
    core.step()
    core.step()
    assert [(each.kind, each.user) for each in told(core)][1:] == [("quarantine.expired", "ada")]
    [row] = core.draft().all(Quarantine)
    assert (row.ended_at, row.ended_by) == (100.0, None)


def test_to_quarantine_again_is_to_change_what_there_is() -> None:
    core = Core()
    for until in (100.0, 200.0):
        core.hear(
            events.QuarantineAdded(
                project_id=1, job=None, name="a", owner="ada", reason="r", until=until, user="eve"
            )
        )
    [row] = core.draft().all(Quarantine)
    assert row.expires_at == 200.0
    for _ in range(2):
        core.hear(events.QuarantineRemoved(quarantine_id=row.id, user="eve"))
    [row] = core.draft().all(Quarantine)
    assert row.ended_by == "eve"
    assert [each.kind for each in told(core)][2:] == ["test.released"]


def test_how_many_tests_there_are_is_learnt_from_what_lands() -> None:
    core = Core()
    core.push(7, land=True)
    core.prepare(making.job(steps=STEPS))
    [run] = core.runs()
    fact = events.BuildFinished(
        machine_id=run.machine.id,
        verdict=Verdict.SUCCESS,
        reason=None,
        steps=steps(0, 0),
        usage=Usage(),
        artefacts=(),
        findings=findings(total=12),
    )
    core.hear(fact)
    core.step()
    core.hear(events.Landed(item_ids=(core.item(7).id,)))
    known = core.draft().history(1, "job tests")
    assert known is not None
    assert known.tests == 12
