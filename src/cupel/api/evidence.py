"""Evidence: what passes have proved, by key."""

from __future__ import annotations

from typing import Annotated

import fastapi

from cupel.api.caller import READER, Cupel
from cupel.control import views

router = fastapi.APIRouter(prefix="/api/evidence", tags=["builds"], dependencies=[READER])

Key = Annotated[
    str, fastapi.Path(pattern="^[0-9a-f]{64}$", description="The digest of what a job depends on.")
]


@router.get("/{key}", operation_id="evidence", summary="The pass that is good for a key")
async def show(cupel: Cupel, key: Key) -> views.EvidenceView:
    async with cupel.store.read() as tx:
        return await views.evidence_view(tx, key)
