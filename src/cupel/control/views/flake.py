"""Flaky tests: which are known, and what proves it."""

from __future__ import annotations

from collections.abc import Iterable

from cupel.core.flake import Flake
from cupel.store.interface import Transaction


async def known_flakes(
    tx: Transaction, project_id: int, job: str, tests: Iterable[str]
) -> dict[str, Flake]:
    """Those of a job's tests, by digest, that are known to be flaky, with their proofs."""
    wanted = set(tests)
    if not wanted:
        return {}
    found = await tx.select(Flake, {"project_id": project_id, "job": job, "test": wanted})
    return {row.test: row for row in found}
