"""Searches what is known of changes, builds, tests, projects and machines."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import heapq
import itertools
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, TypeVar

from cupel.control.views import build, fleet, lookup, queue, since, turn
from cupel.control.views.nouns.search import Count, FoundName, FoundTest, JumpView, SearchView
from cupel.core import search
from cupel.core.model import Build, Change, Host, Machine, PatchSet, Project, Row, Verdict
from cupel.core.results import Results
from cupel.core.search import Asked
from cupel.errors import CupelError
from cupel.report.results.store import ResultStore
from cupel.store.interface import Store, Transaction

R = TypeVar("R", bound=Row)

SECONDS = 1.0
"""How long all rows of a kind may be looked through; then there is at least what was found."""

SHARE = 0.5
"""The part of its thread's time that it may take, so that others are served in the rest."""

BATCH = 2_000
JOBS = 60
"""Jobs whose newest results are looked through for tests."""

RECENT_RESULTS = 3_000
"""Newest results among which those of jobs are looked for."""

KINDS = ("changes", "builds", "tests", "projects", "machines", "logs")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """What is looked for is of a project, a job (or of all cells of its matrix), with a verdict, or
    not older than a time; None leaves it open."""

    project: Project | None = None
    job: str | None = None
    verdict: Verdict | None = None
    since: float | None = None

    def of_project(self) -> dict[str, object]:
        return {} if self.project is None else {"project_id": self.project.id}

    def fits_job(self, job: str) -> bool:
        return self.job is None or self.job in (job, job.partition(" (")[0])


async def search_view(
    store: Store,
    results: ResultStore,
    asked: Asked,
    narrowed: Narrowed,
    *,
    kinds: Iterable[str],
    now: float,
    limit: int = 20,
) -> SearchView:
    """What fits of these kinds, but logs: up to `limit` of each."""
    async with turn.reading(store) as tx:
        return await _search(tx, results, asked, narrowed, set(kinds), now, limit)


async def _search(
    tx: Transaction,
    results: ResultStore,
    asked: Asked,
    narrowed: Narrowed,
    wanted: set[str],
    now: float,
    limit: int,
) -> SearchView:
    found: dict[str, Any] = {kind: [] for kind in KINDS if kind != "logs"}
    found |= {"text": asked.text, "jumps": await jumps(tx, asked)}
    of_builds = narrowed.job is not None or narrowed.verdict is not None
    if "changes" in wanted and not of_builds:
        found |= await _changes(tx, asked, narrowed, limit)
    if "builds" in wanted:
        found |= await _builds(tx, asked, narrowed, now, limit)
    if "tests" in wanted and narrowed.verdict is None:
        found |= await _tests(tx, results, asked, narrowed, limit)
    if "projects" in wanted and not of_builds:
        found["projects"] = await _projects(tx, asked)
    if "machines" in wanted and not of_builds and narrowed.project is None:
        found["machines"] = await _machines(tx, asked, limit)
    return SearchView(**found)


async def narrowed(
    tx: Transaction,
    *,
    project: str | None = None,
    job: str | None = None,
    verdict: Verdict | None = None,
    since: float | None = None,
) -> Narrowed:
    """Raises `NotFound` for a project that there is not."""
    row = None if project is None else await queue.named(tx, project)
    return Narrowed(project=row, job=job, verdict=verdict, since=since)


async def jumps(tx: Transaction, asked: Asked) -> list[JumpView]:
    """What the text names exactly."""
    found: list[JumpView] = []
    if asked.number is not None:
        if asked.noun in (None, "change") and (change := await tx.get(Change, asked.number)):
            found.append(JumpView(kind="change", id=change.id, text=change.title))
        if asked.noun in (None, "build") and (row := await tx.get(Build, asked.number)):
            found.append(JumpView(kind="build", id=row.id, text=f"{row.job}: {_state(row)}"))
        if asked.noun in (None, "machine") and (machine := await tx.get(Machine, asked.number)):
            text = f"{machine.label}, {machine.state}"
            found.append(JumpView(kind="machine", id=machine.id, text=text))
    if asked.commit is not None:
        found += await _commits(tx, asked.commit)
    return found


def _state(row: Build) -> str:
    return str(row.verdict or row.state)


async def _commits(tx: Transaction, prefix: str) -> list[JumpView]:
    """The patch sets and landed changes whose commit begins so."""
    found: dict[tuple[int, str], JumpView] = {}
    over = _deadline()
    async for change, number, commit in _all(tx, PatchSet, ("change_id", "number", "commit"), over):
        if commit.startswith(prefix):
            text = f"{commit[:12]} is patch set {number} of change #{change}"
            found[change, commit] = JumpView(kind="commit", id=change, text=text)
    async for change, commit in _all(tx, Change, ("id", "landed_commit"), _deadline()):
        if commit is not None and commit.startswith(prefix):
            text = f"{commit[:12]} is what change #{change} landed as"
            found[change, commit] = JumpView(kind="commit", id=change, text=text)
    return list(found.values())[:10]


async def _changes(tx: Transaction, asked: Asked, narrowed: Narrowed, limit: int) -> dict[str, Any]:
    fields = ("id", "title", "author", "topic", "key", "owner", "branch")
    best, count = await _best(tx, Change, fields, asked, narrowed, "created_at", limit)
    rows = await lookup.by_id(tx, Change, best)
    projects = await lookup.by_id(tx, Project, (row.project_id for row in rows.values()))
    entries = [lookup.change_ref(rows[number], projects) for number in best]
    return {"changes": entries, "changes_count": count}


