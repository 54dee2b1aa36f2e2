"""Queues: what goes on for each guarded branch."""

from __future__ import annotations

from typing import Annotated

import fastapi

from cupel.api.caller import READER, Cupel
from cupel.control import views

router = fastapi.APIRouter(prefix="/api/queues", tags=["queues"], dependencies=[READER])


@router.get("", operation_id="queue_list", summary="The queues of all guarded branches")
async def list_all(
    cupel: Cupel,
    project: Annotated[str | None, fastapi.Query(description="Only this project's.")] = None,
) -> list[views.QueueView]:
    async with cupel.store.read() as tx:
        return await views.queue_views(tx, project=project, now=cupel.clock())


@router.get("/{project}", operation_id="queue", summary="The queue of one branch")
async def show(
    cupel: Cupel,
    project: str,
    branch: Annotated[str | None, fastapi.Query(description="By default the first.")] = None,
) -> views.QueueView:
    async with cupel.store.read() as tx:
        return await views.queue_view(tx, project, branch, now=cupel.clock())
