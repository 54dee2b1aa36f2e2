"""What a gate does, one scenario a test, on the real core and engine in a simulated world.

`rules` are those of the queue: a test that has them as an argument holds whatever the planner and
the landing. Where a schedule is told move by move, it is the classical gate's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from cupel.core import admission
from cupel.core.model import (
    Build,
    BuildState,
    Host,
    Item,
    Landing,
    MachineState,
    Pipeline,
    Project,
    Role,
    Verdict,
)
from cupel.simulate.faults import Faults
from cupel.simulate.findings import Ref
from cupel.simulate.world import World, job

Rules = Mapping[str, Any]

CLASSIC: Rules = {"planner": "optimistic"}
STRICT: Rules = {"planner": "expected-value"}
SET: Rules = {"planner": "expected-value", "landing": Landing.SET}


@pytest.fixture(params=[CLASSIC, STRICT, SET], ids=["classic", "strict", "set"])
def rules(request: pytest.FixtureRequest) -> Rules:
    return dict(request.param)


def three(world: World, **b: object) -> tuple[Ref, Ref, Ref]:
    """A, B and C, approved in this order; `b` says what is special about B."""
    refs = world.push("A"), world.push("B", **b), world.push("C")  # type: ignore[arg-type]
    world.approve(*refs)
    return refs


def shared(**fields: Any) -> World:
    """Two projects in one queue; the tests of `app` see `lib` beside it."""
    gates = {"app": (job("tests", projects=("lib",)),)}
    return World(projects=("lib", "app"), queue="shared", gates=gates, **fields)


# The queue.


def test_01_good_changes_land_in_order(rules: Rules) -> None:
    world = World(rules=rules)
    refs = three(world)
    world.settle()
    assert world.landed() == list(refs)
    assert all(len(world.builds(ref)) == 1 for ref in refs)


def test_01_each_is_tested_with_all_ahead_of_it() -> None:
    world = World(rules=CLASSIC)
    a, b, c = three(world)
    world.until(lambda: world.running(c))
    assert [world.proved_on(ref) for ref in (a, b, c)] == [[], ["A"], ["A", "B"]]


def test_01_a_set_lands_with_one_move() -> None:
    """What passed together lands together, in order, though not each has passed by itself."""
    world = World(rules=SET)
    a, b, c = world.push("A", takes=500), world.push("B", takes=500), world.push("C")
    world.approve(a, b, c)
    world.run_for(100)
    assert world.landed() == [a, b, c]
    assert [len(move.brought) for move in world.git.moves] == [3]


def test_02_the_head_fails(rules: Rules) -> None:
    """The rest land."""
    world = World(rules=rules)
    a, b, c = world.push("A", breaks={"tests"}), world.push("B"), world.push("C")
    world.approve(a, b, c)
    world.settle()
    assert world.landed() == [b, c]
    assert world.rejected() == {a: "build-failed"}


def test_02_items_behind_a_failing_head_start_again() -> None:
    """It fails twice on the same state; then what is behind starts again without it."""
    world = World(rules=CLASSIC)
    a = world.push("A", breaks={"tests"})
    b, c = world.push("B", takes=100), world.push("C", takes=100)
    world.approve(a, b, c)
    world.settle()
    assert world.verdicts(a) == ["failure", "failure"]
    assert world.verdicts(b) == ["cancelled", "success"]
    assert world.verdicts(c) == ["cancelled", "success"]


def test_03_the_middle_fails(rules: Rules) -> None:
    """What is ahead of it and good lands first."""
    world = World(rules=rules)
    a = world.push("A", takes=100)
    b, c = world.push("B", breaks={"tests"}), world.push("C", takes=100)
    world.approve(a, b, c)
    world.settle()
    assert world.landed() == [a, c]
    assert world.rejected() == {b: "build-failed"}
    assert world.verdicts(a) == ["success"]


def test_03_only_items_behind_a_failure_start_again() -> None:
    world = World(rules=CLASSIC)
    a = world.push("A", takes=200)
    b, c = world.push("B", breaks={"tests"}), world.push("C", takes=200)
    world.approve(a, b, c)
    world.until(lambda: world.running(c) and world.proved_on(c) == ["A"])
    assert world.queue() == [a, b, c]
    assert world.running(a)


def test_04_a_reset_drops_queued_builds() -> None:
    """Builds that have not started are dropped too, and never get a machine."""
    world = World(slots=2, rules=CLASSIC)
    a, b, c = world.push("A", breaks={"tests"}), world.push("B", takes=100), world.push("C")
    world.approve(a, b, c)
    world.until(lambda: world.rejected() == {a: "build-failed"})
    assert [x.machine_id for x in world.builds(c) if x.verdict is Verdict.CANCELLED] == [None]
    world.settle()
    assert world.landed() == [b, c]


def test_05_a_failure_is_forgiven_with_what_was_ahead(rules: Rules) -> None:
    world = World(rules=rules)
    a = world.push("A", breaks={"tests"}, takes=100)
    b, c = world.push("B"), world.push("C", takes=100)
    world.approve(a, b, c)
    world.settle()
    assert set(world.landed()) == {b, c}
    assert world.rejected() == {a: "build-failed"}


def test_05_the_forgiven_one_is_tested_on_the_head() -> None:
    """B fails, C goes on without it; then A fails: B is tested on the head, C on B again."""
    world = World(rules=CLASSIC)
    a = world.push("A", breaks={"tests"}, takes=100)
    b, c = world.push("B"), world.push("C", takes=300)
    world.approve(a, b, c)
    world.until(lambda: world.verdicts(b) == ["failure", "failure"])
    world.until(lambda: world.running(c) and world.proved_on(c) == ["A"])
    world.until(lambda: world.rejected() == {a: "build-failed"})
    world.until(lambda: world.running(c) and world.proved_on(c) == ["B"])
    assert world.proved_on(b) == []
    world.settle()
    assert world.landed() == [b, c]


def test_06_a_dequeue_stops_each_build_once(rules: Rules) -> None:
    world = World(gate=("tests", "lint"), rules=rules)
    a = world.push("A", land=True)
    world.until(lambda: world.verdicts(a) == ["running", "running"])
    world.dequeue(a)
    world.settle()
    assert world.removed() == {a: "dequeued"}
    assert world.verdicts(a) == ["cancelled", "cancelled"]
    assert world.has("build.cancelling") == 2


def test_07_projects_do_not_wait_for_each_other(rules: Rules) -> None:
    """Those without a shared queue."""
    world = World(projects=("one", "two"), rules=rules)
    slow = world.push("A", project="one", takes=1000, land=True)
    quick = world.push("B", project="two", land=True)
    world.until(lambda: world.landed() == [quick])
    assert world.running(slow)
    world.settle()


def test_08_a_stack_enters_dependencies_first(rules: Rules) -> None:
    """History that has landed is not walked."""
    world = World(rules=rules)
    low = world.push("low", land=True)
    world.settle()
    a = world.push("A", on=low)
    b = world.push("B", on=a)
    c = world.push("C", on=b)
    world.approve(c, b, a)
    assert world.queue() == []
    world.until(lambda: len(world.queue()) == 3)
    assert world.queue() == [a, b, c]
    world.settle()
    assert world.landed() == [low, a, b, c]
    assert len(world.builds(low)) == 1


def test_08_a_stack_waits_for_its_lowest() -> None:
    """Nothing of a stack enters before what it needs may."""
    world = World()
    a = world.push("A")
    b = world.push("B", on=a)
    world.approve(b)
    world.settle()
    assert world.queue() == []
    world.approve(a)
    world.settle()
    assert world.landed() == [a, b]


def test_09_one_of_a_stack_brings_the_approved_others() -> None:
    """Asking for one change of a stack brings those below and above it, in a stable order."""
    world = World()
    a = world.push("A")
    b = world.push("B", on=a)
    c = world.push("C", on=b)
    unapproved = world.push("D", on=c)
    world.approve(a, b, c)
    for ref in (a, b, c):
        world.dequeue(ref)
    world.settle()
    world.land(b)
    world.until(lambda: len(world.queue()) == 3)
    assert world.queue() == [a, b, c]
    world.settle()
    assert unapproved not in world.landed()


def test_10_an_approval_is_withdrawn_in_the_queue(rules: Rules) -> None:
    """Nothing lands that lacks a required approval, also one withdrawn in the queue."""
    world = World(rules=rules)
    a, b, c = three(world)
    world.until(lambda: world.running(c))
    world.withdraw(b)
    world.settle()
    assert world.landed() == [a, c]
    assert world.removed() == {b: "unapproved"}


def test_10_an_approval_is_missing() -> None:
    world = World(approvals=2)
    a = world.push("A")
    world.approve(a)
    world.land(a)
    world.settle()
    assert world.landed() == []
    world.approve(a, user="eve")
    world.settle()
    assert world.landed() == [a]


def test_11_a_conflict_is_reported(rules: Rules) -> None:
    """What conflicts with an item ahead reports the conflict; items behind go on."""
    world = World(rules=rules)
    a, b, c = three(world, conflicts={"A"})
    world.settle()
    assert world.landed() == [a, c]
    assert world.rejected() == {b: "conflict"}
    assert world.verdicts(c) == ["success"]


def test_11_a_conflict_with_what_leaves_is_forgiven(rules: Rules) -> None:
    world = World(rules=rules)
    a = world.push("A", breaks={"tests"})
    b = world.push("B", conflicts={"A"})
    world.approve(a, b)
    world.settle()
    assert world.landed() == [b]


def test_12_a_conflict_arises_later(rules: Rules) -> None:
    """A conflict that arises because something else landed is reported too."""
    world = World(rules=rules)
    a = world.push("A", conflicts={"around"}, land=True)
    world.until(lambda: world.running(a))
    world.push_around("around")
    world.settle()
    assert world.rejected() == {a: "conflict"}


def test_13_dependents_of_a_failure_leave_untested(rules: Rules) -> None:
    """When a change fails, those that depend on it leave; unrelated items go on."""
    world = World(rules=rules)
    slow = world.push("S", takes=100)
    a = world.push("A", breaks={"tests"})
    b = world.push("B", on=a, takes=100)
    c = world.push("C", on=b, takes=100)
    d = world.push("D")
    world.approve(slow, a, b, c, d)
    world.settle()
    assert set(world.landed()) == {slow, d}
    assert world.rejected() == {a: "build-failed"}
    assert world.removed() == {b: "needs-left", c: "needs-left"}
    assert {*world.verdicts(b), *world.verdicts(c)} == {"cancelled"}


@pytest.mark.parametrize("place", [0, 1])
def test_14_a_new_patch_set_takes_the_old_one_out(place: int, rules: Rules) -> None:
    """With what depends on it; at the head of the queue too."""
    world = World(rules=rules)
    a = world.push("A")
    b = world.push("B", on=a)
    c = world.push("C", on=b)
    d = world.push("D")
    world.approve(a, b, c, d)
    world.until(lambda: world.running(d))
    world.amend((a, b)[place])
    world.settle()
    assert world.landed() == [[d], [a, d]][place]
    assert (
        world.removed()
        == [
            {a: "new-patch-set", b: "needs-left", c: "needs-left"},
            {b: "new-patch-set", c: "needs-left"},
        ][place]
    )


def test_14_a_new_patch_set_needs_its_own_approval() -> None:
    world = World()
    a = world.push("A", land=True)
    world.until(lambda: world.running(a))
    world.amend(a)
    world.settle()
    assert world.landed() == []
    world.approve(a)
    world.settle()
    assert world.landed() == [a]
    assert world.head() == {"project-first", "A"}


def test_14_what_stands_on_an_old_patch_set_does_not_land() -> None:
    """It would bring in what was withdrawn from below."""
    world = World()
    a = world.push("A")
    b = world.push("B", on=a)
    world.amend(a)
    world.approve(a, b)
    world.settle()
    assert world.landed() == [a]
    world.amend(b)
    world.approve(b)
    world.settle()
    assert world.landed() == [a, b]


def test_15_an_abandoned_change_leaves(rules: Rules) -> None:
    """An abandoned change leaves and its builds stop."""
    world = World(rules=rules)
    a, b, c = three(world)
    world.until(lambda: world.running(c))
    world.abandon(b)
    world.settle()
    assert world.landed() == [a, c]
    assert world.removed() == {b: "abandoned"}
    assert set(world.verdicts(b)) == {"cancelled"}


def test_16_a_cancelled_start_leaks_nothing(rules: Rules) -> None:
    """Cancelling a build while its machine is starting leaks neither the machine nor the slot."""
    world = World(slots=1, rules=rules)
    a = world.push("A", land=True)
    world.until(lambda: world.verdicts(a) == ["starting"])
    world.dequeue(a)
    world.settle()
    assert {machine.state for machine in world.machines()} == {MachineState.GONE}
    b = world.push("B", land=True)
    world.settle()
    assert world.landed() == [b]


def test_17_a_non_voting_job_never_blocks(rules: Rules) -> None:
    """A non-voting job never blocks, and is never the reason for a reset."""
    world = World(gate=("tests", job("lint", voting=False)), rules=rules)
    a, b, c = three(world, breaks={"lint"})
    world.settle()
    assert world.landed() == [a, b, c]
    assert world.has("item.reset") == 0
    assert "failure" in world.verdicts(b)


def test_18_a_failure_stops_the_other_builds(rules: Rules) -> None:
    """When a voting job has failed for good, the item's other builds stop."""
    world = World(gate=("lint", "tests"), rules=rules)
    world.durations["tests"] = 500.0
    a = world.push("A", takes=100, land=True)
    b = world.push("B", breaks={"lint"}, land=True)
    world.run_for(80)
    assert world.verdicts(b).count("failure") > 1
    assert {*world.verdicts(b)} == {"failure", "cancelled"}
    world.settle()
    assert world.landed() == [a]
    assert world.rejected() == {b: "build-failed"}


