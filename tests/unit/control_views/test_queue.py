import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from cupel.control import views
from cupel.core.model import (
    BuildsetState,
    BuildState,
    ItemState,
    Pipeline,
    Reason,
    Role,
    Row,
    Verdict,
)
from cupel.errors import NotFound
from cupel.report import messages
from cupel.store.interface import Transaction
from unit.control_views import world

T = TypeVar("T")


def read(directory: Path, ask: Callable[[Transaction], Awaitable[T]], *more: Row) -> T:
    async def run() -> T:
        made = await world.make(directory)
        await made.put(*more)
        async with made.store.read() as tx:
            return await ask(tx)

    return asyncio.run(run())


def queue(directory: Path, *more: Row) -> views.QueueView:
    return read(directory, lambda tx: views.queue_view(tx, "demo", "main", now=world.NOW), *more)


def test_the_gate_stands_in_landing_order_with_what_each_item_is_proved_on(tmp_path: Path) -> None:
    gate = queue(tmp_path).gate
    assert [item.change for item in gate] == [21, 22, 23]
    proofs = [item.proof for item in gate if item.proof]
    assert [proof.ahead for proof in proofs] == [[], [21], [21, 22]]
    assert proofs[1].onto == proofs[0].commit
    assert proofs[0].onto == world.HEAD


def test_each_item_says_how_it_is_and_what_it_waits_for(tmp_path: Path) -> None:
    first, second, third = queue(tmp_path).gate
    assert (first.status, first.waiting) == ("passed", None)
    assert (second.status, second.waiting) == ("running", "0 of 2 jobs done")
    assert (third.status, third.waiting) == ("preparing", "being merged")
    assert second.seconds == 1000.0


def test_a_job_shows_its_newest_attempt(tmp_path: Path) -> None:
    tests, lint = queue(tmp_path).gate[1].jobs
    assert (tests.build, tests.attempt, tests.icon, tests.seconds) == (223, 2, "running", 100.0)
    assert (lint.state, lint.waiting) == ("queued", "waiting for a machine: debian-12")


def test_what_left_the_gate_is_recent_newest_first_and_says_why(tmp_path: Path) -> None:
    landed, rejected = queue(tmp_path).recent
    assert (landed.change, landed.status) == (20, "landed")
    assert rejected.reason is Reason.BUILD_FAILED
    assert rejected.text == "lint failure"
    assert [(job.icon, job.waiting) for job in rejected.jobs] == [
        ("skipped", None),
        ("failure", None),
    ]


def test_a_failure_behind_others_waits_to_be_believed(tmp_path: Path) -> None:
    failed = world.finished(world.build(224, 122, 22, world.LINT), Verdict.FAILURE)
    item = queue(tmp_path, failed).gate[1]
    assert item.status == "failed"
    assert item.waiting == "a job failed; believed when #21 ahead is done"


def test_a_rerun_that_was_cancelled_leaves_the_failure_before_it(tmp_path: Path) -> None:
    """Not a pass, though all its builds have finished."""
    failed = world.finished(world.build(224, 122, 22, world.LINT), Verdict.FAILURE)
    again = world.finished(world.build(225, 122, 22, world.LINT, attempt=2), Verdict.CANCELLED)
    passed = world.finished(world.build(226, 122, 22, world.TESTS, attempt=3), Verdict.SUCCESS)

    def status(name: str, *rows: Row) -> list[str]:
        found = read(
            tmp_path / name, lambda tx: views.queue_view(tx, "demo", "main", now=1e4), *rows
        )
        return [each.status for each in found.gate if each.change == 22]

    assert status("again", failed, again, passed) == ["failed"]
    assert status("once", replace(failed, verdict=Verdict.CANCELLED), passed) == ["waiting"]


def test_a_job_that_does_not_vote_fails_nobody(tmp_path: Path) -> None:
    quiet = replace(world.LINT, voting=False)
    item = queue(
        tmp_path,
        world.buildset(122, 22, world.sha(5121), jobs=(world.TESTS, quiet)),
        world.finished(world.build(224, 122, 22, quiet), Verdict.FAILURE),
    ).gate[1]
    assert item.status == "running"


