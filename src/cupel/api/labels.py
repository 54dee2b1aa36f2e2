"""Labels: what jobs may ask for."""

from __future__ import annotations

import fastapi

from cupel.api.caller import READER, Cupel
from cupel.control import views

router = fastapi.APIRouter(prefix="/api/labels", tags=["pools"], dependencies=[READER])


@router.get("", operation_id="label_list", summary="All labels")
async def list_all(cupel: Cupel) -> list[views.LabelView]:
    return views.label_list(cupel.config.labels)
