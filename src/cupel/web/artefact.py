"""What builds left: a directory at a time, and each file in a viewer of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, BinaryIO

import fastapi
from starlette.responses import Response, StreamingResponse

from cupel.control import views
from cupel.core import key
from cupel.errors import NotFound
from cupel.web import site, viewer
from cupel.web.problem import PageRoute
from cupel.web.site import Frame, Site
from cupel.web.viewer import picture

LARGEST_PICTURE = 32 << 20
"""Bytes of an image that a page shows."""

IMAGE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Who opens a vector by its own address sees it without scripts, and as nobody's."""

_PIECE = 256 << 10
_FRAME = Frame(section="/changes")
router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)


@router.get("/builds/{id}/artefacts")
async def artefacts(
    request: fastapi.Request,
    id: int,
    within: Annotated[str, fastapi.Query(alias="in", max_length=2000)] = "",
) -> Response:
    here = site.of(request)
    async with here.server.store.read() as tx:
        build = await views.build_row(tx, id)
        left = await views.artefact_list(tx, id)
    directory = within.strip("/")
    found = views.directory(left, directory)
    if directory and not (found.directories or found.files):
        raise NotFound(
            f"build {id} left nothing in {directory[:200]!r}",
            hint=f"/builds/{id}/artefacts has all that it left",
        )
    return await here.page(
        request, "artefacts.html", _FRAME, build=build, found=found, total=len(left)
    )


@router.get("/builds/{id}/artefacts/{path:path}")
async def artefact(
    request: fastapi.Request,
    id: int,
    path: str,
    first: Annotated[int, fastapi.Query(alias="from", ge=1, le=10**9)] = 1,
) -> Response:
    here = site.of(request)
    async with here.server.store.read() as tx:
        build = await views.build_row(tx, id)
        file = await views.artefact_view(tx, id, path)
    shown = await asyncio.to_thread(_show, here, id, file, first)
    return await here.page(
        request,
        "artefact.html",
        _FRAME,
        build=build,
        file=file,
        shown=shown,
        kind=None if shown is None else viewer.kind(shown),
        title=PurePosixPath(file.path).name,
        parents=_parents(file.path),
        result=not key.is_made(file.path),
        too_large=_is_too_large(shown, file.size),
    )


@router.get("/builds/{id}/picture/{path:path}")
async def show_picture(request: fastapi.Request, id: int, path: str) -> Response:
    """An image for a page of ours to show: known by its bytes, and given no rights at all."""
    here = site.of(request)
    async with here.server.store.read() as tx:
        await views.build_row(tx, id)
        file = await views.artefact_view(tx, id, path)
    opened = here.server.artefacts.open(id, file.path)
    head = opened.read(viewer.HEAD)
    found = picture.media_type(head, PurePosixPath(file.path).suffix)
    if found is None or file.size > LARGEST_PICTURE:
        opened.close()
        raise NotFound(f"{file.path[:200]!r} of build {id} is no image that pages show")
    opened.seek(0)
    return StreamingResponse(
        _pieces(opened),
        media_type=found,
        headers={
            "Content-Security-Policy": IMAGE_POLICY,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, max-age=3600",
            "Content-Length": str(file.size),
            "ETag": f'"{file.sha256}"',
        },
    )


def _is_too_large(shown: viewer.Shown | None, size: int) -> bool:
    """Whether an image is larger than a page should load by itself."""
    return isinstance(shown, picture.Picture) and size > LARGEST_PICTURE


def _show(here: Site, id: int, file: views.ArtefactView, first: int) -> viewer.Shown | None:
    """How a file is shown; None if its content is not kept any more."""
    try:
        with here.server.artefacts.open(id, file.path) as opened:
            return viewer.of(file.path, opened, file.size, first=first)
    except (NotFound, FileNotFoundError):
        return None


def _parents(path: str) -> list[tuple[str, str]]:
    """The directories that lead to a file, each with its name and its path."""
    parts = path.split("/")[:-1]
    return [(name, "/".join(parts[: number + 1])) for number, name in enumerate(parts)]


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece
