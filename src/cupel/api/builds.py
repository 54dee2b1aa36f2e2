"""Builds: attempts at jobs."""

from __future__ import annotations

from typing import Annotated

import fastapi

from cupel.api.caller import READER, Before, Cupel, Limit, Writer
from cupel.api.changes import RetryRequest
from cupel.api.nouns import MetricsView
from cupel.control import views
from cupel.core.model import BuildState
from cupel.log import metrics as measures

router = fastapi.APIRouter(prefix="/api/builds", tags=["builds"], dependencies=[READER])


@router.get("", operation_id="build_list", summary="Builds, newest first")
async def list_all(
    cupel: Cupel,
    project: Annotated[str | None, fastapi.Query(description="Only this project's.")] = None,
    state: Annotated[BuildState | None, fastapi.Query(description="Only in this state.")] = None,
    limit: Limit = 50,
    before: Before = None,
) -> views.Page[views.BuildRef]:
    async with cupel.store.read() as tx:
        return await views.build_list(
            tx, now=cupel.clock(), project=project, state=state, limit=limit, before=before
        )


@router.get("/{id}", operation_id="build", summary="One build")
async def show(cupel: Cupel, id: int) -> views.BuildView:
    async with cupel.store.read() as tx:
        return await views.build_view(tx, id, now=cupel.clock(), logs=cupel.logs)


@router.get(
    "/{id}/compare",
    operation_id="build_compare",
    summary="How a build differs from another of its job",
)
async def compare(
    cupel: Cupel,
    id: int,
    other: Annotated[
        int | None,
        fastapi.Query(alias="with", description="By default the last that passed before it."),
    ] = None,
) -> views.ComparisonView:
    async with cupel.store.read() as tx:
        return await views.comparison(tx, cupel, id, other)


@router.post(
    "/{id}/retry",
    operation_id="build_retry",
    summary="Run the job of a build again",
    description="On the same state, with the same definition. A change that has left the gate"
    " enters it again instead.",
)
async def retry(
    cupel: Cupel, by: Writer, id: int, request: RetryRequest | None = None
) -> views.BuildView:
    everything = request is not None and request.all
    await cupel.commands.retry_build(id, everything=everything, user=by.user)
    return await show(cupel, id)


@router.get(
    "/{id}/metrics",
    operation_id="build_metrics",
    summary="What a machine used, each second",
    description="A build with several machines has `part` from 0, its own, in the order of"
    " `machines`.",
)
async def metrics(
    cupel: Cupel,
    id: int,
    first: Annotated[int, fastapi.Query(ge=0, description="The first row, from 0.")] = 0,
    part: Annotated[int, fastapi.Query(ge=0, le=99, description="Which machine.")] = 0,
    count: Annotated[int, fastapi.Query(ge=1, le=3600, description="How many rows.")] = 3600,
) -> MetricsView:
    async with cupel.store.read() as tx:
        await views.build_row(tx, id)
    file = cupel.logs.metrics(id, part)
    return MetricsView(
        columns=list(measures.COLUMNS),
        total=measures.count(file),
        rows=[list(row) for row in measures.read(file, first, count)],
    )
