"""Queues: what goes on in each, for each guarded branch."""

from __future__ import annotations

from typing import Annotated

import fastapi

from cupel.api.caller import READER, Cupel
from cupel.control import views

router = fastapi.APIRouter(prefix="/api/queues", tags=["queues"], dependencies=[READER])


@router.get("", operation_id="queue_list", summary="All queues, for all guarded branches")
async def list_all(
    cupel: Cupel,
    project: Annotated[
        str | None, fastapi.Query(description="Only this queue, or this project's.")
    ] = None,
) -> list[views.QueueView]:
    async with cupel.store.read() as tx:
        return await views.queue_views(tx, project=project, now=cupel.clock())


@router.get("/{name}", operation_id="queue", summary="One queue, for one branch")
async def show(
    cupel: Cupel,
    name: str,
    branch: Annotated[str | None, fastapi.Query(description="By default the first.")] = None,
) -> views.QueueView:
    async with cupel.store.read() as tx:
        return await views.queue_view(tx, name, branch, now=cupel.clock())