def test_a_job_says_which_jobs_it_needs(tmp_path: Path) -> None:
    row = world.buildset(122, 22, world.sha(5121), jobs=(world.LINT, world.PUBLISH))
    publish = queue(tmp_path, row).gate[1].jobs[1]
    assert (publish.state, publish.waiting) == ("waiting", "needs lint")


@pytest.mark.parametrize(
    ("state", "waiting"),
    [
        (
            BuildsetState.CONFLICT,
            "it conflicts with what is ahead; believed when #21 ahead is done",
        ),
        (
            BuildsetState.MISCONFIGURED,
            "its configuration can't be used; believed when #21 ahead is done",
        ),
    ],
)
def test_a_state_that_cannot_be_made_says_so(
    tmp_path: Path, state: BuildsetState, waiting: str
) -> None:
    row = world.buildset(122, 22, world.sha(5121), state=state, commit=None, tree=None, jobs=())
    item = queue(tmp_path, row).gate[1]
    assert (item.status, item.waiting) == (str(state), waiting)


def test_check_and_post_stand_apart_from_the_gate(tmp_path: Path) -> None:
    view = queue(
        tmp_path,
        world.item(31, 23, pipeline=Pipeline.CHECK, buildset_id=None),
        world.item(32, None, pipeline=Pipeline.POST, buildset_id=None),
        world.item(33, 23, pipeline=Pipeline.CHECK, buildset_id=None, branch="stable"),
    )
    assert [item.id for item in view.check] == [31]
    assert [item.id for item in view.post] == [32]
    assert view.post[0].title == world.sha(0)[:12]
    assert view.check[0].waiting == "waiting for the state ahead to be known"


def test_there_is_a_queue_for_every_guarded_branch(tmp_path: Path) -> None:
    found = read(tmp_path, lambda tx: views.queue_views(tx, now=world.NOW))
    assert [(each.name, each.branch) for each in found] == [("demo", "main"), ("demo", "stable")]
    assert found[1].gate == []


@pytest.mark.parametrize(("project", "branch"), [("nobody", None), ("demo", "nowhere")])
def test_an_unknown_queue_is_not_found(tmp_path: Path, project: str, branch: str | None) -> None:
    with pytest.raises(NotFound):
        read(tmp_path, lambda tx: views.queue_view(tx, project, branch, now=world.NOW))


def test_every_reason_and_item_state_is_worded() -> None:
    assert set(messages.REASONS) == set(Reason)


def _long_queue(length: int) -> list[Row]:
    made: list[Row] = []
    onto = world.HEAD
    for number in range(2000, 2000 + length):
        row = world.buildset(number + 100_000, number, onto)
        onto = row.commit or ""
        made += [
            world.change(number),
            world.item(number, number, buildset_id=row.id),
            row,
            *(
                world.build(number * 10 + 10**6 + n, row.id, number, job)
                for n, job in enumerate((world.TESTS, world.LINT))
            ),
        ]
    return made


def test_the_number_of_reads_does_not_grow_with_the_queue(tmp_path: Path) -> None:
    async def reads(length: int) -> int:
        made = await world.make(tmp_path)
        await made.put(*_long_queue(length))
        async with made.store.read() as tx:
            counted = Counting(tx)
            await views.queue_view(counted, "demo", "main", now=world.NOW)
        return counted.reads

    assert asyncio.run(reads(1)) == asyncio.run(reads(50))