def test_18_a_failing_item_keeps_its_place_until_it_can_be_believed() -> None:
    world = World(gate=("lint", "tests"), rules=CLASSIC)
    world.durations["tests"] = 500.0
    a = world.push("A", takes=100, land=True)
    b = world.push("B", breaks={"lint"}, land=True)
    world.until(lambda: sorted(world.verdicts(b)) == ["cancelled", "failure", "failure"])
    world.run_for(50)
    assert world.queue() == [a, b]


@pytest.mark.parametrize("voting", [True, False])
def test_18_a_failure_that_may_not_count_stops_nothing(voting: bool, rules: Rules) -> None:
    """Neither a non-voting failure nor one that is being retried stops the others."""
    world = World(gate=(job("lint", voting=voting), "tests"), rules=rules)
    world.durations["tests"] = 500.0
    world.flake("lint")
    a = world.push("A", land=True)
    world.until(lambda: "failure" in world.verdicts(a))
    world.run_for(30)
    assert "running" in world.verdicts(a)
    assert "cancelled" not in world.verdicts(a)
    world.settle()
    assert world.landed() == [a]


def test_19_a_build_of_a_lost_host_runs_elsewhere(rules: Rules) -> None:
    """A build whose host is lost runs again elsewhere."""
    world = World(hosts=("north", "south"), rules=rules)
    a = world.push("A", land=True)
    world.until(lambda: world.running(a))
    world.lose(world.host_of(a))
    world.settle()
    assert world.landed() == [a]
    assert world.verdicts(a) == ["infra", "success"]
    hosts = [world.host_of(a, build) for build in world.builds(a)]
    assert hosts[0] != hosts[1]


