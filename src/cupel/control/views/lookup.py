"""Rows by id in one select, and what is said of a row in one word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from cupel.control.views.nouns.change import ChangeRef
from cupel.core.model import Build, BuildState, Change, Project, Row, Verdict
from cupel.store.interface import Transaction

R = TypeVar("R", bound=Row)


async def by_id(tx: Transaction, kind: type[R], ids: Iterable[int | None]) -> dict[int, R]:
    """The rows of these ids; those that are None or do not exist are left out."""
    wanted = {number for number in ids if number is not None}
    if not wanted:
        return {}
    return {row.id: row for row in await tx.select(kind, {"id": wanted})}


def change_ref(change: Change, projects: Mapping[int, Project]) -> ChangeRef:
    """A change in one line; its project must be among these."""
    return ChangeRef(
        id=change.id,
        project=projects[change.project_id].name,
        branch=change.branch,
        title=change.title,
        author=change.author,
        topic=change.topic,
        state=change.state,
        patch_set=change.patch_set,
        wants_land=change.wants_land,
        urgent=change.urgent,
        created_at=change.created_at,
        updated_at=change.updated_at,
    )


BUT_FOR = "passed but for quarantined"


def icon(build: Build) -> str:
    """The one word that sums a build up: `reused` for a pass of another build, another for
    one that only quarantined tests have failed."""
    if build.but_for and build.verdict is Verdict.SUCCESS:
        return BUT_FOR
    return "reused" if build.reused_from is not None else str(build.verdict or build.state)


def seconds(start: float | None, end: float | None, now: float) -> float | None:
    """From `start` to `end`, or to `now` while there is no end; None when it has not begun."""
    if start is None:
        return None
    return max(0.0, (now if end is None else end) - start)


def build_seconds(build: Build, now: float) -> float | None:
    """How long it has run; a build that ended before it ran took no time at all."""
    if build.started_at is None:
        return None
    end = build.finished_at if build.state is BuildState.FINISHED else None
    return seconds(build.started_at, end, now)


def waited(build: Build, now: float) -> float:
    """How long it was queued: until it ran, was dropped, or now."""
    end = build.started_at if build.started_at is not None else build.finished_at
    return seconds(build.queued_at, end, now) or 0.0


BAD = frozenset({Verdict.FAILURE, Verdict.TIMEOUT, Verdict.INFRA})
