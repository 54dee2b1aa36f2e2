"""Holds: machines that are kept for people."""

from __future__ import annotations

from typing import Annotated

import fastapi
import pydantic

from cupel.api.caller import READER, Cupel, Writer
from cupel.control import holds, views
from cupel.control.context import Context

router = fastapi.APIRouter(prefix="/api/holds", tags=["holds"])


class HoldRequest(pydantic.BaseModel):
    """What to keep: the machine of a build, or of those that fail, of a job, change or project."""

    model_config = pydantic.ConfigDict(extra="forbid")

    build: int | None = None
    project: str | None = None
    change: int | None = None
    job: Annotated[str, pydantic.Field(min_length=1, max_length=500)] | None = None
    count: int = 1
    seconds: float = holds.SECONDS
    reason: Annotated[str, pydantic.Field(min_length=1, max_length=500)]


@router.get("", operation_id="hold_list", summary="Holds, newest first", dependencies=[READER])
async def list_all(
    cupel: Cupel,
    over: Annotated[bool, fastapi.Query(description="Those that are over, too.")] = False,
) -> list[views.HoldView]:
    async with cupel.store.read() as tx:
        return await views.hold_list(tx, now=cupel.clock(), over=over)


@router.post("", operation_id="hold_ask", summary="Have machines kept")
async def ask(cupel: Cupel, writer: Writer, request: HoldRequest) -> views.HoldView:
    wish = holds.Wish(**request.model_dump())
    return await _shown(cupel, await cupel.holds.ask(wish, writer))


@router.delete("/{id}", operation_id="hold_release", summary="Let the machines of a hold go")
async def release(cupel: Cupel, writer: Writer, id: int) -> views.HoldView:
    await cupel.holds.release(id, writer)
    return await _shown(cupel, id)


async def _shown(cupel: Context, id: int) -> views.HoldView:
    async with cupel.store.read() as tx:
        return await views.hold_view(tx, id, now=cupel.clock())
