"""Flaky tests: which are known, and what proves it; and those that are quarantined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cupel.control.views import queue
from cupel.control.views.grid import Outcomes, outcomes_of
from cupel.control.views.nouns.flake import (
    FlakeProofView,
    FlakeTrendView,
    FlakeView,
    QuarantineView,
)
from cupel.core import grid
from cupel.core.flake import Flake
from cupel.core.model import Build, Project
from cupel.core.quarantine import Quarantine
from cupel.report.results import kept
from cupel.report.results.store import ResultStore
from cupel.store.interface import Transaction

JOBS = 20
"""Jobs whose newest builds are looked at for what came of their flaky tests."""


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


async def flake_trends(
    tx: Transaction,
    store: ResultStore,
    *,
    now: float,
    project: str | None = None,
    limit: int = 100,
) -> list[FlakeTrendView]:
    """The same with what came of them lately: those that go to and fro most come first."""
    where = await _of_project(tx, project)
    rows = await tx.select(Flake, where, order="last_seen", descending=True, limit=limit)
    flakes = {row.id: row for row in rows}
    shown = await flake_list(tx, now=now, project=project, limit=limit)
    jobs = dict.fromkeys((row.project_id, row.job) for row in rows)
    went = {key: await outcomes_of(tx, store, *key) for key in list(jobs)[:JOBS]}
    seconds = await _seconds(tx, rows)
    made = [
        _trend(view, flakes[view.id], went.get(_job_of(flakes[view.id]), {}), seconds)
        for view in shown
    ]
    return sorted(made, key=lambda each: (-each.score, -each.flake.rate, each.flake.test))


def _job_of(row: Flake) -> tuple[int, str]:
    return row.project_id, row.job


def _trend(
    view: FlakeView, row: Flake, went: Mapping[int, Outcomes], seconds: Mapping[int, float]
) -> FlakeTrendView:
    short = kept.short(row.test)
    told = {build: each[short] for build, each in went.items() if short in each}
    again = [seconds.get(proof.passed, 0.0) for proof in row.proofs if proof.passed != proof.failed]
    found = grid.Row(test=row.test, name=row.name, outcomes=tuple(told.values()))
    return FlakeTrendView(
        flake=view,
        digest=row.test,
        outcomes=list(told.values()),
        score=round(found.score, 3),
        cost=sum(again) / len(row.proofs) * row.count if row.proofs else 0.0,
        build=next(iter(told), None),
    )


async def _seconds(tx: Transaction, rows: Iterable[Flake]) -> dict[int, float]:
    """How long the builds took in which tests passed that had failed."""
    wanted = {proof.passed for row in rows for proof in row.proofs}
    if not wanted:
        return {}
    fields = ("id", "started_at", "finished_at")
    return {
        number: finished - started
        for number, started, finished in await tx.values(Build, fields, {"id": wanted})
        if started is not None and finished is not None
    }


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