def test_19_up_to_a_limit(rules: Rules) -> None:
    """After so many attempts it is reported as infrastructure, not as the change's failure."""
    world = World(faults=Faults(dead=1.0), attempts=3, rules=rules)
    a = world.push("A", land=True)
    world.settle()
    assert world.verdicts(a) == ["infra", "infra", "infra"]
    assert world.rejected() == {a: "infrastructure"}


@pytest.mark.parametrize("seen", [True, False])
def test_20_the_branch_moved_under_us(seen: bool, rules: Rules) -> None:
    """Somebody pushed around the gate: the landing is refused, and proved again on the head."""
    world = World(rules=rules)
    a = world.push("A", land=True)
    world.until(lambda: world.has("item.landing"))
    world.push_around("around", seen=seen)
    world.settle()
    assert world.landed() == [a]
    assert world.proved_on(a) == ["around"]
    assert world.head() == {"project-first", "around", "A"}
    assert world.has("item.landing-refused") == 1


def test_20_the_branch_moved_twice(rules: Rules) -> None:
    world = World(rules=rules)
    a = world.push("A", land=True)
    for count in (1, 2):
        world.until(lambda count=count: world.has("item.landing") == count)
        world.push_around(f"around{count}", seen=False)
    world.settle()
    assert world.landed() == [a]
    assert world.has("item.landing-refused") == 2


