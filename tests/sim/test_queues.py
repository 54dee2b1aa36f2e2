"""How soon a queue comes to the right end: what may overtake, what is run, who waits for whom."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cupel.core.model import BuildsetState, BuildState, Item, ItemState, Landing, Pipeline
from cupel.simulate import truth
from cupel.simulate.run import simulate
from cupel.simulate.scenario import SCENARIOS
from cupel.simulate.world import World, job

STRICT: dict[str, Any] = {"planner": "expected-value"}
SET: dict[str, Any] = {**STRICT, "landing": Landing.SET}


@pytest.fixture(params=[STRICT, SET], ids=["strict", "set"])
def rules(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(request.param)


# Suspects.


def test_a_suspect_at_the_head_does_not_hold_up_the_rest(rules: dict[str, Any]) -> None:
    """It is run again, which takes its time; meanwhile the others are proved without it."""
    world = World(rules=rules)
    a = world.push("A", breaks={"tests"}, takes=1000, fails_at=0.1)
    b, c = world.push("B"), world.push("C")
    world.approve(a, b, c)
    world.until(lambda: set(world.landed()) == {b, c})
    assert world.queue() == [a]
    assert world.verdicts(a).count("failure") < 2
    world.settle()
    assert world.rejected() == {a: "build-failed"}


def test_an_overtaken_suspect_lands_behind_what_overtook_it(rules: dict[str, Any]) -> None:
    """Its failure was a flake."""
    world = World(rules=rules)
    world.flake("tests")
    a = world.push("A", takes=100, land=True)
    world.until(lambda: "failure" in world.verdicts(a))
    b = world.push("B", land=True)
    world.settle()
    assert world.landed() == [b, a]
    assert world.rejected() == {}


def test_what_is_good_is_not_overtaken(rules: dict[str, Any]) -> None:
    """However long it takes."""
    world = World(rules=rules)
    a = world.push("A", takes=1000, land=True)
    others = [world.push(name, land=True) for name in "BCD"]
    world.settle()
    assert world.landed() == [a, *others]


def test_dependents_of_a_suspect_wait_for_it(rules: dict[str, Any]) -> None:
    """They cannot be proved without it."""
    world = World(rules=rules)
    world.flake("tests")
    a = world.push("A", takes=50)
    b = world.push("B", on=a)
    world.approve(a, b)
    world.settle()
    assert world.landed() == [a, b]


def test_two_bad_changes_in_a_row_are_both_found(rules: dict[str, Any]) -> None:
    world = World(rules=rules)
    refs = [
        world.push(name, breaks={"tests"} if name in "BC" else (), land=True) for name in "ABCD"
    ]
    a, b, c, d = refs
    world.settle()
    assert world.landed() == [a, d]
    assert world.rejected() == {b: "build-failed", c: "build-failed"}


def test_a_clash_takes_out_the_later_one(rules: dict[str, Any]) -> None:
    world = World(rules=rules)
    refs = [world.push(name, clashes={"A"} if name == "D" else (), land=True) for name in "ABCDE"]
    world.settle()
    assert world.landed() == [ref for ref in refs if ref.name != "D"]


@pytest.mark.parametrize("seed", range(4))
def test_flaky_jobs_reject_nearly_nobody(seed: int, rules: dict[str, Any]) -> None:
    """A gate that believes the second failure would reject one in eleven of these."""
    world = World(seed=seed, slots=20, flaky={"tests": 0.3}, rules=rules)
    for number in range(25):
        world.push(f"c{number}", takes=60, land=True)
        world.run_for(60)
    world.settle()
    assert len(world.rejected()) <= 1


# What is run.


def test_an_unrelated_suspect_disturbs_nothing(rules: dict[str, Any]) -> None:
    """Jobs whose inputs it does not touch keep their results when it leaves."""
    gate = job("lib tests", inputs=("lib/*",)), job("docs", inputs=("docs/*",))
    world = World(gate=gate, rules=rules)
    a = world.push("A", touches={"lib/a"}, breaks={"lib tests"}, takes=100)
    b = world.push("B", touches={"docs/b"})
    world.approve(a, b)
    world.settle()
    assert world.landed() == [b]
    assert world.ran(b).count("docs") == 1


def test_few_machines_prove_sets_in_few_builds() -> None:
    world = World(slots=1, rules=SET)
    refs = [world.push(f"c{number}", takes=100, land=True) for number in range(8)]
    world.settle()
    assert world.landed() == refs
    assert sum(len(world.ran(ref)) for ref in refs) <= 5


def test_strict_landing_runs_each_change_once() -> None:
    world = World(slots=1, rules=STRICT)
    refs = [world.push(f"c{number}", takes=100, land=True) for number in range(8)]
    world.settle()
    assert world.landed() == refs
    assert [len(world.ran(ref)) for ref in refs] == [1] * 8


def test_a_set_lands_across_projects_as_one() -> None:
    """The tests of `app` have passed beside exactly that `lib` that lands with it."""
    gates = {"app": (job("tests", projects=("lib",)),)}
    world = World(projects=("lib", "app"), queue="shared", gates=gates, rules=SET)
    world.close("to let them gather")
    a, b = world.push("A", project="lib", land=True), world.push("B", project="app", land=True)
    world.run_for(100)
    world.open()
    world.settle()
    assert world.landed() == [a, b]
    assert world.item(a).lands_with == world.item(b).lands_with == world.item(b).id


# What a job reads.


def test_a_job_that_reads_more_than_it_says_lets_a_bad_change_land() -> None:
    """Evidence is as good as what the job says of its inputs; an audit finds that out later."""
    gate = (job("tests", inputs=("src/*",)),)
    lying = World(gate=gate, true_inputs={"tests": ("src/*", "docs/*")})
    lying.push("A", touches={"src/a"}, land=True)
    lying.settle()
    bad = lying.push("B", touches={"docs/b"}, breaks={"tests"}, land=True)
    lying.settle()
    assert lying.landed()[-1] == bad


def test_another_image_is_other_evidence() -> None:
    """What has passed on a machine of an older image is run again."""
    world = World(check=("tests",))
    a = world.push("A")
    world.settle()
    world.roll_image("sha256:newer")
    b = world.push("B", land=True)
    world.settle()
    world.approve(a)
    world.settle()
    assert world.landed() == [b, a]
    assert world.ran(a) == ["tests"]


# Nobody starves.


@pytest.mark.parametrize("seed", range(2))
def test_nobody_starves_in_a_steady_stream(seed: int, rules: dict[str, Any]) -> None:
    """Good changes land soon, though a third of all are bad and every job flakes."""
    chance = random.Random(seed)
    world = World(seed=seed, slots=12, flaky={"tests": 0.05}, rules=rules)
    for number in range(30):
        bad = chance.random() < 0.3
        world.push(f"c{number}", breaks={"tests"} if bad else (), takes=60.0, land=True)
        world.run_for(chance.uniform(10.0, 50.0))
    world.settle()
    longest, _ = truth.waited(world)[0]
    assert longest < 10 * 60.0


def test_a_slow_suspect_lands_in_the_end(rules: dict[str, Any]) -> None:
    """Others overtake it while it is in doubt, but not for ever."""
    world = World(slots=6, rules=rules)
    world.flake("tests")
    slow = world.push("slow", takes=300, land=True)
    world.until(lambda: "failure" in world.verdicts(slow))
    for number in range(60):
        world.push(f"c{number}", takes=30, land=True)
        world.run_for(30)
    item = world.item(slow)
    assert item.state is ItemState.LANDED
    assert (item.finished_at or 0.0) - item.enqueued_at < 1500
    world.settle()


def test_no_item_is_left_without_a_reason_to_wait(rules: dict[str, Any]) -> None:
    """Whatever has no build under way says what it waits for."""
    world = World(slots=2, rules={**rules, "window": 3, "window_floor": 1})
    for number in range(8):
        breaks = {"tests"} if number % 3 == 1 else ()
        world.push(f"c{number}", breaks=breaks, takes=50, land=True)
    for _ in range(40):
        world.run_for(7.3)
        for item in world.rows.all(Item):
            if item.pipeline is Pipeline.GATE and item.state is ItemState.LIVE:
                states = world.rows.buildsets(item.id)
                busy = any(
                    build.state is not BuildState.FINISHED
                    for state in states
                    for build in world.rows.builds(state.id)
                ) or any(state.state is BuildsetState.PREPARING for state in states)
                assert busy or item.wait, f"item {item.id} at {world.timeline.now}"
    world.settle()


@pytest.mark.parametrize(("seed", "name"), [(165, "calm"), (132, "storm")])
def test_a_set_waits_for_jobs_of_another_project(seed: int, name: str) -> None:
    """What proves a state may have to run on one beneath it: worlds in which nobody ran it."""
    assert simulate(seed, SCENARIOS[name]).broken is None
