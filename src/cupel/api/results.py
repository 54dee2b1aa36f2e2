"""What the tests of builds said."""

from __future__ import annotations

from typing import Annotated, Literal

import fastapi

from cupel.api.caller import READER, Before, Cupel, Limit
from cupel.control import views
from cupel.report.results.chosen import Choice, Order

router = fastapi.APIRouter(prefix="/api", tags=["tests"], dependencies=[READER])

Text = Annotated[
    str | None, fastapi.Query(max_length=500, description="Only those with this in their names.")
]


def choice(
    outcome: Annotated[
        Literal["failed", "flaky", "skipped", "passed"] | None,
        fastapi.Query(description="Only these; `failed` are errors, too."),
    ] = None,
    text: Text = None,
    suite: Annotated[
        str | None, fastapi.Query(max_length=500, description="Only those of this suite.")
    ] = None,
    least: Annotated[
        float | None,
        fastapi.Query(ge=0, le=1e9, description="Only those that took so many seconds."),
    ] = None,
    order: Annotated[
        Order, fastapi.Query(description="Those first that failed, or the slowest.")
    ] = Order.OUTCOME,
) -> Choice:
    """Which tests are wanted."""
    return Choice(outcome=outcome, text=text or None, suite=suite, least=least, order=order)


Chosen = Annotated[Choice, fastapi.Depends(choice)]


@router.get("/builds/{id}/tests", operation_id="build_tests", summary="Tests of a build")
async def list_all(
    cupel: Cupel,
    id: int,
    chosen: Chosen,
    first: Annotated[int, fastapi.Query(ge=0, description="The first of them, from 0.")] = 0,
    limit: Limit = 100,
) -> views.ResultsView:
    async with cupel.store.read() as tx:
        return await views.results_view(tx, cupel.results, id, chosen, first=first, limit=limit)


@router.get("/builds/{id}/suites", operation_id="build_suites", summary="Tests of a build by suite")
async def suites(cupel: Cupel, id: int, chosen: Chosen) -> list[views.SuiteView]:
    async with cupel.store.read() as tx:
        return await views.suites_view(tx, cupel.results, id, chosen)


@router.get(
    "/builds/{id}/failing",
    operation_id="build_failing",
    summary="The tests that failed in a build, with where else they did",
)
async def failing(
    cupel: Cupel,
    id: int,
    limit: Annotated[int, fastapi.Query(ge=1, le=200, description="How many at most.")] = 25,
) -> list[views.FailingView]:
    async with cupel.store.read() as tx:
        build = await views.build_row(tx, id)
        return await views.failing_tests(tx, build, logs=cupel.logs, limit=limit)


@router.get("/builds/{id}/tests/{test}", operation_id="build_test", summary="One test of a build")
async def show(cupel: Cupel, id: int, test: str) -> views.ResultView:
    async with cupel.store.read() as tx:
        return await views.result_view(tx, cupel.results, id, test)


@router.get(
    "/projects/{project}/tests", operation_id="test_history", summary="How a test went over builds"
)
async def history(
    cupel: Cupel,
    project: str,
    name: Annotated[str, fastapi.Query(max_length=1100, description="Its id, or a part of it.")],
    job: Annotated[str | None, fastapi.Query(description="Only in this job.")] = None,
    limit: Limit = 50,
    before: Before = None,
) -> views.TestHistoryView:
    async with cupel.store.read() as tx:
        return await views.history_view(
            tx, cupel.results, project, name, job=job, limit=limit, before=before
        )
