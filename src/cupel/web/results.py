"""The tests of a build, page by page, and one of them with its history."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import fastapi
from starlette.responses import Response

from cupel.control import views
from cupel.web import site
from cupel.web.problem import PageRoute
from cupel.web.site import Frame

PAGE = 200
"""Tests on a page."""

RUNS = 30
"""Builds in the history of a test."""

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)
_FRAME = Frame(section="/changes")
_OUTCOMES = frozenset({"failed", "flaky", "skipped", "passed"})


@router.get("/builds/{id}/tests")
async def results(
    request: fastapi.Request,
    id: int,
    outcome: str = "",
    text: Annotated[str, fastapi.Query(max_length=500)] = "",
    first: Annotated[int, fastapi.Query(ge=0)] = 0,
) -> Response:
    here = site.of(request)
    only = outcome if outcome in _OUTCOMES else ""
    async with here.server.store.read() as tx:
        found = await views.results_view(
            tx,
            here.server.results,
            id,
            outcome=only or None,
            text=text or None,
            first=first,
            limit=PAGE,
        )

    def page(start: int) -> str:
        return "?" + urlencode({"outcome": only, "text": text, "first": start})

    return await here.page(
        request,
        "results.html",
        _FRAME,
        found=found,
        outcome=only,
        text=text,
        first=first,
        page=page,
    )


@router.get("/builds/{id}/tests/{test}")
async def result(request: fastapi.Request, id: int, test: str) -> Response:
    here = site.of(request)
    async with here.server.store.read() as tx:
        build = await views.build_row(tx, id)
        shown = await views.result_view(tx, here.server.results, id, test)
        project = (await views.build_view(tx, id, now=here.now())).project
        past = await views.history_view(
            tx, here.server.results, project, shown.test, job=build.job, limit=RUNS
        )
    return await here.page(
        request,
        "result.html",
        _FRAME,
        build=id,
        job=build.job,
        test=shown,
        history=past.entries,
        now=here.now(),
    )
