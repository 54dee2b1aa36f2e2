"""Flaky tests: which are known, and what proves it; and those that are quarantined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cupel.control.views import queue
from cupel.control.views.nouns.flake import FlakeProofView, FlakeView, QuarantineView
from cupel.core.flake import Flake
from cupel.core.model import Project
from cupel.core.quarantine import Quarantine
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


async def flake_list(
    tx: Transaction, *, now: float, project: str | None = None, limit: int = 50
) -> list[FlakeView]:
    """The tests that were flaky last, those first that were so last."""
    where = await _of_project(tx, project)
    rows = await tx.select(Flake, where, order="last_seen", descending=True, limit=limit)
    names = await _names(tx)
    quarantined = await tx.select(Quarantine, {**where, "ended_at": None})
    return [_flake(row, names, quarantined, now) for row in rows]


async def quarantine_list(
    tx: Transaction, *, now: float, project: str | None = None, ended: bool = False
) -> list[QuarantineView]:
    """Those in force, that which expires first first; or, with `ended`, all, newest first."""
    where = await _of_project(tx, project)
    names = await _names(tx)
    if ended:
        rows = await tx.select(Quarantine, where, descending=True, limit=500)
    else:
        rows = await tx.select(Quarantine, {**where, "ended_at": None}, order="expires_at")
    return [_quarantine(row, names[row.project_id], now) for row in rows]


async def quarantine_view(tx: Transaction, row: Quarantine, *, now: float) -> QuarantineView:
    return _quarantine(row, (await _names(tx))[row.project_id], now)


def _quarantine(row: Quarantine, project: str, now: float) -> QuarantineView:
    state = "in-force" if row.is_in_force(now) else "removed" if row.ended_by else "expired"
    return QuarantineView(
        id=row.id,
        project=project,
        job=row.job,
        test=row.name,
        owner=row.owner,
        reason=row.reason,
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
        state=state,
    )


async def _of_project(tx: Transaction, project: str | None) -> dict[str, object]:
    return {} if project is None else {"project_id": (await queue.named(tx, project)).id}


async def _names(tx: Transaction) -> dict[int, str]:
    return {row.id: row.name for row in await tx.select(Project)}


def _flake(
    row: Flake, names: Mapping[int, str], quarantined: Sequence[Quarantine], now: float
) -> FlakeView:
    base = row.job.partition(" (")[0]
    held = [
        each.id
        for each in quarantined
        if each.is_in_force(now)
        and (each.project_id, each.test) == (row.project_id, row.test)
        and each.job in (None, row.job, base)
    ]
    return FlakeView(
        id=row.id,
        project=names[row.project_id],
        job=row.job,
        test=row.name,
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        count=row.count,
        rate=row.rate,
        proofs=[
            FlakeProofView(failed=proof.failed, passed=proof.passed, at=proof.at)
            for proof in row.proofs
        ],
        quarantined=held[0] if held else None,
    )
