"""Pools: how many machines of a label stand ready, and how many there may be."""

from __future__ import annotations

import fastapi

from cupel.api.caller import READER, Cupel
from cupel.control import views

router = fastapi.APIRouter(prefix="/api/pools", tags=["pools"], dependencies=[READER])


@router.get("", operation_id="pool_list", summary="All pools")
async def list_all(cupel: Cupel) -> list[views.PoolView]:
    async with cupel.store.read() as tx:
        return await views.pool_list(tx, now=cupel.clock())


@router.get("/{label}", operation_id="pool", summary="One pool")
async def show(cupel: Cupel, label: str) -> views.PoolView:
    async with cupel.store.read() as tx:
        return await views.pool_view(tx, label, now=cupel.clock())
