"""What a gate does, one scenario a test, on the real core and engine in a simulated world."""

from __future__ import annotations

import pytest

from cupel.core.model import BuildState, MachineState, Pipeline, Project, Verdict
from cupel.simulate.faults import Faults
from cupel.simulate.findings import Ref
from cupel.simulate.world import World, job


def three(world: World, **b: object) -> tuple[Ref, Ref, Ref]:
    """A, B and C, approved in this order; `b` says what is special about B."""
    refs = world.push("A"), world.push("B", **b), world.push("C")  # type: ignore[arg-type]
    world.approve(*refs)
    return refs


def test_01_good_changes_land_in_order() -> None:
    """Each is tested with all items ahead of it; all land, in order, none is tested twice."""
    world = World()
    a, b, c = three(world)
    world.until(lambda: world.running(c))
    assert [world.proved_on(ref) for ref in (a, b, c)] == [[], ["A"], ["A", "B"]]
    world.settle()
    assert world.landed() == [a, b, c]
    assert [len(world.builds(ref)) for ref in (a, b, c)] == [1, 1, 1]


def test_02_the_head_fails() -> None:
    """Items behind abort and start again without it; the rest land."""
    world = World()
    a, b, c = world.push("A", breaks={"tests"}), world.push("B"), world.push("C")
    world.approve(a, b, c)
    world.settle()
    assert world.landed() == [b, c]
    assert world.rejected() == {a: "build-failed"}
    assert world.verdicts(b) == ["cancelled", "success"]
    assert world.verdicts(c) == ["cancelled", "success"]


def test_03_the_middle_fails() -> None:
    """Only items behind it reset; it keeps its place and reports when those ahead are done."""
    world = World()
    a, b, c = world.push("A", takes=100), world.push("B", breaks={"tests"}), world.push("C")
    world.approve(a, b, c)
    world.until(lambda: world.verdicts(b) == ["failure"])
    world.until(lambda: world.running(c) and world.proved_on(c) == ["A"])
    assert world.queue() == [a, b, c]
    assert world.running(a)
    world.settle()
    assert world.landed() == [a, c]
    assert world.rejected() == {b: "build-failed"}
    assert world.verdicts(a) == ["success"]


def test_04_a_reset_drops_queued_builds() -> None:
    """Builds that have not started are dropped too, and never get a machine."""
    world = World(slots=2)
    a, b, c = world.push("A", breaks={"tests"}), world.push("B", takes=100), world.push("C")
    world.approve(a, b, c)
    world.until(lambda: world.rejected() == {a: "build-failed"})
    [dropped] = [build for build in world.builds(c) if build.verdict is Verdict.CANCELLED]
    assert dropped.machine_id is None
    world.settle()
    assert world.landed() == [b, c]


def test_05_a_failure_is_forgiven_with_what_was_ahead() -> None:
    """B fails, C goes on without it; then A fails: B is tested on the head, C on B again."""
    world = World()
    a = world.push("A", breaks={"tests"}, takes=100)
    b, c = world.push("B"), world.push("C", takes=100)
    world.approve(a, b, c)
    world.until(lambda: world.verdicts(b) == ["failure"])
    world.until(lambda: world.running(c) and world.proved_on(c) == ["A"])
    world.until(lambda: world.rejected() == {a: "build-failed"})
    world.until(lambda: world.running(c))
    assert world.proved_on(b) == []
    assert world.proved_on(c) == ["B"]
    world.settle()
    assert world.landed() == [b, c]


def test_06_a_dequeue_stops_each_build_once() -> None:
    """A dequeue aborts each build once."""
    world = World(gate=("tests", "lint"))
    a = world.push("A", land=True)
    world.until(lambda: world.verdicts(a) == ["running", "running"])
    world.dequeue(a)
    world.settle()
    assert world.removed() == {a: "dequeued"}
    assert world.verdicts(a) == ["cancelled", "cancelled"]
    assert world.has("build.cancelling") == 2


def test_07_projects_do_not_wait_for_each_other() -> None:
    """Projects without a shared queue do not wait for each other."""
    world = World(projects=("one", "two"))
    slow = world.push("A", project="one", takes=1000, land=True)
    quick = world.push("B", project="two", land=True)
    world.until(lambda: world.landed() == [quick])
    assert world.running(slow)
    world.settle()


def test_08_a_stack_enters_dependencies_first() -> None:
    """A stack is enqueued dependencies first; history that has landed is not walked."""
    world = World()
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


def test_10_an_approval_is_withdrawn_in_the_queue() -> None:
    """Nothing lands that lacks a required approval, also one withdrawn in the queue."""
    world = World()
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


def test_11_a_conflict_is_reported() -> None:
    """What conflicts with an item ahead reports the conflict; items behind go on."""
    world = World()
    a, b, c = three(world, conflicts={"A"})
    world.settle()
    assert world.landed() == [a, c]
    assert world.rejected() == {b: "conflict"}
    assert world.verdicts(c) == ["success"]


