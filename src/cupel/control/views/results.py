"""What the tests of builds said: in short and those that failed from the store, all from files."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Iterable

from cupel.control.views import queue
from cupel.control.views.nouns.results import (
    ResultsView,
    ResultView,
    SuiteView,
    TallyView,
    TestHistoryView,
    TestRunView,
)
from cupel.core import results
from cupel.core.model import Build
from cupel.core.results import FailedTest, Result, Results
from cupel.errors import NotFound, UserError
from cupel.report import messages
from cupel.report.results import chosen
from cupel.report.results.chosen import Choice, Suite
from cupel.report.results.store import ResultStore
from cupel.store.interface import Transaction

LOOKED_AT = 200
"""Builds that are looked at for one page of a test's history."""

SEARCHED = 10
"""Newest builds in which a test is searched by a part of its name."""

ALL = Choice()

_MOST_NAMED = 6
_DIGEST = re.compile(r"[0-9a-f]{32}")


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


async def tally_view(tx: Transaction, build: Build) -> TallyView | None:
    """The tests of a build in short, or of the one whose pass it reused."""
    row = await tx.get(Results, build.reused_from or build.id)
    return None if row is None else _tally(row)


async def results_view(
    tx: Transaction,
    store: ResultStore,
    id: int,
    choice: Choice = ALL,
    *,
    first: int = 0,
    limit: int = 100,
) -> ResultsView:
    """Tests of a build, those that are chosen. Raises `NotFound`."""
    build = await tx.get(Build, id)
    if build is None:
        raise NotFound(f"there is no build {id}")
    origin = build.reused_from or build.id
    row = await tx.get(Results, origin)
    found: list[Result] | None = None
    if row is not None:
        found = await asyncio.to_thread(_page, store, origin, choice, first, limit + 1)
    shown = (found or [])[:limit]
    return ResultsView(
        build=id,
        origin=origin,
        job=build.job,
        tally=None if row is None else _tally(row),
        kept=found is not None,
        entries=[_view(results.excerpt(each)) for each in shown],
        next=first + limit if len(found or ()) > limit else None,
    )


async def suites_view(
    tx: Transaction, store: ResultStore, id: int, choice: Choice = ALL
) -> list[SuiteView]:
    """The suites of the tests of a build that are chosen, those that failed first.

    A text in names does not choose here. Raises `NotFound`.
    """
    build = await tx.get(Build, id)
    if build is None:
        raise NotFound(f"there is no build {id}")
    found = await asyncio.to_thread(_suites, store, build.reused_from or build.id, choice)
    return [
        SuiteView(
            suite=each.name,
            total=each.total,
            failed=each.failed,
            flaky=each.flaky,
            skipped=each.skipped,
            seconds=each.seconds,
        )
        for each in found
    ]


async def result_view(tx: Transaction, store: ResultStore, id: int, test: str) -> ResultView:
    """One test of a build, with all of its text. Raises `NotFound`."""
    build = await tx.get(Build, id)
    if build is None:
        raise NotFound(f"there is no build {id}")
    found = await asyncio.to_thread(find, store, build.reused_from or id, test)
    if found is None:
        raise NotFound(f"build {id} has no result of test {test[:100]!r}")
    return _view(found)


def find(store: ResultStore, build: int, test: str) -> Result | None:
    """The result of a test, by its id or digest, in a build that ran; None if it has none.

    Reads a file: call it in a thread.
    """
    digest = test if _DIGEST.fullmatch(test) else results.digest(test)
    try:
        with store.open(build) as kept:
            return kept.find(digest)
    except NotFound:
        return None


