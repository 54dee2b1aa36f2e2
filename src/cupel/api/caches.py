"""Caches: what builds keep for later ones."""

from __future__ import annotations

from typing import Annotated

import fastapi

from cupel.api.caller import READER, Cupel, Writer
from cupel.control import views

router = fastapi.APIRouter(prefix="/api/caches", tags=["caches"])


@router.get("", operation_id="cache_list", summary="All caches", dependencies=[READER])
async def list_all(
    cupel: Cupel,
    project: Annotated[str | None, fastapi.Query(description="Only those of a project.")] = None,
) -> list[views.CacheView]:
    async with cupel.store.read() as tx:
        return await views.cache_list(tx, project=project)


@router.delete("/{project}", operation_id="cache_clear", summary="Remove a project's caches")
async def clear(
    cupel: Cupel,
    writer: Writer,
    project: str,
    name: Annotated[str | None, fastapi.Query(description="Only those of this name.")] = None,
) -> views.ClearedView:
    """Builds that have one go on with it; the next ones begin without."""
    count = await cupel.commands.clear_caches(project, cache=name, user=writer.user)
    return views.ClearedView(cleared=count)