def test_11_a_conflict_with_what_leaves_is_forgiven() -> None:
    world = World()
    a = world.push("A", breaks={"tests"})
    b = world.push("B", conflicts={"A"})
    world.approve(a, b)
    world.settle()
    assert world.landed() == [b]


def test_12_a_conflict_arises_later() -> None:
    """A conflict that arises because something else landed is reported too."""
    world = World()
    a = world.push("A", conflicts={"around"}, land=True)
    world.until(lambda: world.running(a))
    world.push_around("around")
    world.settle()
    assert world.rejected() == {a: "conflict"}


def test_13_dependents_of_a_failure_leave_untested() -> None:
    """When a change fails, those that depend on it leave; unrelated items go on."""
    world = World()
    slow = world.push("S", takes=100)
    a = world.push("A", breaks={"tests"})
    b = world.push("B", on=a, takes=100)
    c = world.push("C", on=b, takes=100)
    d = world.push("D")
    world.approve(slow, a, b, c, d)
    world.settle()
    assert world.landed() == [slow, d]
    assert world.rejected() == {a: "build-failed"}
    assert world.removed() == {b: "needs-left", c: "needs-left"}
    assert {*world.verdicts(b), *world.verdicts(c)} == {"cancelled"}


@pytest.mark.parametrize("place", [0, 1])
def test_14_a_new_patch_set_takes_the_old_one_out(place: int) -> None:
    """With what depends on it; at the head of the queue too."""
    world = World()
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


def test_15_an_abandoned_change_leaves() -> None:
    """An abandoned change leaves and its builds stop."""
    world = World()
    a, b, c = three(world)
    world.until(lambda: world.running(c))
    world.abandon(b)
    world.settle()
    assert world.landed() == [a, c]
    assert world.removed() == {b: "abandoned"}
    assert world.verdicts(b) == ["cancelled"]


def test_16_a_cancelled_start_leaks_nothing() -> None:
    """Cancelling a build while its machine is starting leaks neither the machine nor the slot."""
    world = World(slots=1)
    a = world.push("A", land=True)
    world.until(lambda: world.verdicts(a) == ["starting"])
    world.dequeue(a)
    world.settle()
    assert {machine.state for machine in world.machines()} == {MachineState.GONE}
    b = world.push("B", land=True)
    world.settle()
    assert world.landed() == [b]


def test_17_a_non_voting_job_never_blocks() -> None:
    """A non-voting job never blocks, and is never the reason for a reset."""
    world = World(gate=("tests", job("lint", voting=False)))
    a, b, c = three(world, breaks={"lint"})
    world.settle()
    assert world.landed() == [a, b, c]
    assert world.has("item.reset") == 0
    assert "failure" in world.verdicts(b)


def test_18_a_failure_stops_the_other_builds() -> None:
    """When a voting job fails, the item's other builds stop, and the item keeps its place."""
    world = World(gate=("lint", "tests"))
    world.durations["tests"] = 500.0
    a = world.push("A", takes=100, land=True)
    b = world.push("B", breaks={"lint"}, land=True)
    world.until(lambda: world.verdicts(b) == ["failure", "cancelled"])
    assert world.queue() == [a, b]
    world.settle()
    assert world.rejected() == {b: "build-failed"}


def test_18_a_failure_that_does_not_count_stops_nothing() -> None:
    """Neither a non-voting failure nor one that will be retried stops the others."""
    world = World(gate=(job("lint", voting=False), "tests"))
    world.durations["tests"] = 500.0
    a = world.push("A", breaks={"lint"}, land=True)
    world.until(lambda: "failure" in world.verdicts(a))
    world.run_for(10)
    assert world.verdicts(a) == ["failure", "running"]
    world.settle()
    assert world.landed() == [a]


def test_19_a_build_of_a_lost_host_runs_elsewhere() -> None:
    """A build whose host is lost runs again elsewhere."""
    world = World(hosts=("north", "south"))
    a = world.push("A", land=True)
    world.until(lambda: world.running(a))
    world.lose(world.host_of(a))
    world.settle()
    assert world.landed() == [a]
    assert world.verdicts(a) == ["infra", "success"]
    hosts = [world.host_of(a, build) for build in world.builds(a)]
    assert hosts[0] != hosts[1]


def test_19_up_to_a_limit() -> None:
    """After so many attempts it is reported as infrastructure, not as the change's failure."""
    world = World(faults=Faults(infra=1.0), attempts=3)
    a = world.push("A", land=True)
    world.settle()
    assert world.verdicts(a) == ["infra", "infra", "infra"]
    assert world.rejected() == {a: "infrastructure"}


@pytest.mark.parametrize("seen", [True, False])
def test_20_the_branch_moved_under_us(seen: bool) -> None:
    """Somebody pushed around the gate: the landing is refused, and proved again on the head."""
    world = World()
    a = world.push("A", land=True)
    world.until(lambda: world.has("item.landing"))
    world.push_around("around", seen=seen)
    world.settle()
    assert world.landed() == [a]
    assert world.proved_on(a) == ["around"]
    assert world.head() == {"project-first", "around", "A"}
    assert world.has("item.landing-refused") == 1


