"""What a waiting push hears: each thing once, and an end when there is nothing more to come."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from cupel.control import follow
from cupel.control.follow import Follower
from cupel.core.model import (
    BuildsetState,
    BuildState,
    ChangeState,
    Conviction,
    Event,
    ItemState,
    Pipeline,
    Reason,
    Role,
    Row,
    Verdict,
)
from cupel.core.results import FailedTest, Outcome, Result, Results, Tally
from unit.control_views import world

CONFLICT = """\
Change 30 rejected in gate: conflicts in a.py
  to mend it: rebase it on main as it is now, and push it again
  http://here/changes/30"""
NEWS = [Event(id=90 + number, at=1.0, kind="host.seen") for number in range(3)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_QUIET", 0.02)


def hear(
    directory: Path, change: int, *more: Row, land: bool = True, news: int = 0, ends: bool = True
) -> list[str]:
    """The lines about a change, looking once at first and once for each piece of news.

    The feed then ends, unless the follower is to end by itself.
    """
    said: list[str] = []

    async def run() -> None:
        made = await world.make(directory)
        await made.put(*more)
        async with made.store.read() as tx:
            row = await tx.get(world.Change, change)
        assert row is not None
        follower = Follower(made.store, made.logs, url="http://here")
        follower.add(row, land=land, since=world.NOW - 2000)
        with made.feed.subscribe() as subscription:
            following = asyncio.create_task(
                follower.follow(subscription, said.append, until_verdict=True)
            )
            for event in NEWS[:news]:
                await asyncio.sleep(0.01)
                made.feed.publish([event])
            if ends:
                await asyncio.sleep(0.01)
                made.feed.close()
            await following

    asyncio.run(run())
    return said


def test_each_attempt_is_said_once_however_much_news_comes(tmp_path: Path) -> None:
    said = hear(tmp_path, 22, news=3)
    assert [line for line in said if "(python=3.12): " in line] == [
        "  22 tests (python=3.12): infra in 60.0 s: the host was lost",
        "  22 tests (python=3.12): running (attempt 2)  http://here/builds/223",
    ]


def test_a_verdict_that_is_there_already_ends_the_waiting(tmp_path: Path) -> None:
    old = world.item(
        30, 30, pipeline=Pipeline.CHECK, state=ItemState.PASSED, finished_at=10.0, enqueued_at=1.0
    )
    more = world.change(30, wants_land=False), old
    said = hear(tmp_path, 30, *more, land=False, ends=False)
    assert said == ["Change 30 passed check; to land it: cupel approve 30"]


def test_a_change_that_has_landed_ends_the_waiting(tmp_path: Path) -> None:
    landed = world.change(30, state=ChangeState.LANDED, landed_commit="c0ffee")
    place = world.item(30, 30, state=ItemState.LANDED, finished_at=10.0)
    said = hear(tmp_path, 30, landed, place, ends=False)
    assert said == ["Change 30 landed on main as c0ffee"]


def test_a_conflict_comes_with_what_to_do(tmp_path: Path) -> None:
    place = world.item(
        30,
        30,
        state=ItemState.REJECTED,
        finished_at=world.NOW,
        reason=Reason.CONFLICT,
        detail="conflicts in a.py",
    )
    conflict = world.buildset(
        130, 30, world.HEAD, state=BuildsetState.CONFLICT, detail="conflicts in a.py", jobs=()
    )
    said = hear(tmp_path, 30, world.change(30), place, conflict, ends=False)
    assert said == [
        "  30 gate: conflicts in a.py",
        CONFLICT,
    ]


def test_what_a_change_waits_for_is_said_once_when_nothing_else_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_QUIET", 0.001)
    why = "the branch itself is broken: tests fails on it without any change"
    place = world.item(30, 30, state=ItemState.LIVE, wait=why)
    said = hear(tmp_path, 30, world.change(30), place, news=3)
    assert said[:-1] == [f"  30 gate: {why}"]


def test_that_a_machine_is_long_in_the_making_is_said_when_nothing_else_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting = world.build(301, 130, 30, world.LINT, state=BuildState.STARTING)
    rows = world.change(30), world.item(30, 30), world.buildset(130, 30, world.HEAD), starting
    monkeypatch.setattr(follow, "_QUIET", 60.0)
    assert not any("waiting" in line for line in hear(tmp_path / "busy", 30, *rows, news=3))
    monkeypatch.setattr(follow, "_QUIET", 0.0)
    said = hear(tmp_path / "quiet", 30, *rows)
    assert sum("lint: waiting for its machine" in line for line in said) == 1


def test_a_reused_pass_is_said_with_where_it_comes_from(tmp_path: Path) -> None:
    state = world.buildset(130, 30, world.HEAD)
    reused = replace(
        world.build(301, 130, 30, world.LINT),
        state=BuildState.FINISHED,
        verdict=Verdict.SUCCESS,
        finished_at=world.NOW,
        reused_from=212,
    )
    said = hear(tmp_path, 30, world.change(30), world.item(30, 30), state, reused)
    assert "  30 lint: reused from build 212 of change 21" in said


def test_a_run_without_the_change_is_said_to_be_one(tmp_path: Path) -> None:
    state = world.buildset(130, 30, world.HEAD)
    base = world.buildset(131, 30, world.HEAD, role=Role.BASE)
    failed = replace(
        world.build(301, 130, 30, world.LINT),
        state=BuildState.FINISHED,
        verdict=Verdict.FAILURE,
        finished_at=world.NOW,
    )
    without = world.build(302, 131, 30, world.LINT, state=BuildState.RUNNING)
    rows = world.change(30), world.item(30, 30), state, base, failed, without
    said = hear(tmp_path, 30, *rows, news=2)
    assert sum("lint: failure in" in line for line in said) == 1
    assert sum("lint without the change: running" in line for line in said) == 1


def test_an_audit_after_the_landing_is_no_verdict_of_the_change(tmp_path: Path) -> None:
    landed = world.change(30, state=ChangeState.LANDED, landed_commit="c0ffee")
    place = world.item(30, 30, state=ItemState.LANDED, finished_at=10.0)
    audit = world.item(
        31,
        30,
        pipeline=Pipeline.PERIODIC,
        state=ItemState.REJECTED,
        reason=Reason.BUILD_FAILED,
        finished_at=world.NOW,
    )
    said = hear(tmp_path, 30, landed, place, audit, land=False, ends=False)
    assert said == ["Change 30 landed on main as c0ffee"]


def test_a_failure_is_said_with_its_error_and_the_verdict_with_whose_fault_it_is(
    tmp_path: Path,
) -> None:
    failed = world.finished(world.build(225, 122, 22, world.LINT), Verdict.FAILURE)
    tests = Result(
        suite="t.py", name="test_x", outcome=Outcome.FAILED, message="assert 1 == 2", file="t.py"
    )
    rows: list[Row] = [
        replace(failed, reason="step 'ruff' exited with status 1"),
        Results(
            id=225, project_id=1, job="lint", key=None, tally=Tally(failed=1), notices=(), at=1.0
        ),
        FailedTest(
            id=1,
            build_id=225,
            project_id=1,
            job="lint",
            key=None,
            test=tests.digest,
            result=tests,
            at=1.0,
        ),
        world.item(
            22,
            22,
            buildset_id=122,
            state=ItemState.REJECTED,
            reason=Reason.BUILD_FAILED,
            detail="job lint failed",
            finished_at=9_990.0,
            conviction=Conviction(job="lint", failures=(225,), new=True),
        ),
    ]
    said = "\n".join(hear(tmp_path, 22, *rows)).splitlines()
    at = said.index("  22 lint: failure in 60.0 s: step 'ruff' exited with status 1")
    assert said[at + 1 : at + 4] == ["      t.py::test_x", "        assert 1 == 2", "        t.py"]
    assert said[-4:] == [
        "Change 22 rejected in gate: job lint failed",
        "  t.py::test_x: assert 1 == 2 at t.py",
        "  lint: the change's fault: the branch does not have this job: the change brings it",
        "  http://here/changes/22",
    ]
