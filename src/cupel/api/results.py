"""What the tests of builds said."""

from __future__ import annotations

from typing import Annotated, Literal

import fastapi

from cupel.api.caller import READER, Before, Cupel, Limit
from cupel.control import views

router = fastapi.APIRouter(prefix="/api", tags=["tests"], dependencies=[READER])

Text = Annotated[
    str | None, fastapi.Query(max_length=500, description="Only those with this in their names.")
]


@router.get("/builds/{id}/tests", operation_id="build_tests", summary="Tests of a build")
async def list_all(
    cupel: Cupel,
    id: int,
    outcome: Annotated[
        Literal["failed", "flaky", "skipped", "passed"] | None,
        fastapi.Query(description="Only these; `failed` are errors, too."),
    ] = None,
    text: Text = None,
    first: Annotated[int, fastapi.Query(ge=0, description="The first of them, from 0.")] = 0,
    limit: Limit = 100,
) -> views.ResultsView:
    async with cupel.store.read() as tx:
        return await views.results_view(
            tx, cupel.results, id, outcome=outcome, text=text, first=first, limit=limit
        )


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
