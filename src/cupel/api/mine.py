"""What concerns one user: their changes, and what they have asked for."""

from __future__ import annotations

from typing import Annotated

import fastapi

from cupel.api.caller import READER, Caller, Cupel
from cupel.control import views
from cupel.errors import UserError

router = fastapi.APIRouter(prefix="/api/mine", tags=["status"], dependencies=[READER])


@router.get("", operation_id="mine", summary="What concerns a user")
async def show(
    cupel: Cupel,
    principal: Caller,
    user: Annotated[
        str | None, fastapi.Query(max_length=200, description="By default whose token it is.")
    ] = None,
) -> views.MineView:
    name = user or (None if principal is None else principal.user)
    if name is None:
        raise UserError("whose changes are meant is not said", hint="name the `user`, or log in")
    async with cupel.store.read() as tx:
        return await views.mine_view(tx, name, now=cupel.clock())
