"""Labels: what jobs may ask for."""

from __future__ import annotations

from typing import Annotated

import fastapi

from cupel.api.caller import READER, Cupel, Writer
from cupel.control import orders, views
from cupel.host import messages
from cupel.image import base

router = fastapi.APIRouter(prefix="/api/labels", tags=["pools"], dependencies=[READER])


@router.get("", operation_id="label_list", summary="All labels")
async def list_all(cupel: Cupel) -> list[views.LabelView]:
    return views.label_list(cupel.config.labels)


@router.get("/machines", operation_id="label_machines", summary="How machines of labels are made")
async def machines(
    cupel: Cupel,
    writer: Writer,
    architecture: Annotated[
        str, fastapi.Query(description="Of the computer that makes them, by Debian's name.")
    ],
) -> list[messages.MachineSpec]:
    """Each with the digest of its image, if the server has it for computers like this."""
    labels = cupel.config.labels
    if architecture != base.architecture():
        return [orders.machine_spec(name, label) for name, label in labels.items()]
    return [
        orders.offered_spec(name, label, cupel.images, architecture)
        for name, label in labels.items()
    ]
