"""What happened, newest first."""

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


@router.get("/events")
async def events(
    request: fastapi.Request, before: Annotated[int | None, fastapi.Query()] = None
) -> Response:
    here = site.of(request)
    async with here.server.store.read() as tx:
        page = await views.event_list(tx, before=before)
    frame = Frame(section="/events", stream=live.address())
    return await here.page(request, "events.html", frame, now=here.now(), page=page)
