"""Images: what machines are made of, who uses them, and the logs of their builds."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import fastapi
from starlette.responses import RedirectResponse, Response

from cupel.control import auth, views
from cupel.control.auth import Scope
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
    labels = here.server.config.labels
    found = views.image_list(here.server.images)
    return await here.page(
        request,
        "images.html",
        Frame(section="/images", stream=live.address()),
        now=here.now(),
        named=[image for image in found if image.state != "retired"],
        retired=[image for image in found if image.state == "retired"],
        users={
            image.name: [name for name in sorted(labels) if labels[name].image.name == image.name]
            for image in found
            if image.name is not None
        },
    )


@router.get("/images/{name}")
async def image(
    request: fastapi.Request,
    name: str,
    against: Annotated[str | None, fastapi.Query(max_length=80)] = None,
) -> Response:
    """An image; what changed in it since another of its digests, if one is said."""
    here = site.of(request)
    async with here.server.store.read() as tx:
        past = await views.image_past(tx, here.server.images, here.server.config.labels, name)
    changed = None
    if against is not None and past.image.digest is not None:
        changed = views.difference_view(here.server.images.difference(against, past.image.digest))
    return await here.page(
        request,
        "image.html",
        Frame(section="/images", stream=live.address()),
        now=here.now(),
        past=past,
        image=past.image,
        changed=changed,
        log=_log(here, name),
    )


@router.post("/images/{name}/build")
async def build(request: fastapi.Request, name: str) -> Response:
    """Build it anew; machines are made of what there is until it stands."""
    here = site.of(request)
    await here.form(request, Scope.ADMIN)
    here.server.images.request(name)
    return _back(name)


@router.get("/images/{name}/rollback")
async def ask_to_roll_back(request: fastapi.Request, name: str) -> Response:
    """What rolling back would do, and whether that is meant."""
    here = site.of(request)
    auth.require(await here.principal(request), Scope.ADMIN)
    shown = views.image_view(here.server.images, name)
    return await here.page(
        request,
        "question.html",
        Frame(section="/images"),
        question=f"Use the image of {name} before the current one?",
        words=[
            f"Machines are made of {shown.previous or 'nothing: there is none before it'} again.",
            f"{shown.digest} is given up: it is not used any more, also if it is built again.",
        ],
        action=f"/images/{quote(name)}/rollback",
        word="Use the one before",
        back=f"/images/{quote(name)}",
        back_word=name,
    )


@router.post("/images/{name}/rollback")
async def roll_back(request: fastapi.Request, name: str) -> Response:
    """Use the image before the current one again."""
    here = site.of(request)
    await here.form(request, Scope.ADMIN)
    here.server.images.roll_back(name)
    return _back(name)


def _back(name: str) -> Response:
    return RedirectResponse(f"/images/{quote(name)}", status_code=303)


def _log(here: site.Site, name: str) -> str:
    try:
        path = here.server.images.log(name)
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LONGEST_LOG))
            return file.read().decode(errors="replace")
    except (NotFound, FileNotFoundError):
        return ""
