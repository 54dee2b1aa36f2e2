"""The server at a glance."""

from __future__ import annotations

import fastapi

from cupel.api.caller import READER, Cupel
from cupel.control import views

router = fastapi.APIRouter(prefix="/api/status", tags=["status"], dependencies=[READER])


@router.get("", operation_id="status", summary="The server at a glance")
async def show(cupel: Cupel) -> views.StatusView:
    async with cupel.store.read() as tx:
        return await views.status_view(tx, url=cupel.url, now=cupel.clock())


@router.get("/front", operation_id="front", summary="What somebody wants to know who comes by")
async def front(cupel: Cupel) -> views.FrontView:
    async with cupel.store.read() as tx:
        return await views.front_view(tx, url=cupel.url, now=cupel.clock())
