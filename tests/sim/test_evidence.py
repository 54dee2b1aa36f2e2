"""Passes that are reused in a simulated world: never for the wrong state, and found out if so."""

from __future__ import annotations

import random

import pytest

from cupel.core import events, evidence
from cupel.core.model import (
    Build,
    Buildset,
    Evidence,
    Item,
    ItemState,
    Pipeline,
    Purpose,
    Reason,
    Verdict,
)
from cupel.simulate.fate import Cause, Nature
from cupel.simulate.findings import Ref
from cupel.simulate.world import World, job

PARTS = ("lib", "docs", "web")
JOBS = tuple(job(f"test-{part}", inputs=(f"{part}/**",)) for part in PARTS)


def reused(world: World) -> list[Build]:
    return [build for build in world.rows.all(Build) if build.reused_from is not None]


def audits(world: World) -> list[Item]:
    return [item for item in world.rows.all(Item) if item.pipeline is Pipeline.PERIODIC]


def crowd(world: World, seed: int, count: int) -> list[Ref]:
    """Changes that touch some parts, and sometimes break the job of a part that they touch."""
    chance = random.Random(seed)
    refs = []
    for number in range(count):
        parts = chance.sample(PARTS, chance.randint(1, len(PARTS)))
        breaks = {f"test-{parts[0]}"} if chance.random() < 0.3 else set()
        touches = {f"{part}/x" for part in parts}
        takes = chance.uniform(5, 60)
        refs.append(
            world.push(f"c{number}", land=True, touches=touches, breaks=breaks, takes=takes)
        )
        world.run_for(chance.choice((0.0, 1.0, 30.0)))
    return refs


def test_a_job_whose_inputs_are_untouched_does_not_run_again() -> None:
    """B fails, C behind it is proved anew: of its jobs only the one that B touched runs again."""
    world = World(gate=JOBS)
    a = world.push("A", touches={"lib/x"}, takes=100)
    b = world.push("B", touches={"docs/x"}, breaks={"test-docs"})
    c = world.push("C", touches={"web/x"})
    world.approve(a, b, c)
    world.settle()
    assert world.landed() == [a, c]
    ran = [build for build in world.builds(c) if build.machine_id is not None]
    assert [build.job for build in ran].count("test-web") == 1
    assert reused(world) != []


def test_a_change_that_contains_the_head_lands_with_the_passes_of_its_check() -> None:
    world = World(gate=JOBS, check=JOBS)
    a = world.push("A", touches={"lib/x"})
    world.settle()
    machines = len(world.machines())
    world.approve(a)
    world.settle()
    assert world.landed() == [a]
    assert len(world.machines()) == machines
    assert all(build.reused_from is not None for build in world.builds(a))


def test_a_killed_server_runs_no_passed_build_again() -> None:
    world = World(gate=JOBS)
    a = world.push("A", touches={"lib/x"}, land=True)
    world.until(lambda: world.verdicts(a).count("success") == len(JOBS))
    world.server.die("in a test")
    world.settle()
    assert world.landed() == [a]
    assert len(world.machines()) == len(JOBS)


def test_jobs_that_want_no_evidence_run_for_each_state() -> None:
    world = World(gate=(job("tests", inputs=("lib/**",), evidence=False),))
    refs = [world.push(name, touches={"docs/x"}, land=True) for name in ("A", "B")]
    world.settle()
    assert world.landed() == refs
    assert reused(world) == []


def test_what_needs_a_reused_job_gets_the_artefacts_of_the_one_that_ran() -> None:
    world = World(
        gate=(job("build", inputs=("lib/**",)), job("tests", inputs=("web/**",), needs=("build",)))
    )
    a = world.push("A", touches={"lib/x", "web/x"}, land=True)
    world.settle()
    b = world.push("B", touches={"web/x"}, land=True)
    world.settle()
    assert world.landed() == [a, b]
    by_job = {build.job: build for build in world.builds(b)}
    assert by_job["build"].reused_from == world.builds(a)[0].id
    assert by_job["tests"].machine_id is not None


@pytest.mark.parametrize("seed", range(40))
def test_reuse_lands_no_state_that_a_full_run_would_have_failed(seed: int) -> None:
    world = World(seed=seed, slots=5, gate=JOBS, check=JOBS if seed % 2 else ())
    crowd(world, seed, 12)
    world.settle()
    for move in world.git.moves:
        assert not any(world.nature.is_broken(each, move.new, {}) for each in JOBS)
    assert world.has("evidence.withdrawn") == 0
    assert all(item.state is ItemState.PASSED for item in audits(world))