async def _builds(
    tx: Transaction, asked: Asked, narrowed: Narrowed, now: float, limit: int
) -> dict[str, Any]:
    best, count = await _best(
        tx, Build, ("id", "job", "reason"), asked, narrowed, "queued_at", limit
    )
    return {"builds": await build.refs(tx, best, now=now), "builds_count": count}


async def _best(
    tx: Transaction,
    kind: type[R],
    fields: Sequence[str],
    asked: Asked,
    narrowed: Narrowed,
    field: str,
    limit: int,
) -> tuple[list[int], Count]:
    """The ids of what fits best, newer ones first among equals, and how many fit."""
    where = narrowed.of_project()
    if kind is Build and narrowed.verdict is not None:
        where["verdict"] = narrowed.verdict
    after = None
    if narrowed.since is not None:
        after = await since.before(tx, kind, field, narrowed.since)
    over = _deadline()
    scored: list[tuple[int, int]] = []
    async for number, *texts in _all(tx, kind, fields, over, where, after):
        if kind is Build and not narrowed.fits_job(texts[0]):
            continue
        if points := search.fit(asked, texts):
            scored.append((points, number))
    best = [number for _, number in heapq.nlargest(limit, scored)]
    return best, Count(number=len(scored), complete=not over.is_past)


class _Deadline:
    """When to look no further, and whether that was so."""

    def __init__(self, at: float) -> None:
        self._at = at
        self.is_past = False

    def passes(self) -> bool:
        self.is_past = time.monotonic() >= self._at
        return self.is_past


def _deadline() -> _Deadline:
    return _Deadline(time.monotonic() + SECONDS)


async def _all(
    tx: Transaction,
    kind: type[R],
    fields: Sequence[str],
    over: _Deadline,
    where: dict[str, object] | None = None,
    after: int | None = None,
) -> AsyncIterator[tuple[Any, ...]]:
    """These fields of all rows, newest first, until there is no more time."""
    before: int | None = None
    while True:
        began = time.thread_time()
        batch = await tx.values(
            kind,
            ("id", *fields),
            where,
            descending=True,
            limit=BATCH,
            before=before,
            after=after,
        )
        for each in batch:
            yield each[1:]
        if len(batch) < BATCH or over.passes():
            return
        before = batch[-1][0]
        await asyncio.sleep((time.thread_time() - began) * (1 - SHARE) / SHARE)


async def _tests(
    tx: Transaction, store: ResultStore, asked: Asked, narrowed: Narrowed, limit: int
) -> dict[str, Any]:
    """Tests of the newest results of each job."""
    rows = await tx.values(
        Results,
        ("id", "project_id", "job", "at"),
        narrowed.of_project(),
        descending=True,
        limit=RECENT_RESULTS,
    )
    newest: dict[tuple[int, str], tuple[Any, ...]] = {}
    for row in rows:
        if narrowed.fits_job(row[2]) and (narrowed.since is None or row[3] >= narrowed.since):
            newest.setdefault((row[1], row[2]), row)
    names = {row.id: row.name for row in await tx.select(Project)}
    looked_at = list(newest.values())[:JOBS]
    end = time.monotonic() + SECONDS
    found, complete = await asyncio.to_thread(_named, store, looked_at, names, asked, end)
    found.sort(key=lambda pair: -pair[0])
    complete = complete and len(looked_at) == len(newest)
    return {
        "tests": [test for _, test in found[:limit]],
        "tests_count": Count(number=len(found), complete=complete),
    }


def _named(
    store: ResultStore,
    builds: Sequence[tuple[Any, ...]],
    names: dict[int, str],
    asked: Asked,
    end: float,
) -> tuple[list[tuple[int, FoundTest]], bool]:
    """Tests that fit, with how well, and whether all were looked at. Reads files."""
    found: list[tuple[int, FoundTest]] = []
    for number, project, job, at in builds:
        if time.monotonic() >= end:
            return found, False
        # Results may be deleted by now, or damaged.
        with contextlib.suppress(CupelError), store.open(number) as kept:
            for result in itertools.islice(kept.matching(max(asked.words, key=len)), 5_000):
                if points := search.fit(asked, [result.id]):
                    test = FoundTest(
                        project=names[project],
                        job=job,
                        test=result.id,
                        digest=result.digest,
                        outcome="flaky" if result.flaky else str(result.outcome),
                        build=number,
                        at=at,
                    )
                    found.append((points, test))
    return found, True


async def _projects(tx: Transaction, asked: Asked) -> list[FoundName]:
    return [
        FoundName(kind="project", name=row.name, text=", ".join(row.branches))
        for row in await tx.select(Project, order="name")
        if search.fit(asked, [row.name])
    ]


async def _machines(tx: Transaction, asked: Asked, limit: int) -> list[FoundName]:
    """Hosts by their names, and the machines there are now by their labels."""
    found = [
        FoundName(kind="host", name=row.name, text=str(row.state))
        for row in await tx.select(Host, order="name")
        if search.fit(asked, [row.name])
    ]
    present = await tx.select(Machine, {"state": fleet.PRESENT}, descending=True)
    found += [
        FoundName(kind="machine", name=str(row.id), text=f"{row.label}, {row.state}")
        for row in present
        if search.fit(asked, [row.label])
    ]
    return found[:limit]