async def history_view(
    tx: Transaction,
    store: ResultStore,
    project: str,
    name: str,
    *,
    job: str | None = None,
    limit: int = 50,
    before: int | None = None,
) -> TestHistoryView:
    """How a test went in the newest builds that ran it.

    `name` is its id, its digest, or a part of its id that only it has among the tests of the newest
    builds. Raises `NotFound`, and `UserError` if several tests have it.
    """
    row = await queue.named(tx, project)
    where: dict[str, object] = {"project_id": row.id} | ({"job": job} if job is not None else {})
    builds = await tx.select(Results, where, descending=True, limit=LOOKED_AT + 1, before=before)
    looked_at = builds[:LOOKED_AT]
    found = await asyncio.to_thread(_runs, store, looked_at, name, limit)
    if not found and before is None and not _DIGEST.fullmatch(name):
        name = await asyncio.to_thread(_named, store, looked_at[:SEARCHED], name)
        found = await asyncio.to_thread(_runs, store, looked_at, name, limit)
    if len(found) == limit and found[-1][0].id > looked_at[-1].id:
        following: int | None = found[-1][0].id
    else:
        following = looked_at[-1].id if len(builds) > LOOKED_AT else None
    return TestHistoryView(
        project=project,
        test=found[0][1].digest if found else results.digest(name),
        id=found[0][1].id if found else name,
        entries=[_run(summary, result) for summary, result in found],
        next=following,
    )


def _page(
    store: ResultStore, build: int, choice: Choice, first: int, count: int
) -> list[Result] | None:
    """Results of a build; None if they are not kept any more."""
    try:
        with store.open(build) as kept:
            return chosen.page(kept, choice, first, count)
    except NotFound:
        return None


def _suites(store: ResultStore, build: int, choice: Choice) -> list[Suite]:
    try:
        with store.open(build) as kept:
            return chosen.suites(kept, choice)
    except NotFound:
        return []


def _runs(
    store: ResultStore, builds: Iterable[Results], name: str, limit: int
) -> list[tuple[Results, Result]]:
    found: list[tuple[Results, Result]] = []
    for summary in builds:
        result = find(store, summary.id, name)
        if result is not None:
            found.append((summary, result))
            if len(found) >= limit:
                break
    return found


def _named(store: ResultStore, builds: Iterable[Results], part: str) -> str:
    """The id of the only test of these builds whose id has that part."""
    ids: set[str] = set()
    for summary in builds:
        try:
            with store.open(summary.id) as kept:
                ids |= {each.id for each in itertools.islice(kept.matching(part), _MOST_NAMED)}
        except NotFound:
            continue
        if len(ids) >= _MOST_NAMED:
            break
    if not ids:
        raise NotFound(
            f"no test of the newest builds is called {part[:200]!r}",
            hint="`cupel tests BUILD` lists those of a build; --job names another job",
        )
    if len(ids) > 1:
        shown = sorted(ids, key=lambda each: (len(each), each))[: _MOST_NAMED - 1]
        raise UserError(
            f"several tests have {part[:200]!r} in their names", hint="such as " + ", ".join(shown)
        )
    return ids.pop()


def _tally(row: Results) -> TallyView:
    tally = row.tally
    return TallyView(
        passed=tally.passed,
        failed=tally.failed,
        error=tally.error,
        skipped=tally.skipped,
        flaky=tally.flaky,
        bad=tally.bad,
        total=tally.total,
        seconds=tally.seconds,
        text=messages.tests(tally),
        notices=list(row.notices),
    )


def _view(result: Result) -> ResultView:
    return ResultView(
        test=result.digest,
        suite=result.suite,
        name=result.name,
        outcome=result.outcome,
        flaky=result.flaky,
        seconds=result.seconds,
        message=result.message,
        text=result.text,
        file=result.file,
        line=result.line,
        place=result.place,
    )


def _run(summary: Results, result: Result) -> TestRunView:
    return TestRunView(
        build=summary.id,
        job=summary.job,
        key=summary.key,
        at=summary.at,
        outcome=result.outcome,
        flaky=result.flaky,
        seconds=result.seconds,
        message=result.message,
        place=result.place,
    )
