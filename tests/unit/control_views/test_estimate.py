"""When items are expected to land, and what is said where nobody knows."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cupel.control import views
from cupel.core.model import (
    Buildset,
    BuildsetState,
    BuildState,
    HostState,
    Item,
    ItemState,
    Landing,
    MachineState,
    Pipeline,
    Project,
    Verdict,
)
from fakes import rows
from fakes.rows import World, job, oid

JOBS = (job("tests"), job("lint"))


class Story:
    """A gate of one project on one host, whose jobs have records."""

    def __init__(self, slots: int = 2, **rules: object) -> None:
        self.world = World()
        self.queue = self.world.queue("demo", **rules)
        self.project = self.world.project("demo", head=oid("head"), queue=self.queue)
        self.host = self.world.host("forge", slots)
        self.top = oid("head")

    def record(self, name: str, seconds: float, project: Project | None = None) -> None:
        self.world.record(project or self.project, name, seconds, passes=20.0)

    def item(self, title: str, jobs: tuple[rows.Job, ...] = JOBS, **how: object) -> Item:
        change = self.world.change(self.project, title)
        made = self.world.item(change, Pipeline.GATE, onto=self.top, jobs=jobs, **how)  # type: ignore[arg-type]
        if how.get("set_state", BuildsetState.READY) is BuildsetState.READY:
            self.top = self.world.head_of(made)
        return made

    def runs(self, item: Item, name: str, ran: float) -> None:
        machine = self.world.machine(self.host, MachineState.USED)
        self.world.build(item, name, BuildState.RUNNING, machine=machine, ran=ran)

    def passed(self, item: Item, name: str) -> None:
        self.world.build(item, name, BuildState.FINISHED, Verdict.SUCCESS)

    def view(self) -> views.QueueView:
        async def read() -> views.QueueView:
            store = await self.world.store()
            async with store.read() as tx:
                return await views.queue_view(tx, "demo", None, now=self.world.now)

        return asyncio.run(read())


@pytest.fixture
def story() -> Story:
    made = Story()
    made.record("tests", 100.0)
    made.record("lint", 10.0)
    return made


def told(item: views.ItemView) -> views.ItemEstimateView:
    assert item.estimate is not None
    return item.estimate


def test_a_queue_is_empty_when_its_last_item_has_landed(story: Story) -> None:
    one, two = story.item("one"), story.item("two")
    story.runs(one, "tests", 60.0)
    story.passed(one, "lint")
    story.runs(two, "tests", 0.0)
    view = story.view()
    first, second = view.gate
    assert told(first).proved == pytest.approx(40.0, abs=3.0)
    assert told(first).lands == told(first).proved
    assert told(first).share == pytest.approx(0.6, abs=0.03)
    assert told(second).lands == pytest.approx(100.0, abs=3.0)
    assert view.estimate.empties == told(second).lands
    assert view.estimate.machines == 2


def test_a_job_says_what_is_usual_and_what_is_left(story: Story) -> None:
    story.runs(story.item("one"), "tests", 60.0)
    tests, lint = story.view().gate[0].jobs
    assert tests.estimate is not None
    assert (tests.estimate.passes, tests.estimate.late) == (20, False)
    assert tests.estimate.usual == pytest.approx(100.0)
    assert tests.estimate.left == pytest.approx(40.0, abs=3.0)
    assert lint.estimate is not None
    assert (lint.estimate.left, lint.estimate.share) == (None, None)
    assert lint.estimate.usual == pytest.approx(10.0)


def test_a_job_that_takes_longer_than_most_is_late(story: Story) -> None:
    story.runs(story.item("one"), "tests", 200.0)
    estimate = story.view().gate[0].jobs[0].estimate
    assert estimate is not None
    assert estimate.late
    assert estimate.left is not None
    assert estimate.left > 0


def test_nobody_knows_how_long_a_new_job_takes_nor_those_behind_it(story: Story) -> None:
    new = (*JOBS, job("fuzz"))
    first = story.item("one")
    story.runs(first, "tests", 60.0)
    story.item("two", new)
    story.item("three")
    view = story.view()
    assert told(view.gate[0]).lands is not None
    assert told(view.gate[1]).lands is None
    assert told(view.gate[1]).unknown == (
        "fuzz has not passed here before, so nobody knows how long it takes"
    )
    assert told(view.gate[2]).lands is None
    assert view.estimate.empties is None
    assert view.estimate.unknown == told(view.gate[1]).unknown
    assert view.gate[1].jobs[2].estimate is None


def test_a_failing_item_holds_nobody_up(story: Story) -> None:
    bad, good = story.item("one"), story.item("two")
    story.world.build(bad, "tests", BuildState.FINISHED, Verdict.FAILURE)
    story.passed(good, "tests")
    story.passed(good, "lint")
    view = story.view()
    assert told(view.gate[0]).lands is None
    assert told(view.gate[0]).unknown == "it does not land as it stands"
    assert told(view.gate[1]).lands == 0.0
    assert view.estimate.empties == 0.0


def test_of_a_state_that_is_not_made_the_jobs_are_taken_to_be_like_those_ahead(
    story: Story,
) -> None:
    story.item("one")
    story.item("two", set_state=BuildsetState.PREPARING)
    first, second = story.view().gate
    assert told(second).lands == pytest.approx((told(first).lands or 0.0) + 20.0, abs=90.0)
    assert told(second).lands is not None


def test_where_no_jobs_are_known_nothing_is(story: Story) -> None:
    story.item("one", set_state=BuildsetState.PREPARING)
    assert told(story.view().gate[0]).unknown == "its jobs are not known until its state is made"


def test_without_a_host_nobody_knows(story: Story) -> None:
    story.item("one")
    story.world.put(replace(story.host, state=HostState.LOST))
    assert story.view().estimate.unknown == "no host takes builds now"


def test_a_closed_tree_has_no_end() -> None:
    story = Story(closed="the lab moves", closed_by="ada")
    story.record("tests", 100.0)
    story.record("lint", 10.0)
    story.item("one")
    view = story.view()
    assert told(view.gate[0]).proved is not None
    assert told(view.gate[0]).lands is None
    assert view.estimate.unknown == "the tree is closed"


def test_what_depends_on_the_same_is_run_once(story: Story) -> None:
    for title in ("one", "two", "three"):
        item = story.item(title)
        buildset = story.world.row(Buildset, item.buildset_id or 0)
        keys = (("tests", "t" * 64), ("lint", "l" * 64))
        story.world.put(replace(buildset, keys=keys))
    assert story.view().estimate.empties == pytest.approx(100.0)


def test_in_sets_an_item_lands_with_those_that_prove_it() -> None:
    story = Story(landing=Landing.SET)
    story.record("tests", 100.0)
    story.record("lint", 10.0)
    story.item("one")
    last = story.item("two")
    story.runs(last, "tests", 50.0)
    story.passed(last, "lint")
    first, second = story.view().gate
    assert told(first).lands == told(second).lands == pytest.approx(50.0, abs=3.0)
    assert (told(first).proved_by, told(second).proved_by) == (second.change, None)


def test_what_others_run_keeps_their_machines(story: Story) -> None:
    other = story.world.project("other", head=None)
    story.record("long", 1000.0, other)
    change = story.world.change(other, "elsewhere", approved=False)
    check = story.world.item(change, Pipeline.CHECK, jobs=(job("long"),))
    for _ in range(2):
        story.runs(check, "long", 0.0)
    story.item("one")
    assert story.view().estimate.empties == pytest.approx(1100.0, rel=0.05)


def test_nothing_is_said_of_an_empty_queue(story: Story) -> None:
    assert story.view().estimate == views.QueueEstimateView(empties=None, machines=2, unknown=None)


def test_a_landing_item_lands_now(story: Story) -> None:
    story.item("one", state=ItemState.LANDING)
    assert told(story.view().gate[0]).lands == 0.0


def test_a_narrow_window_says_why_it_is_narrow() -> None:
    story = Story(window=3, window_floor=2, window_ceiling=12)
    rejected = story.item("bad", state=ItemState.REJECTED)
    story.world.put(
        replace(rejected, reason=rows.Reason.BUILD_FAILED, finished_at=story.world.now - 5)
    )
    assert story.view().window == (
        "3 at a time: one more after each landing, 12 at most; half as many after each rejection,"
        f" last by #{rejected.change_id}, 2 at least"
    )
    assert Story().view().window is None
