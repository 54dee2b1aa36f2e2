"""What is shown of a build that was not run, since its pass was known."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from cupel.control import views
from cupel.control.views import BuildView
from cupel.core.model import BuildState, Evidence, Row, Verdict
from unit.control_views import world

PASS = Evidence(id=1, key="key", build_id=212, project_id=1, job="lint", created_at=9_070.0)
REUSED = replace(
    world.build(224, 122, 22, world.LINT),
    state=BuildState.FINISHED,
    verdict=Verdict.SUCCESS,
    finished_at=9_900.0,
    key="key",
    reused_from=212,
)


def shown(directory: Path, build: int, *more: Row) -> BuildView:
    async def run() -> BuildView:
        made = await world.make(directory)
        await made.put(*more)
        async with made.store.read() as tx:
            return await views.build_view(tx, build, now=world.NOW)

    return asyncio.run(run())


def test_a_reused_pass_shows_the_build_that_ran(tmp_path: Path) -> None:
    found = shown(tmp_path, 224, REUSED, PASS)
    assert (found.icon, found.reused_from, found.key) == ("reused", 212, "key")
    origin = found.reused
    assert origin is not None
    assert (origin.build, origin.change, origin.title) == (212, 21, "Change 21")
    assert (origin.finished_at, origin.seconds) == (9_070.0, 60.0)
    assert (found.seconds, found.on, found.refuted_by) == (None, None, None)


def test_a_build_that_ran_is_not_reused(tmp_path: Path) -> None:
    found = shown(tmp_path, 212, PASS)
    assert (found.icon, found.reused, found.reused_from) == ("success", None, None)


def test_a_refuted_pass_says_by_which_build(tmp_path: Path) -> None:
    gone = replace(PASS, withdrawn_at=9_950.0, refuted_by=300)
    assert shown(tmp_path / "reused", 224, REUSED, gone).refuted_by == 300
    assert shown(tmp_path / "origin", 212, REUSED, gone).refuted_by == 300


def test_jobs_of_an_item_say_that_they_are_reused(tmp_path: Path) -> None:
    async def run() -> list[str]:
        made = await world.make(tmp_path)
        await made.put(REUSED)
        async with made.store.read() as tx:
            queue = await views.queue_view(tx, "demo", "main", now=world.NOW)
        return [job.icon for item in queue.gate if item.change == 22 for job in item.jobs]

    assert asyncio.run(run()) == ["running", "reused"]
