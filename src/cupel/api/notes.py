"""What builds said of lines of the source: annotations, and coverage of what a change adds."""

from __future__ import annotations

import fastapi

from cupel.api.caller import READER, Cupel
from cupel.control import views

router = fastapi.APIRouter(prefix="/api", tags=["tests"], dependencies=[READER])


@router.get("/builds/{id}/notes", operation_id="build_notes", summary="What a build said of lines")
async def of_build(cupel: Cupel, id: int) -> views.NotesView:
    async with cupel.store.read() as tx:
        return await views.build_notes(tx, cupel.results, cupel.repositories.root, id)


@router.get("/changes/{id}/notes", operation_id="change_notes", summary="What was said of lines")
async def of_change(cupel: Cupel, id: int) -> views.NotesView:
    async with cupel.store.read() as tx:
        return await views.change_notes(tx, cupel.results, cupel.repositories.root, id)
