"""Flaky tests, and those that are quarantined."""

from __future__ import annotations

from typing import Annotated

import fastapi
from starlette.responses import Response

from cupel.control import views
from cupel.web import site
from cupel.web.problem import PageRoute
from cupel.web.site import Frame

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)


@router.get("/flakes")
async def flakes(
    request: fastapi.Request, project: Annotated[str, fastapi.Query()] = ""
) -> Response:
    here = site.of(request)
    now = here.now()
    async with here.server.store.read() as tx:
        known = await views.flake_list(tx, now=now, project=project or None, limit=200)
        held = await views.quarantine_list(tx, now=now, project=project or None)
    frame = Frame(section="/flakes")
    return await here.page(request, "flakes.html", frame, now=now, flakes=known, held=held)