@pytest.mark.parametrize("keep", [False, True])
def test_21_entering_the_gate_ends_the_check(keep: bool) -> None:
    """Entering the gate ends the change's `check` builds, unless the project says otherwise."""
    world = World(check=("tests",), keep_check=keep)
    a = world.push("A", takes=100)
    world.until(lambda: world.builds(a, Pipeline.CHECK)[0:] and world.timeline.now > 20)
    world.approve(a)
    world.settle()
    expected = Verdict.SUCCESS if keep else Verdict.CANCELLED
    assert [b.verdict for b in world.builds(a, Pipeline.CHECK)] == [expected]
    assert world.landed() == [a]


def _fail_host(world: World, ref: Ref) -> None:
    world.lose("host")
    world.restore("host", after=30.0)


ENDS: dict[str, Callable[[World, Ref], None]] = {
    "passed": lambda world, ref: None,
    "dequeued": World.dequeue,
    "abandoned": World.abandon,
    "amended": World.amend,
    "host lost": _fail_host,
}


@pytest.mark.parametrize("how", ENDS)
def test_22_a_semaphore_is_released_however_the_build_ends(how: str, rules: Rules) -> None:
    world = World(gate=(job("tests", semaphores=(("database", 1),)),), rules=rules)
    a, b = world.push("A", land=True), world.push("B")
    world.until(lambda: world.running(a))
    world.approve(b)
    world.run_for(1)
    assert not world.running(b)
    ENDS[how](world, a)
    world.settle()
    assert world.landed()[-1] == b


def test_22_builds_take_turns_at_a_semaphore(rules: Rules) -> None:
    world = World(gate=(job("tests", semaphores=(("database", 1),)),), rules=rules)
    refs = three(world, breaks={"tests"})
    most = 0
    while len(world.landed()) < 2:
        world.run_for(0.5)
        most = max(most, sum(world.verdicts(ref).count("running") for ref in refs))
    assert most == 1


def test_23_a_window_bounds_what_runs(rules: Rules) -> None:
    world = World(rules={**rules, "window": 2, "window_floor": 1})
    refs = [world.push(name, takes=100, land=True) for name in "ABCD"]
    world.run_for(50)
    assert [world.running(ref) for ref in refs] == [True, True, False, False]
    assert "window" in world.wait(refs[2])
    world.settle()
    assert world.landed() == refs


def test_23_a_window_grows_with_landings_and_shrinks_with_failures(rules: Rules) -> None:
    world = World(rules={**rules, "window": 4, "window_floor": 2, "window_ceiling": 5})
    widths = []
    for name in ("A", "B", "bad C", "bad D", "E"):
        world.push(name, breaks={"tests"} if "bad" in name else (), land=True)
        world.settle()
        widths.append(world.queue_row().window)
    assert widths == [5, 5, 2, 2, 3]


