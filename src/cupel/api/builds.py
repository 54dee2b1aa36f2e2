"""Builds: attempts at jobs."""

from __future__ import annotations

from typing import Annotated

import fastapi

from cupel.api.caller import READER, Before, Cupel, Limit
from cupel.control import views
from cupel.core.model import BuildState

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
    lines = cupel.logs.reader(id).line_count
    async with cupel.store.read() as tx:
        return await views.build_view(tx, id, now=cupel.clock(), log_lines=lines)
