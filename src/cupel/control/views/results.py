"""What the tests of builds said, as the store has it: in short, and those that failed."""

from __future__ import annotations

from collections.abc import Iterable

from cupel.core.results import FailedTest, Result, Results
from cupel.store.interface import Transaction


async def in_short(tx: Transaction, builds: Iterable[int]) -> dict[int, Results]:
    """The tests of builds in short; those that left no results are missing."""
    return {row.id: row for row in await tx.select(Results, {"id": set(builds)})}


async def first_failing(tx: Transaction, build: int, *, limit: int = 10) -> list[Result]:
    """The first tests that failed in a build, with excerpts of their texts; flaky ones last."""
    rows = await tx.select(FailedTest, {"build_id": build}, limit=limit)
    return [row.result for row in rows]


async def failures_of(
    tx: Transaction, project_id: int, test: str, *, limit: int = 50, before: int | None = None
) -> list[FailedTest]:
    """Where the test of this digest failed in a project, in any job, newest first."""
    where = {"project_id": project_id, "test": test}
    return await tx.select(FailedTest, where, descending=True, limit=limit, before=before)