def test_23_a_dependent_pair_that_fails_leaves_together(rules: Rules) -> None:
    """It narrows the window once."""
    world = World(rules={**rules, "window": 8, "window_floor": 1})
    a = world.push("A", breaks={"tests"})
    b = world.push("B", on=a)
    world.approve(a, b)
    world.settle()
    assert world.rejected() == {a: "build-failed"}
    assert world.removed() == {b: "needs-left"}
    assert world.queue_row().window == 4


# Across projects.


def test_24_a_dependency_in_another_project_lands_first(rules: Rules) -> None:
    world = shared(rules=rules)
    a = world.push("A", project="lib")
    b = world.push("B", project="app", depends_on=[a])
    world.approve(b)
    world.settle()
    assert world.queue() == []
    world.approve(a)
    world.settle()
    assert world.landed() == [a, b]
    assert (world.head("lib"), world.head("app")) == ({"lib-first", "A"}, {"app-first", "B"})


def test_24_a_failing_dependency_takes_its_dependents_along(rules: Rules) -> None:
    world = shared(rules=rules)
    a = world.push("A", project="lib", breaks={"tests"})
    b = world.push("B", project="app", depends_on=[a])
    c = world.push("C", project="app")
    world.approve(a, b, c)
    world.settle()
    assert world.landed() == [c]
    assert world.rejected() == {a: "build-failed"}
    assert world.removed() == {b: "needs-left"}


def test_24_two_projects_that_do_not_go_together(rules: Rules) -> None:
    """B of one project is bad with A of the other, so it does not land behind it."""
    world = shared(rules=rules)
    a = world.push("A", project="lib")
    b = world.push("B", project="app", clashes={"A"})
    world.approve(a, b)
    world.settle()
    assert world.landed() == [a]
    assert world.rejected() == {b: "build-failed"}


def test_25_a_dependency_in_another_queue_has_to_land_first(rules: Rules) -> None:
    world = World(projects=("lib", "app"), rules=rules)
    a = world.push("A", project="lib")
    b = world.push("B", project="app", depends_on=[a])
    world.approve(b)
    world.settle()
    why = admission.why_not(world.rows, world.change(b))
    assert (
        why
        == f"needs #{a.id}, which has to land first, as it goes through another queue (queue lib)"
    )
    world.approve(a)
    world.settle()
    assert world.landed() == [a, b]


def test_26_a_triangle_lands_once_each(rules: Rules) -> None:
    """C stands on B, and both depend on A of another project."""
    world = shared(rules=rules)
    a = world.push("A", project="lib")
    b = world.push("B", project="app", depends_on=[a])
    c = world.push("C", on=b, depends_on=[a])
    world.approve(c, b, a)
    world.settle()
    assert world.landed() == [a, b, c]
    assert all(len(world.builds(ref)) == 1 for ref in (a, b, c))


def circle(world: World, **a: Any) -> tuple[Ref, Ref]:
    """A of `lib` and B of `app` need each other."""
    one = world.push("A", project="lib", **a)
    other = world.push("B", project="app", depends_on=[one])
    world.amend(one, depends_on=[other])
    world.approve(one, other)
    return one, other


def test_27_a_circle_is_refused(rules: Rules) -> None:
    world = shared(rules=rules)
    a, b = circle(world)
    world.settle()
    assert world.queue() == []
    assert world.landed() == []
    why = admission.why_not(world.rows, world.change(a))
    assert why == f"needs itself, which is not allowed: {a.id} → {b.id} → {a.id}"


def test_27_a_circle_lands_as_one(rules: Rules) -> None:
    """Where the queue allows it."""
    world = shared(rules={**rules, "cycles": True})
    a, b = circle(world)
    c = world.push("C", project="app", land=True)
    world.settle()
    assert set(world.landed()[:2]) == {a, b}
    assert world.landed()[2:] == [c]
    assert world.item(a).lands_with == world.item(b).lands_with


def test_27_a_circle_fails_as_one(rules: Rules) -> None:
    world = shared(rules={**rules, "cycles": True})
    a, b = circle(world, breaks={"tests"})
    c = world.push("C", project="app", land=True)
    world.settle()
    assert world.landed() == [c]
    assert set(world.rejected()) | set(world.removed()) == {a, b}


def test_27_a_circle_is_refused_a_landing_as_one(rules: Rules) -> None:
    """One of its branches has moved: neither lands before both are proved again."""
    world = shared(rules={**rules, "cycles": True})
    a, b = circle(world)
    world.until(lambda: world.has("item.landing"))
    world.push_around("around", project="app", seen=False)
    world.until(lambda: world.has("item.landing-refused"))
    assert world.landed() == []
    assert world.head("lib") == {"lib-first"}
    world.settle()
    assert set(world.landed()) == {a, b}
    assert world.head("app") == {"app-first", "around", "B"}


# Operators.


def test_28_promoted_changes_go_first(rules: Rules) -> None:
    """They keep the time at which they entered; all others keep their order."""
    world = World(rules=rules)
    refs = [world.push(name, takes=100, land=True) for name in "ABCD"]
    a, b, c, d = refs
    world.run_for(10)
    entered = {ref: world.item(ref).enqueued_at for ref in refs}
    world.promote(d, b)
    world.run_for(1)
    assert world.queue() == [d, b, a, c]
    assert {ref: world.item(ref).enqueued_at for ref in refs} == entered
    world.settle()
    assert world.landed() == [d, b, a, c]


