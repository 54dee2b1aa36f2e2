"""Rules of queues: what lands together, how far ahead is proved, whether the tree is open."""

from __future__ import annotations

from typing import Annotated

import fastapi
import pydantic

from cupel.api.caller import READER, Administrator, Cupel
from cupel.control import views
from cupel.control.context import Context
from cupel.core.model import Landing

router = fastapi.APIRouter(prefix="/api/rules", tags=["rules"])


class RulesRequest(pydantic.BaseModel):
    """What to change of a queue's rules; what is left out stays. A window of null is none."""

    model_config = pydantic.ConfigDict(extra="forbid")

    landing: Landing = Landing.STRICT
    planner: str = ""
    window: Annotated[int, pydantic.Field(ge=1)] | None = None
    window_floor: Annotated[int, pydantic.Field(ge=1)] = 1
    window_ceiling: Annotated[int, pydantic.Field(ge=1)] | None = None
    cycles: bool = False


class ClosingRequest(pydantic.BaseModel):
    """Why nothing may land for now, for all who wait."""

    model_config = pydantic.ConfigDict(extra="forbid")

    reason: Annotated[str, pydantic.Field(min_length=1, max_length=500)]


@router.get("", operation_id="rules_list", summary="Rules of all queues", dependencies=[READER])
async def list_all(cupel: Cupel) -> list[views.RulesView]:
    async with cupel.store.read() as tx:
        return await views.rules_list(tx)


@router.get("/{name}", operation_id="rules", summary="Rules of a queue", dependencies=[READER])
async def show(cupel: Cupel, name: str) -> views.RulesView:
    return await _shown(cupel, name)


@router.get(
    "/{name}/plan", operation_id="plan", summary="What a queue expects", dependencies=[READER]
)
async def plan(
    cupel: Cupel,
    name: str,
    branch: Annotated[str | None, fastapi.Query(description="By default the first.")] = None,
) -> views.PlanView:
    async with cupel.store.read() as tx:
        return await views.plan_view(tx, name, branch, now=cupel.clock())


@router.patch("/{name}", operation_id="rules_set", summary="Make a queue or change its rules")
async def change(
    cupel: Cupel, admin: Administrator, name: str, request: RulesRequest
) -> views.RulesView:
    asked = request.model_dump(exclude_unset=True)
    await cupel.commands.set_queue(name, asked, user=admin.user)
    return await _shown(cupel, name)


@router.post("/{name}/close", operation_id="rules_close", summary="Let nothing land for now")
async def close(
    cupel: Cupel, admin: Administrator, name: str, request: ClosingRequest
) -> views.RulesView:
    await cupel.commands.close_queue(name, reason=request.reason, user=admin.user)
    return await _shown(cupel, name)


@router.post("/{name}/open", operation_id="rules_open", summary="Let changes land again")
async def reopen(cupel: Cupel, admin: Administrator, name: str) -> views.RulesView:
    await cupel.commands.open_queue(name, user=admin.user)
    return await _shown(cupel, name)


async def _shown(cupel: Context, name: str) -> views.RulesView:
    async with cupel.store.read() as tx:
        return await views.rules_view(tx, name)