class Counting:
    """A transaction that counts what is asked of it."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.reads = 0

    def __getattr__(self, name: str) -> object:
        self.reads += 1
        return getattr(self._tx, name)


def test_only_the_nearest_items_ahead_are_listed_but_all_are_counted(tmp_path: Path) -> None:
    last = queue(tmp_path, *_long_queue(20)).gate[-1]
    assert last.proof is not None
    assert last.proof.ahead == list(range(2009, 2019))
    assert last.proof.ahead_count == 19


def test_a_landed_item_is_no_longer_ahead(tmp_path: Path) -> None:
    landed = world.item(21, 21, state=ItemState.LANDED, finished_at=9_999.0)
    first = queue(tmp_path, landed).gate[0]
    assert first.proof is not None
    assert (first.change, first.proof.ahead) == (22, [])


def test_projects_of_one_queue_stand_in_one_order(tmp_path: Path) -> None:
    more = (
        world.project(2, "other", branches=("main",)),
        world.change(31, project_id=2),
        world.patch_set(1, 31),
        world.item(31, 31, project_id=2, position=0, buildset_id=None),
    )
    shared = queue(tmp_path, *more)
    assert [(item.change, item.project) for item in shared.gate] == [
        (31, "other"),
        (21, "demo"),
        (22, "demo"),
        (23, "demo"),
    ]
    assert shared.rules.projects == ["demo", "other"]
    assert [(each.project, each.head) for each in shared.heads] == [
        ("demo", world.HEAD),
        ("other", None),
    ]
    by_project = read(
        tmp_path, lambda tx: views.queue_view(tx, "other", None, now=world.NOW), *more
    )
    assert (by_project.name, by_project.branch) == ("demo", "main")


def test_an_item_says_what_else_it_is_proved_on(tmp_path: Path) -> None:
    without = world.buildset(322, 22, world.HEAD, number=3)
    running = replace(world.build(900, 322, 22, world.LINT), state=BuildState.RUNNING)
    base = world.buildset(323, 23, world.sha(5121), number=2, role=Role.BASE)
    over = world.buildset(324, 23, world.HEAD, number=3, finished_at=1.0)
    _, second, third = queue(tmp_path, without, running, base, over).gate
    assert [(a.buildset, a.status, a.without, a.besides, a.text) for a in second.also] == [
        (322, "running", [21], [], "also proved without #21")
    ]
    assert [(each.base, each.text) for each in third.also] == [
        (True, "the state without it is tried too")
    ]


def test_what_the_planner_says_of_an_item_goes_first(tmp_path: Path) -> None:
    row = world.item(22, 22, buildset_id=122, wait="waits for the window of 1")
    assert queue(tmp_path, row).gate[1].waiting == "waits for the window of 1"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "about to enter the gate"),
        ({"patch_set": 2}, "lacks approval"),
        ({"patch_set": 3}, "needs #23, which has to land first, as it goes through another queue"),
    ],
)
def test_what_is_kept_out_says_why(tmp_path: Path, fields: dict[str, object], text: str) -> None:
    rows = (
        world.change(19, **fields),
        world.patch_set(2, 19),
        replace(world.patch_set(3, 19), depends_on=(23,)),
        world.change(23, branch="stable"),
    )
    (kept,) = queue(tmp_path, *rows).kept_out
    assert kept.change.id == 19
    assert kept.text.startswith(text)


def test_a_project_that_left_its_queue_is_found_in_the_new_one(tmp_path: Path) -> None:
    moved = (
        world.queue(7, "platform"),
        world.project(1, "demo", queue_id=7),
    )

    async def ask(tx: Transaction) -> tuple[str, list[str], list[str]]:
        view = await views.queue_view(tx, "demo", None, now=world.NOW)
        every = await views.queue_views(tx, now=world.NOW)
        old = await views.rules_view(tx, "demo")
        return view.name, [each.name for each in every], old.projects

    assert read(tmp_path, ask, *moved) == ("platform", ["platform", "platform"], [])


def test_a_job_that_is_run_again_says_how_often_it_failed(tmp_path: Path) -> None:
    lint = world.build(224, 122, 22, world.LINT)
    again = world.build(225, 122, 22, world.LINT, attempt=2)
    tests, job = queue(tmp_path, world.finished(lint, Verdict.FAILURE), again).gate[1].jobs
    assert (job.attempt, job.failures, job.state) == (2, 1, BuildState.QUEUED)
    assert (tests.attempt, tests.failures) == (2, 0)


def test_a_pass_after_a_failure_on_the_same_state_is_a_flake(tmp_path: Path) -> None:
    lint = world.build(224, 122, 22, world.LINT)
    again = world.build(225, 122, 22, world.LINT, attempt=2)
    view = read(
        tmp_path,
        lambda tx: views.change_view(tx, 22, now=world.NOW),
        world.finished(lint, Verdict.FAILURE),
        world.finished(again, Verdict.SUCCESS),
    )
    (proof,) = [each for each in view.items[0].buildsets if each.builds]
    assert proof.role is Role.PROOF
    assert {build.id: build.flaked for build in proof.builds} == {
        222: False, 223: False, 224: False, 225: True,
    }  # fmt: skip
