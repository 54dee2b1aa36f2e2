"""The tests that failed in a build: each with where else it did, and where the log names it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from cupel.control.views.flake import known_flakes
from cupel.control.views.nouns.failing import FailingView
from cupel.core import failing
from cupel.core.model import Build
from cupel.core.results import FailedTest
from cupel.log.store import LogStore
from cupel.store.interface import Transaction

LOOKED_AT = 400
"""Failures of the same tests that are looked at, the newest."""

OTHERS = 5
"""Builds that are named in which a test failed in the same way."""


async def failing_tests(
    tx: Transaction, build: Build, *, logs: LogStore | None = None, limit: int = 25
) -> list[FailingView]:
    """The first tests that failed in a build, or the one whose pass it reused; flaky ones last."""
    origin = build.reused_from or build.id
    rows = await tx.select(FailedTest, {"build_id": origin}, limit=limit)
    if not rows:
        return []
    tests = {row.test for row in rows}
    where = {"project_id": build.project_id, "test": tests}
    past = await tx.select(FailedTest, where, descending=True, limit=LOOKED_AT)
    known = await known_flakes(tx, build.project_id, build.job, tests)
    names = [row.result.name for row in rows]
    lines: Mapping[str, int] = {} if logs is None else await logs.naming(origin, names)
    return [
        _view(row, [each for each in past if each.test == row.test], known, lines) for row in rows
    ]


def _view(
    row: FailedTest, past: Sequence[FailedTest], known: Container[str], lines: Mapping[str, int]
) -> FailingView:
    result = row.result
    way = failing.way(result)
    same = [
        each.build_id
        for each in past
        if each.build_id != row.build_id and failing.way(each.result) == way
    ]
    others = list(dict.fromkeys(same))
    first = min([row, *past], key=lambda each: each.at)
    return FailingView(
        test=row.test,
        suite=result.suite,
        name=result.name,
        outcome=result.outcome,
        flaky=result.flaky,
        known=row.test in known,
        seconds=result.seconds,
        message=result.message,
        text=result.text,
        place=result.place,
        first=first.build_id,
        first_at=first.at,
        others=others[:OTHERS],
        more=max(len(others) - OTHERS, 0),
        line=lines.get(result.name),
    )
