"""Flaky tests, and tests that are quarantined."""

from __future__ import annotations

from typing import Annotated

import fastapi
import pydantic

from cupel.api.caller import READER, Administrator, Cupel, Limit
from cupel.control import views
from cupel.core import quarantine, results

router = fastapi.APIRouter(prefix="/api", tags=["tests"])

Named = Annotated[str, pydantic.Field(min_length=1, max_length=results.LONGEST_NAME)]


class QuarantineRequest(pydantic.BaseModel):
    """The test as results name it; `job` left out: in every job. It is for `seconds` from now."""

    model_config = pydantic.ConfigDict(extra="forbid")

    project: str
    test: Annotated[str, pydantic.Field(min_length=1, max_length=2 * results.LONGEST_NAME + 2)]
    job: Named | None = None
    owner: Named
    reason: Annotated[str, pydantic.Field(min_length=1, max_length=results.LONGEST_MESSAGE)]
    seconds: Annotated[float, pydantic.Field(gt=0, le=quarantine.LONGEST, allow_inf_nan=False)]


@router.get("/flakes", operation_id="flake_list", summary="Flaky tests", dependencies=[READER])
async def flakes(
    cupel: Cupel,
    project: Annotated[str | None, fastapi.Query(description="Only this project's.")] = None,
    limit: Limit = 50,
) -> list[views.FlakeView]:
    async with cupel.store.read() as tx:
        return await views.flake_list(tx, now=cupel.clock(), project=project, limit=limit)


@router.get(
    "/quarantines",
    operation_id="quarantine_list",
    summary="Tests that are quarantined",
    dependencies=[READER],
)
async def quarantines(
    cupel: Cupel,
    project: Annotated[str | None, fastapi.Query(description="Only this project's.")] = None,
    ended: Annotated[bool, fastapi.Query(description="Those that have ended, too.")] = False,
) -> list[views.QuarantineView]:
    async with cupel.store.read() as tx:
        return await views.quarantine_list(tx, now=cupel.clock(), project=project, ended=ended)


@router.post("/quarantines", operation_id="quarantine_add", summary="Quarantine a test")
async def add(
    cupel: Cupel, admin: Administrator, request: QuarantineRequest
) -> views.QuarantineView:
    row = await cupel.commands.quarantine(
        request.project,
        request.test,
        job=request.job,
        owner=request.owner,
        reason=request.reason,
        seconds=request.seconds,
        user=admin.user,
    )
    async with cupel.store.read() as tx:
        return await views.quarantine_view(tx, row, now=cupel.clock())


@router.delete(
    "/quarantines/{id}",
    operation_id="quarantine_remove",
    summary="Have a test block again",
)
async def remove(cupel: Cupel, admin: Administrator, id: int) -> views.QuarantineView:
    row = await cupel.commands.release(id, user=admin.user)
    async with cupel.store.read() as tx:
        return await views.quarantine_view(tx, row, now=cupel.clock())