def test_20_the_branch_moved_twice() -> None:
    world = World()
    a = world.push("A", land=True)
    for count in (1, 2):
        world.until(lambda count=count: world.has("item.landing") == count)
        world.push_around(f"around{count}", seen=False)
    world.settle()
    assert world.landed() == [a]
    assert world.has("item.landing-refused") == 2


def test_21_entering_the_gate_ends_the_check() -> None:
    """Entering the gate ends the change's `check` builds."""
    world = World(check=("tests",))
    a = world.push("A", takes=100)
    world.until(lambda: world.builds(a, Pipeline.CHECK)[0:] and world.timeline.now > 20)
    world.approve(a)
    world.settle()
    assert [b.verdict for b in world.builds(a, Pipeline.CHECK)] == [Verdict.CANCELLED]
    assert world.landed() == [a]


@pytest.mark.parametrize("moment", range(1, 40))
def test_37_the_server_is_killed_at_any_moment(moment: int) -> None:
    """On restart no item is lost, none lands twice, no machine leaks, no pass is run again."""
    world = World(gate=("lint", "tests"), post=("tests",))
    a, b, c = three(world, breaks={"tests"})
    world.die_at(moment)
    world.settle()
    assert world.server.deaths == 1
    assert world.landed() == [a, c]
    assert world.rejected() == {b: "build-failed"}
    for ref in (a, c):
        passed = [
            (build.buildset_id, build.job)
            for build in world.builds(ref)
            if build.verdict is Verdict.SUCCESS
        ]
        assert len(passed) == len(set(passed))


# Beyond the list.


def test_approvals_are_not_asked_for() -> None:
    """With no approval to give, a passed check is the request to land."""
    world = World(approvals=0, check=("tests",))
    good, bad = world.push("A"), world.push("B", breaks={"tests"})
    world.settle()
    assert world.landed() == [good]
    assert bad not in world.rejected()


def test_the_first_commits_of_an_unborn_branch() -> None:
    """The first is proved as it is, the second on top of it."""
    world = World(born=False)
    a, b = world.push("A", land=True), world.push("B", land=True)
    world.until(lambda: world.running(b))
    assert (world.proved_on(a), world.proved_on(b)) == (None, ["A"])
    world.settle()
    assert world.landed() == [a, b]
    assert world.head() == {"A", "B"}


def test_the_first_of_two_first_commits_is_bad() -> None:
    world = World(born=False)
    a, b = world.push("A", breaks={"tests"}, land=True), world.push("B", land=True)
    world.settle()
    assert world.landed() == [b]
    assert world.rejected() == {a: "build-failed"}


def test_no_jobs() -> None:
    """A gate without jobs has nothing to prove but that it merges."""
    world = World(gate=())
    a, b, c = three(world, conflicts={"A"})
    world.settle()
    assert world.landed() == [a, c]
    assert world.rejected() == {b: "conflict"}


def test_a_bad_configuration_is_its_changes_alone() -> None:
    world = World()
    a, b, c = three(world, misconfigured=True)
    world.settle()
    assert world.landed() == [a, c]
    assert world.rejected() == {b: "misconfigured"}


def test_what_needs_a_failed_job_is_skipped() -> None:
    """Every job reports, and a voting job that could not run has not passed."""
    lint = job("lint", voting=False)
    world = World(gate=(lint, job("package", needs=("lint",)), job("upload", needs=("package",))))
    a = world.push("A", breaks={"lint"}, land=True)
    world.settle()
    assert world.verdicts(a) == ["failure", "skipped", "skipped"]
    assert world.rejected() == {a: "build-failed"}


def test_two_changes_that_are_good_alone_and_bad_together() -> None:
    world = World()
    a, b, c = three(world, clashes={"A"})
    world.settle()
    assert world.landed() == [a, c]
    assert world.rejected() == {b: "build-failed"}


def test_a_new_patch_set_while_the_old_one_lands() -> None:
    """The branch has the old one; the new one came too late."""
    world = World()
    a = world.push("A", land=True)
    world.until(lambda: world.has("item.landing"))
    world.amend(a)
    world.settle()
    assert world.landed() == [a]
    assert world.change(a).patch_set == 1


def test_a_dequeue_of_a_change_that_others_need() -> None:
    world = World()
    a = world.push("A")
    b = world.push("B", on=a)
    c = world.push("C")
    world.approve(a, b, c)
    world.until(lambda: world.running(c))
    world.dequeue(a)
    world.settle()
    assert world.landed() == [c]
    assert world.removed() == {a: "dequeued", b: "needs-left"}


def test_a_host_comes_back_with_its_machines() -> None:
    """Their builds are over and run again; the machines are deleted."""
    world = World(slots=2)
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
