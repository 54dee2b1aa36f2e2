"""What a build left, to download: never shown, because a build is hostile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

import fastapi
from starlette.responses import StreamingResponse

from cupel.control import views
from cupel.web import site
from cupel.web.problem import PageRoute

PIECE = 256 << 10

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)


@router.get("/builds/{id}/artefacts/{path:path}")
async def artefact(request: fastapi.Request, id: int, path: str) -> StreamingResponse:
    here = site.of(request)
    async with here.server.store.read() as tx:
        await views.build_row(tx, id)
    name = quote(PurePosixPath(path).name, safe="")
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "Content-Security-Policy": "sandbox",
        "Cache-Control": "no-store",
    }
    content = _pieces(here.server.artefacts.open(id, path))
    return StreamingResponse(content, media_type="application/octet-stream", headers=headers)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece
