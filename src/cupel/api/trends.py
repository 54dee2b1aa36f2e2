"""How things went over weeks, and the tests of a job over its builds."""

from __future__ import annotations

from typing import Annotated

import fastapi

from cupel.api.caller import READER, Cupel
from cupel.control import views

router = fastapi.APIRouter(prefix="/api", tags=["trends"], dependencies=[READER])


@router.get("/trends", operation_id="trends", summary="How things went, by week")
async def trends(
    cupel: Cupel,
    project: Annotated[str | None, fastapi.Query(description="Only this project's.")] = None,
    weeks: Annotated[
        int, fastapi.Query(ge=1, le=52, description="How many, with the one that is not over.")
    ] = 12,
    stale: Annotated[
        float, fastapi.Query(gt=0, le=365, description="Days after which a job is stale.")
    ] = 14.0,
) -> views.TrendsView:
    return await views.trends_view(
        cupel.store, now=cupel.clock(), project=project, weeks=weeks, stale_days=stale
    )


@router.get("/grid", operation_id="grid", summary="The tests of a job, build by build")
async def grid(
    cupel: Cupel,
    project: Annotated[str, fastapi.Query(description="Whose job it is.")],
    job: Annotated[str, fastapi.Query(description="Its name, with its cell.")],
    builds: Annotated[int, fastapi.Query(ge=2, le=100, description="How many of the newest.")] = 30,
    text: Annotated[
        str, fastapi.Query(max_length=500, description="Only tests with this in their names.")
    ] = "",
    group: Annotated[
        str,
        fastapi.Query(
            max_length=100, description="`file`, or a text in which `*` stands for the group."
        ),
    ] = "",
    cluster: Annotated[
        str, fastapi.Query(max_length=20, description="Only tests with this `key` of an error.")
    ] = "",
    green: Annotated[bool, fastapi.Query(description="Those that always passed, too.")] = False,
    before: Annotated[
        int | None, fastapi.Query(description="Only older builds: the `next` of the page before.")
    ] = None,
) -> views.GridView:
    async with views.reading(cupel.store) as tx:
        return await views.grid_view(
            tx,
            cupel.results,
            project,
            job,
            now=cupel.clock(),
            builds=builds,
            before=before,
            text=text,
            group=group,
            cluster=cluster,
            green=green,
        )
