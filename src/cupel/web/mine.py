"""What concerns whoever looks, or another user: their changes, and what they have asked for."""

from __future__ import annotations

from typing import Annotated

import fastapi
from starlette.responses import Response

from cupel.control import views
from cupel.web import live, site
from cupel.web.problem import PageRoute
from cupel.web.site import Frame

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)


@router.get("/mine")
async def mine(
    request: fastapi.Request, user: Annotated[str, fastapi.Query(max_length=200)] = ""
) -> Response:
    """`user` is another's name; without it, of who is logged in."""
    here = site.of(request)
    who = await here.principal(request)
    name = user.strip() or ("" if who is None else who.user)
    now = here.now()
    found = None
    if name:
        async with here.server.store.read() as tx:
            found = await views.mine_view(tx, name, now=now)
    frame = Frame(section="/mine", stream=live.address())
    own = who is not None and name == who.user
    return await here.page(request, "mine.html", frame, now=now, found=found, own=own)
