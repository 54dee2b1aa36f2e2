"""Machines, each used once."""

from __future__ import annotations

from typing import Annotated

import fastapi

from cupel.api.caller import READER, Administrator, Before, Cupel, Limit
from cupel.control import views

router = fastapi.APIRouter(prefix="/api/machines", tags=["machines"], dependencies=[READER])


@router.get("", operation_id="machine_list", summary="Machines, newest first")
async def list_all(
    cupel: Cupel,
    gone: Annotated[bool, fastapi.Query(description="Those that are gone, too.")] = False,
    limit: Limit = 50,
    before: Before = None,
) -> views.Page[views.MachineView]:
    async with cupel.store.read() as tx:
        return await views.machine_list(
            tx, now=cupel.clock(), gone=gone, limit=limit, before=before
        )


@router.get("/{id}", operation_id="machine", summary="One machine")
async def show(cupel: Cupel, id: int) -> views.MachineView:
    async with cupel.store.read() as tx:
        return await views.machine_view(tx, id, now=cupel.clock())


@router.get("/{id}/history", operation_id="machine_history", summary="What a machine went through")
async def history(cupel: Cupel, id: int) -> views.MachinePastView:
    async with cupel.store.read() as tx:
        return await views.machine_past(tx, id, now=cupel.clock())


@router.delete("/{id}", operation_id="machine_delete", summary="Delete a machine")
async def delete(cupel: Cupel, admin: Administrator, id: int) -> views.MachineView:
    await cupel.commands.delete_machine(id, user=admin.user)
    async with cupel.store.read() as tx:
        return await views.machine_view(tx, id, now=cupel.clock())
