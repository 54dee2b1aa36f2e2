"""Search over everything, with the text of all logs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Annotated, TypeVar

import fastapi

from cupel.api.caller import READER, Cupel, Limit
from cupel.control import views
from cupel.core import search
from cupel.core.model import Verdict
from cupel.errors import UserError
from cupel.log import pattern

router = fastapi.APIRouter(prefix="/api", tags=["search"], dependencies=[READER])

LOOK = 0.25
"""Seconds after which it is looked whether anybody still waits for the answer."""

T = TypeVar("T")


@router.get("/search", operation_id="search", summary="Search")
async def find(
    cupel: Cupel,
    request: fastapi.Request,
    q: Annotated[
        str,
        fastapi.Query(
            max_length=search.LONGEST,
            description="Words that must all be there; of logs, a text within a line. `#12`, "
            "`build 34` and the beginning of a commit name what they name, in `jumps`.",
        ),
    ],
    kind: Annotated[
        list[str] | None,
        fastapi.Query(description=f"Only these: {', '.join(views.KINDS)}. By default all."),
    ] = None,
    project: Annotated[str | None, fastapi.Query(description="Only this project's.")] = None,
    job: Annotated[
        str | None, fastapi.Query(description="Only of this job, or of all cells of its matrix.")
    ] = None,
    verdict: Annotated[
        Verdict | None, fastapi.Query(description="Only builds with this verdict.")
    ] = None,
    since: Annotated[
        float | None, fastapi.Query(description="Only what is not older than this time.")
    ] = None,
    regex: Annotated[
        bool,
        fastapi.Query(description="A regular expression, as in Python; only logs are searched."),
    ] = False,
    case: Annotated[
        bool, fastapi.Query(description="Of logs: match upper and lower case.")
    ] = False,
    limit: Limit = 20,
    before: Annotated[
        int | None,
        fastapi.Query(description="Go on with older logs: the `next` of what was reached."),
    ] = None,
) -> views.SearchView:
    wanted = pattern.checked(q, regex=regex, case=case)
    kinds = _kinds(kind, logs_only=regex or before is not None)
    async with cupel.store.read() as tx:
        narrowed = await views.narrowed(tx, project=project, job=job, verdict=verdict, since=since)
    found = await views.search_view(
        cupel.store,
        cupel.results,
        search.read(q),
        narrowed,
        kinds=kinds,
        now=cupel.clock(),
        limit=limit,
    )
    if "logs" not in kinds:
        return found
    logs = views.log_list(
        cupel.store,
        cupel.logs,
        wanted,
        narrowed,
        now=cupel.clock(),
        before=before,
        limit=limit,
    )
    return found.model_copy(update={"logs": await _while_awaited(request, logs)})


def _kinds(given: list[str] | None, *, logs_only: bool) -> tuple[str, ...]:
    """Raises `UserError` for what is none."""
    for each in given or ():
        if each not in views.KINDS:
            raise UserError(
                f"nothing of the kind {each[:40]!r} is searched",
                hint="one of " + ", ".join(views.KINDS),
            )
    return ("logs",) if logs_only else tuple(given or views.KINDS)


async def _while_awaited(request: fastapi.Request, work: Awaitable[T]) -> T:
    """Do it, unless whoever asked has gone."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait([task], timeout=LOOK))[0]:
            if await request.is_disconnected():
                raise UserError("nobody waits for the answer any more")
        return task.result()
    finally:
        task.cancel()