@pytest.mark.parametrize("seed", range(5))
def test_a_build_that_ran_stands_behind_each_reused_one(seed: int) -> None:
    world = World(seed=seed, gate=JOBS, check=JOBS)
    crowd(world, seed, 12)
    world.settle()
    assert reused(world) != []
    for build in reused(world):
        origin = world.rows.get(Build, build.reused_from)
        assert (origin.verdict, origin.key) == (Verdict.SUCCESS, build.key)
        assert origin.reused_from is None
        assert origin.machine_id is not None


def lying(monkeypatch: pytest.MonkeyPatch) -> tuple[World, Ref]:
    """B breaks the tests of `lib` with a file in `docs`, which their declaration does not list."""
    monkeypatch.setattr(evidence, "AUDIT_EVERY", 1)
    reads = {"test-lib": ("lib/**", "docs/**")}
    world = World(gate=JOBS[:1], true_inputs=reads)
    world.push("A", touches={"lib/x"}, land=True)
    world.settle()
    b = world.push("B", touches={"docs/x"}, breaks={"test-lib"}, land=True)
    world.settle()
    return world, b


def test_a_wrong_declaration_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The change lands with a pass that says nothing of it; the audit withdraws that pass."""
    world, b = lying(monkeypatch)
    assert world.landed()[-1] == b
    [audit] = audits(world)
    assert (audit.state, audit.reason, audit.change_id) == (
        ItemState.REJECTED,
        Reason.BUILD_FAILED,
        b.id,
    )
    assert "the `inputs` of test-lib seem to miss" in (audit.detail or "")
    failed = world.builds(b, Pipeline.PERIODIC)
    assert [build.purpose for build in failed] == [Purpose.AUDIT, Purpose.RERUN]
    [pass_] = world.rows.all(Evidence)
    assert (pass_.withdrawn_at is not None, pass_.refuted_by) == (True, failed[-1].id)
    assert world.has("evidence.withdrawn") == 1


def test_a_refuted_pass_is_not_reused_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The repair has the same key as the pass that was withdrawn, so it is run; and so is D."""
    world, _ = lying(monkeypatch)
    before = len(reused(world))
    c = world.push("C", touches={"docs/x"}, repairs={"B"}, land=True)
    world.settle()
    d = world.push("D", touches={"docs/x"}, land=True)
    world.settle()
    assert world.landed()[-2:] == [c, d]
    assert (world.ran(c), world.ran(d)) == (["test-lib"], ["test-lib"])
    assert len(reused(world)) == before


def test_a_flake_in_an_audit_refutes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "AUDIT_EVERY", 1)
    world = World(gate=JOBS[:1])
    world.push("A", touches={"lib/x"}, land=True)
    world.settle()
    b = world.push("B", touches={"docs/x"}, land=True)
    world.until(lambda: audits(world) != [])
    causes = iter([Cause.FLAKE, None])
    monkeypatch.setattr(Nature, "_cause", lambda *_: next(causes))
    world.settle()
    assert world.landed()[-1] == b
    assert [item.state for item in audits(world)] == [ItemState.PASSED]
    assert [build.verdict for build in world.builds(b, Pipeline.PERIODIC)] == [
        Verdict.FAILURE,
        Verdict.SUCCESS,
    ]
    assert world.has("evidence.withdrawn") == 0


def test_a_lie_that_somebody_offers_lands_what_it_proves_and_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While B waits for a machine, ada says that its job has passed on her own: it has not."""
    monkeypatch.setattr(evidence, "AUDIT_EVERY", 1)
    world = World(gate=JOBS[:1], slots=1, true_inputs={"test-lib": ("lib/**",)})
    a = world.push("A", touches={"lib/x"}, land=True, takes=300)
    b = world.push("B", touches={"lib/y"}, breaks={"test-lib"}, land=True)
    world.until(lambda: any(build.key for build in world.builds(b) if build.machine_id is None))
    [waiting] = world.builds(b)
    state = world.rows.get(Buildset, waiting.buildset_id)
    assert state.commit is not None
    assert state.tree is not None
    offered = events.PassOffered(
        project_id=waiting.project_id,
        branch="main",
        commit=state.commit,
        tree=state.tree,
        job=state.jobs[0],
        key=dict(state.keys)["test-lib"],
        image=world.nature.image,
        user="ada",
        host="laptop",
        seconds=60.0,
    )
    world.say(offered)
    world.nature.passed.add(world.git.key(state.jobs[0], state.commit, {}))  # as far as she says
    world.settle()
    assert world.landed() == [a, b]
    [audit] = audits(world)
    assert audit.state is ItemState.REJECTED
    assert "offered by ada" in (audit.detail or "")
    [lie] = [each for each in world.rows.all(Evidence) if each.offered]
    assert lie.withdrawn_at is not None
    before = len(world.rows.all(Evidence))
    world.say(offered)
    assert len(world.rows.all(Evidence)) == before
