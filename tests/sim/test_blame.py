"""Whose fault each build is, of what the real gate made in a simulated world."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from cupel.control.views import blame as views
from cupel.core.blame import BAD, Blame, Finding, Sign
from cupel.core.model import Build, Buildset, Host, Item, Machine, Pipeline, Role, Verdict
from cupel.report import blame as words
from cupel.simulate.findings import Ref
from cupel.simulate.world import World, job
from cupel.store.memory import MemoryStore

Rules = Mapping[str, Any]


@pytest.fixture(params=["optimistic", "expected-value"])
def rules(request: pytest.FixtureRequest) -> Rules:
    return {"planner": request.param}


def findings(world: World, builds: Sequence[Build]) -> list[Finding]:
    """Those of the builds that did not pass, in their order."""

    async def run() -> dict[int, Finding]:
        store = MemoryStore()
        await store.open()
        async with store.write() as tx:
            await tx.put([row for kind in (Build, Buildset, Item) for row in world.rows.all(kind)])
        async with store.read() as tx:
            return await views.findings(tx, builds)

    found = asyncio.run(run())
    bad = [build for build in builds if build.verdict in BAD]
    assert set(found) == {build.id for build in bad}
    return [found[build.id] for build in bad]


def signs(finding: Finding) -> list[Sign]:
    return [proof.sign for proof in finding.proofs]


def ids(world: World, ref: Ref, verdict: Verdict, role: Role = Role.PROOF) -> tuple[int, ...]:
    found = world.builds(ref, role=role)
    return tuple(build.id for build in found if build.verdict is verdict)


def test_a_rejected_change_is_shown_what_convicted_it(rules: Rules) -> None:
    world = World(rules=rules)
    a = world.push("A", breaks={"tests"}, land=True)
    world.settle()
    failed = ids(world, a, Verdict.FAILURE)
    first, *_, last = findings(world, world.builds(a))
    assert (first.blame, first.sure) == (Blame.CHANGE, True)
    assert signs(first)[0] is Sign.FAILED_AGAIN
    assert first.proofs[0].builds == failed[1:]
    assert signs(first)[1] in (Sign.PASSED_WITHOUT, Sign.RUNS_WITHOUT)
    assert words.sentence(last).startswith(
        f"the change's fault: failed on the same inputs as well: build {failed[0]}"
    )


def test_who_brings_a_job_is_told_that_the_branch_does_not_have_it(rules: Rules) -> None:
    world = World(rules=rules)
    a = world.push("A", jobs=(job("tests"), job("new")), breaks={"new"}, land=True)
    world.settle()
    for finding in findings(world, world.builds(a)):
        assert finding.blame is Blame.CHANGE
        assert signs(finding) == [Sign.FAILED_AGAIN, Sign.NEW_JOB]


def test_a_flake_names_the_build_that_passed(rules: Rules) -> None:
    world = World(rules=rules)
    world.flake("tests")
    a = world.push("A", land=True)
    world.settle()
    (finding,) = findings(world, world.builds(a))
    assert finding.blame is Blame.FLAKE
    assert finding.proofs[0].builds == ids(world, a, Verdict.SUCCESS)


def test_a_broken_branch_is_nobodys_fault_that_waits(rules: Rules) -> None:
    world = World(rules=rules)
    world.break_main("tests")
    a = world.push("A", land=True)
    world.run_for(3000)
    found = findings(world, world.builds(a))
    assert {finding.blame for finding in found} == {Blame.BRANCH}
    assert signs(found[0])[0] is Sign.FAILED_WITHOUT
    assert set(found[0].proofs[0].builds) <= set(ids(world, a, Verdict.FAILURE, Role.BASE))
    (on_branch, *_) = findings(world, world.builds(a, role=Role.BASE))
    assert (on_branch.blame, signs(on_branch)[0]) == (Blame.BRANCH, Sign.NO_CHANGE)


def test_while_a_rerun_goes_on_nothing_is_decided() -> None:
    world = World(rules={"planner": "expected-value"})
    a = world.push("A", breaks={"tests"}, land=True)
    world.until(lambda: len(world.builds(a)) == 2)
    failed, rerun = world.builds(a)
    (finding,) = findings(world, [failed])
    assert finding.blame is Blame.UNDECIDED
    assert f"waits for the rerun: build {rerun.id}" in words.sentence(finding)


def test_the_infrastructure_is_tried_again_elsewhere(rules: Rules) -> None:
    world = World(hosts=("north", "south"), slots=3, rules=rules)
    world.sicken("north")
    refs = [world.push(name, land=True) for name in "ABCDEF"]
    world.settle()
    assert world.landed() == refs
    builds = [build for ref in refs for build in world.builds(ref)]
    found = findings(world, builds)
    assert found
    assert {finding.blame for finding in found} == {Blame.INFRASTRUCTURE}
    assert {tuple(signs(finding)) for finding in found} == {(Sign.LOST, Sign.TRIED_AGAIN)}
    again = {build.id: build for build in builds}
    hosts = {machine.id: machine.host_id for machine in world.rows.all(Machine)}
    names = {host.id: host.name for host in world.rows.all(Host)}
    for build in builds:
        if build.verdict is Verdict.INFRA:
            (after,) = findings(world, [build])[0].proofs[1].builds
            assert again[after].attempt == build.attempt + 1
        elif build.machine_id is not None:
            assert names[hosts[build.machine_id]] == "south"


def test_a_failure_with_what_was_ahead_is_not_the_changes() -> None:
    """B is failed with A beneath it, and lands without."""
    world = World(rules={"planner": "optimistic"})
    a, b = world.push("A", breaks={"tests"}), world.push("B")
    world.approve(a, b)
    world.settle()
    assert world.landed() == [b]
    failed = [build for build in world.builds(b) if build.verdict is Verdict.FAILURE]
    for finding in findings(world, failed):
        assert finding.blame is Blame.OTHER
        assert signs(finding)[0] is Sign.FAILED_AHEAD
        assert set(finding.proofs[0].builds) <= set(ids(world, a, Verdict.FAILURE))


def test_a_check_knows_of_the_branch_what_the_gate_has_proved() -> None:
    """It runs a job once; what landed last passed it, so the change is the likeliest."""
    world = World(check=("tests",), rules={"planner": "expected-value"})
    landed = world.push("A", land=True)
    world.settle()
    b = world.push("B", breaks={"tests"})
    world.settle()
    (finding,) = findings(world, world.builds(b, Pipeline.CHECK))
    assert (finding.blame, finding.sure) == (Blame.CHANGE, False)
    assert signs(finding) == [Sign.PASSED_WITHOUT, Sign.FAILED_ONCE]
    assert finding.proofs[0].builds == ids(world, landed, Verdict.SUCCESS)[-1:]
    assert words.words(finding) == "probably the change's fault"


def test_a_check_on_a_branch_of_which_nothing_is_known_does_not_guess() -> None:
    world = World(check=("tests",), rules={"planner": "expected-value"})
    b = world.push("B", breaks={"tests"})
    world.settle()
    (finding,) = findings(world, world.builds(b, Pipeline.CHECK))
    assert (finding.blame, finding.sure) == (Blame.UNDECIDED, False)
    assert signs(finding) == [Sign.FAILED_ONCE, Sign.UNKNOWN_WITHOUT]