def test_28_an_unchanged_front_is_not_disturbed(rules: Rules) -> None:
    world = World(rules=rules)
    a, b, c = (world.push(name, takes=100, land=True) for name in "ABC")
    world.run_for(50)
    world.promote(a, c)
    world.settle()
    assert world.landed() == [a, c, b]
    assert world.verdicts(a) == ["success"]


def test_28_what_a_promoted_change_needs_goes_ahead_of_it(rules: Rules) -> None:
    world = World(rules=rules)
    a = world.push("A", takes=100)
    b = world.push("B", takes=100)
    c = world.push("C", on=b, takes=100)
    world.approve(a, b, c)
    world.run_for(10)
    world.promote(c)
    world.settle()
    assert world.landed() == [b, c, a]


MOMENTS: dict[str, Callable[[World, Ref], object]] = {
    "just entered": lambda world, ref: world.queue() == [ref],
    "starting": lambda world, ref: "starting" in world.verdicts(ref),
    "running": World.running,
    "failed once": lambda world, ref: "failure" in world.verdicts(ref),
    "on the rerun": lambda world, ref: (
        world.verdicts(ref)[-1:] == ["running"] and "failure" in world.verdicts(ref)
    ),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_29_a_dequeue_works_at_any_time(moment: str, rules: Rules) -> None:
    world = World(rules=rules)
    a = world.push("A", breaks={"tests"}, land=True)
    world.until(lambda: MOMENTS[moment](world, a))
    world.dequeue(a)
    b = world.push("B", land=True)
    world.settle()
    assert world.removed() == {a: "dequeued"}
    assert world.landed() == [b]


def test_30_a_new_configuration_keeps_what_it_does_not_change() -> None:
    """It lands while the queue is full: only the job that it changes runs again."""
    tests, lint = job("tests", inputs=("src/*",)), job("lint", inputs=("src/*",))
    world = World(gate=(tests, lint))
    world.close("to fill the queue")
    a = world.push("A", touches={"src/a"}, land=True)
    b = world.push("B", touches={"src/b"}, land=True)
    world.run_for(100)
    assert sorted(world.ran(b)) == ["lint", "tests"]
    stricter = job("lint", run="lint --strict", inputs=("src/*",))
    world.push_around("config", touches=frozenset({".cupel.yaml"}), jobs=(tests, stricter))
    world.run_for(100)
    world.open()
    world.settle()
    assert world.landed() == [a, b]
    for ref in (a, b):
        assert sorted(world.ran(ref)) == ["lint", "lint", "tests"]


def test_31_nothing_lands_while_the_tree_is_closed(rules: Rules) -> None:
    """Items are proved all the same, and say why they wait."""
    world = World(rules=rules)
    world.close("a release is being made")
    refs = three(world)
    world.run_for(300)
    assert world.landed() == []
    assert [world.verdicts(ref) for ref in refs] == [["success"]] * 3
    assert all("a release is being made" in world.wait(ref) for ref in refs)
    world.open()
    world.settle()
    assert world.landed() == list(refs)
    assert [world.verdicts(ref) for ref in refs] == [["success"]] * 3


# What Zuul's list lacks.


@pytest.fixture(params=[STRICT, SET], ids=["strict", "set"])
def modern(request: pytest.FixtureRequest) -> Rules:
    return dict(request.param)


def test_32_a_job_that_fails_everywhere_rejects_nobody(rules: Rules) -> None:
    """It fails without the change as well: the change waits, and lands when all is mended."""
    world = World(rules=rules)
    world.break_main("tests")
    a, b = world.push("A", land=True), world.push("B", land=True)
    world.run_for(3000)
    assert world.queue() == [a, b]
    assert "broken" in world.wait(a)
    assert "failure" in [str(x.verdict) for r in (a, b) for x in world.builds(r, role=Role.BASE)]
    world.mend_main()
    world.settle()
    assert world.landed() == [a, b]


def test_32_a_broken_branch_holds_changes_until_it_moves(modern: Rules) -> None:
    """Somebody broke it around the gate; what repairs it lands, and then all the others."""
    world = World(rules=modern)
    world.push_around("bad", breaks=frozenset({"tests"}))
    a = world.push("A", land=True)
    world.run_for(1000)
    assert world.queue() == [a]
    fix = world.push("fix", repairs={"bad"}, land=True)
    world.settle()
    assert set(world.landed()) == {fix, a}
    assert world.rejected() == {}


def test_32_what_a_failing_job_does_not_read_is_not_to_blame(rules: Rules) -> None:
    """Neither change touches what the job reads, so it fails on the branch itself."""
    world = World(gate=(job("tests", inputs=("docs/*",)),), rules=rules)
    world.break_main("tests")
    a = world.push("A", touches={"src/a"}, land=True)
    b = world.push("B", touches={"src/b"}, land=True)
    world.run_for(300)
    assert world.rejected() == {}
    world.mend_main()
    world.settle()
    assert world.landed() == [a, b]


def test_32_who_brings_a_job_answers_for_it(rules: Rules) -> None:
    """The branch does not have the job, so it cannot be what is broken: the change is rejected,
    and what is behind it lands."""
    world = World(rules=rules)
    a = world.push("A", jobs=(job("tests"), job("new")), breaks={"new"}, land=True)
    b = world.push("B", land=True)
    world.settle()
    assert world.rejected() == {a: "build-failed"}
    assert world.landed() == [b]
    (left,) = [each for each in world.rows.all(Item) if each.conviction is not None]
    assert left.conviction is not None
    assert (left.conviction.job, left.conviction.new) == ("new", True)
    assert left.conviction.witness is None
    assert str(left.detail).endswith("and the branch does not have this job")


def test_32_who_is_rejected_can_see_what_cleared_the_branch(rules: Rules) -> None:
    world = World(rules=rules)
    a = world.push("A", breaks={"tests"}, land=True)
    world.settle()
    (left,) = [each for each in world.rows.all(Item) if each.conviction is not None]
    assert left.conviction is not None
    witness = world.rows.find(Build, left.conviction.witness)
    assert witness is not None
    assert witness.verdict is not Verdict.FAILURE
    assert witness.id not in left.conviction.failures
    failed = [build.id for build in world.builds(a) if build.verdict is Verdict.FAILURE]
    assert list(left.conviction.failures) == failed


def test_33_a_flake_is_not_the_changes_fault(rules: Rules) -> None:
    """It fails and then passes on the same state: it lands, and the job is known to flake."""
    world = World(rules=rules)
    world.flake("tests")
    a = world.push("A", land=True)
    world.settle()
    assert world.landed() == [a]
    assert world.verdicts(a) == ["failure", "success"]
    project = world.change(a).project_id
    tests, author = (world.rows.history(project, s) for s in ("job tests", "author ada"))
    assert tests is not None
    assert tests.flakes > 0
    assert author is None or author.failures == 0


def test_34_a_sick_host_rejects_nobody(rules: Rules) -> None:
    """Every build on one host fails in its first second: it is quarantined, and heals."""
    world = World(hosts=("north", "south"), slots=3, rules=rules)
    world.sicken("north")
    refs = [world.push(name, land=True) for name in "ABCDEF"]
    world.settle()
    assert world.landed() == refs
    assert world.rejected() == {}
    assert world.has("host.quarantined")
    world.heal("north")
    world.run_for(4000)
    for name in "GHIJKL":
        world.push(name, land=True)
    world.settle()
    assert {host.strikes for host in world.rows.all(Host)} == {0}


def test_35_a_checked_change_on_the_head_lands_at_once(rules: Rules) -> None:
    """What passed in `check` on the very same state is not run again."""
    world = World(check=("tests",), rules=rules)
    a = world.push("A")
    world.settle()
    began = world.timeline.now
    world.approve(a)
    world.until(lambda: world.landed() == [a])
    assert world.timeline.now - began < 2.0
    assert world.ran(a) == []
    world.settle()


def test_36_an_urgent_change_goes_to_the_front(rules: Rules) -> None:
    """The rest keeps its order."""
    world = World(rules=rules)
    refs = [world.push(name, takes=100, land=True) for name in "ABC"]
    fix = world.push("fix")
    world.run_for(10)
    world.urgent(fix)
    world.approve(fix)
    world.until(lambda: fix in world.queue())
    assert world.queue() == [fix, *refs]
    world.settle()
    assert world.landed() == [fix, *refs]


def test_36_a_change_becomes_urgent_in_the_queue(rules: Rules) -> None:
    world = World(rules=rules)
    a, b, c = (world.push(name, takes=100, land=True) for name in "ABC")
    world.run_for(10)
    world.urgent(c)
    world.settle()
    assert world.landed() == [c, a, b]


@pytest.mark.parametrize("moment", range(1, 60))
def test_37_the_server_is_killed_at_any_moment(moment: int, rules: Rules) -> None:
    """On restart no item is lost, none lands twice, no machine leaks, no pass is run again."""
    world = World(gate=("lint", "tests"), post=("tests",), rules=rules)
    a, b, c = three(world, breaks={"tests"})
    world.die_at(moment)
    world.settle()
    assert world.server.deaths == 1
    assert world.landed() == [a, c]
    assert world.rejected() == {b: "build-failed"}
    assert_no_pass_is_run_again(world)


@pytest.mark.parametrize("moment", range(1, 60, 3))
def test_37_the_server_is_killed_while_projects_land_together(moment: int, rules: Rules) -> None:
    world = shared(rules={**rules, "cycles": True})
    a, b = circle(world)
    world.die_at(moment)
    world.settle()
    assert world.server.deaths == 1
    assert set(world.landed()) == {a, b}
    assert_no_pass_is_run_again(world)


def assert_no_pass_is_run_again(world: World) -> None:
    ran = [
        build.key
        for item in world.rows.all(Item)
        if item.pipeline is Pipeline.GATE
        for state in world.rows.buildsets(item.id)
        if state.role is Role.PROOF
        for build in world.rows.builds(state.id)
        if build.verdict is Verdict.SUCCESS and build.machine_id is not None
    ]
    assert len(ran) == len(set(ran))


# Beyond the list.


def test_what_takes_too_long_is_tried_again_and_leaves(rules: Rules) -> None:
    """Nobody else is blamed for it."""
    world = World(gate=(job("tests", timeout=60.0),), attempts=2, rules=rules)
    a, b, c = three(world, hangs={"tests"})
    world.settle()
    assert world.landed() == [a, c]
    assert world.rejected() == {b: "timed-out"}
    assert world.verdicts(b)[-2:] == ["timeout", "timeout"]


def test_approvals_are_not_asked_for() -> None:
    """With no approval to give, a passed check is the request to land."""
    world = World(approvals=0, check=("tests",))
    good, bad = world.push("A"), world.push("B", breaks={"tests"})
    world.settle()
    assert world.landed() == [good]
    assert bad not in world.rejected()


def test_the_first_commits_of_an_unborn_branch(rules: Rules) -> None:
    """The first is proved as it is, the second on top of it."""
    world = World(born=False, rules=rules)
    a, b = world.push("A", land=True), world.push("B", land=True)
    world.until(lambda: world.running(b))
    assert (world.proved_on(a), world.proved_on(b)) == (None, ["A"])
    world.settle()
    assert world.landed() == [a, b]
    assert world.head() == {"A", "B"}


def test_the_first_of_two_first_commits_is_bad(rules: Rules) -> None:
    world = World(born=False, rules=rules)
    a, b = world.push("A", breaks={"tests"}, land=True), world.push("B", land=True)
    world.settle()
    assert world.landed() == [b]
    assert world.rejected() == {a: "build-failed"}


def test_no_jobs(rules: Rules) -> None:
    """A gate without jobs has nothing to prove but that it merges."""
    world = World(gate=(), rules=rules)
    a, b, c = three(world, conflicts={"A"})
    world.settle()
    assert world.landed() == [a, c]
    assert world.rejected() == {b: "conflict"}


def test_a_bad_configuration_is_its_changes_alone(rules: Rules) -> None:
    world = World(rules=rules)
    a, b, c = three(world, misconfigured=True)
    world.settle()
    assert world.landed() == [a, c]
    assert world.rejected() == {b: "misconfigured"}


def test_what_needs_a_failed_job_is_skipped(rules: Rules) -> None:
    """Every job reports, and a voting job that could not run has not passed."""
    lint = job("lint", voting=False)
    packs = job("package", needs=("lint",)), job("upload", needs=("package",))
    world = World(gate=(lint, *packs), rules=rules)
    a = world.push("A", breaks={"lint"}, land=True)
    world.settle()
    assert world.verdicts(a).count("skipped") == 2
    assert world.rejected() == {a: "build-failed"}


def test_two_changes_that_are_good_alone_and_bad_together(rules: Rules) -> None:
    world = World(rules=rules)
    a, b, c = three(world, clashes={"A"})
    world.settle()
    assert world.landed() == [a, c]
    assert world.rejected() == {b: "build-failed"}


def test_a_new_patch_set_while_the_old_one_lands(rules: Rules) -> None:
    """The branch has the old one; the new one came too late."""
    world = World(rules=rules)
    a = world.push("A", land=True)
    world.until(lambda: world.has("item.landing"))
    world.amend(a)
    world.settle()
    assert world.landed() == [a]
    assert world.change(a).patch_set == 1


def test_a_dequeue_of_a_change_that_others_need(rules: Rules) -> None:
    world = World(rules=rules)
    a = world.push("A")
    b = world.push("B", on=a)
    c = world.push("C")
    world.approve(a, b, c)
    world.until(lambda: world.running(c))
    world.dequeue(a)
    world.settle()
    assert world.landed() == [c]
    assert world.removed() == {a: "dequeued", b: "needs-left"}


def test_a_host_comes_back_with_its_machines(rules: Rules) -> None:
    """Their builds are over and run again; the machines are deleted."""
    world = World(slots=2, rules=rules)
    a = world.push("A", land=True)
    world.until(lambda: world.running(a))
    world.lose("host", keeping_machines=True)
    world.restore("host", after=1.0)
    world.settle()
    assert world.landed() == [a]
    assert world.verdicts(a) == ["infra", "success"]


def test_landed_trees_are_tested_trees() -> None:
    world = World()
    a, b, c = three(world)
    world.settle()
    heads = list(world.branches().values())
    assert heads == [world.change(c).landed_commit]
    assert world.change(a).landed_commit != world.change(b).landed_commit
    assert world.rows.all(Project)[0].name == "project"
    assert all(build.state is BuildState.FINISHED for build in world.builds(a))
