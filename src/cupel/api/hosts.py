"""Hosts: the computers that make machines."""

from __future__ import annotations

from typing import Annotated

import fastapi

from cupel.api.caller import READER, Administrator, Cupel
from cupel.control import views

DAY = 86_400.0

router = fastapi.APIRouter(prefix="/api/hosts", tags=["hosts"], dependencies=[READER])


@router.get("", operation_id="host_list", summary="All hosts")
async def list_all(cupel: Cupel) -> list[views.HostView]:
    async with cupel.store.read() as tx:
        return await views.host_list(tx, now=cupel.clock(), loads=cupel.loads)


@router.get("/{name}", operation_id="host", summary="One host")
async def show(cupel: Cupel, name: str) -> views.HostView:
    async with cupel.store.read() as tx:
        return await views.host_view(tx, name, now=cupel.clock(), loads=cupel.loads)


@router.get("/{name}/history", operation_id="host_history", summary="What a host went through")
async def history(cupel: Cupel, name: str) -> views.HostPastView:
    async with cupel.store.read() as tx:
        return await views.host_past(tx, name, now=cupel.clock(), loads=cupel.loads)


@router.get("/{name}/load", operation_id="host_load", summary="How busy a host was")
async def load(
    cupel: Cupel,
    name: str,
    seconds: Annotated[
        float, fastapi.Query(gt=0, le=DAY, description="How far to look back; a day at most.")
    ] = 3600.0,
) -> list[views.LoadThenView]:
    async with cupel.store.read() as tx:
        await views.host_view(tx, name, now=cupel.clock())
    return views.host_loads(cupel.past_loads, name, seconds=seconds, now=cupel.clock())


@router.delete("/{name}", operation_id="host_forget", summary="Forget a host", status_code=204)
async def forget(cupel: Cupel, admin: Administrator, name: str) -> None:
    await cupel.commands.forget_host(name, user=admin.user)


@router.post("/{name}/drain", operation_id="host_drain", summary="Empty a host")
async def drain(cupel: Cupel, admin: Administrator, name: str) -> views.HostView:
    await cupel.commands.drain_host(name, draining=True, user=admin.user)
    return await show(cupel, name)


@router.post("/{name}/release", operation_id="host_release", summary="End a host's quarantine")
async def release(cupel: Cupel, admin: Administrator, name: str) -> views.HostView:
    await cupel.commands.release_host(name, user=admin.user)
    return await show(cupel, name)


@router.post("/{name}/undrain", operation_id="host_undrain", summary="Use a host again")
async def undrain(cupel: Cupel, admin: Administrator, name: str) -> views.HostView:
    await cupel.commands.drain_host(name, draining=False, user=admin.user)
    return await show(cupel, name)
