"""Images: what machines are made of, and the logs of their builds."""

from __future__ import annotations

import fastapi
from starlette.responses import Response

from cupel.control import views
from cupel.errors import NotFound
from cupel.web import live, site
from cupel.web.problem import PageRoute
from cupel.web.site import Frame

LONGEST_LOG = 256 << 10
"""Bytes of the end of a log that the page shows; the API has all of it."""

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)


@router.get("/images")
async def images(request: fastapi.Request) -> Response:
    here = site.of(request)
    found = views.image_list(here.server.images)
    return await here.page(
        request,
        "images.html",
        Frame(section="/images", stream=live.address()),
        now=here.now(),
        named=[image for image in found if image.state != "retired"],
        retired=[image for image in found if image.state == "retired"],
    )


@router.get("/images/{name}")
async def image(request: fastapi.Request, name: str) -> Response:
    here = site.of(request)
    return await here.page(
        request,
        "image.html",
        Frame(section="/images", stream=live.address()),
        now=here.now(),
        image=views.image_view(here.server.images, name),
        log=_log(here, name),
    )


def _log(here: site.Site, name: str) -> str:
    try:
        path = here.server.images.log(name)
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LONGEST_LOG))
            return file.read().decode(errors="replace")
    except (NotFound, FileNotFoundError):
        return ""
