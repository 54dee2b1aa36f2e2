"""Artefacts: the files that builds left. They are hostile: nothing of them runs in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Annotated, BinaryIO
from urllib.parse import quote

import fastapi
from fastapi.responses import Response, StreamingResponse

from cupel.api import ranges
from cupel.api.caller import FETCHER, Cupel
from cupel.control import views
from cupel.errors import NotFound

router = fastapi.APIRouter(prefix="/api/builds", tags=["artefacts"], dependencies=[FETCHER])

PIECE = 256 << 10

EMPTY_TAR = bytes(1024)
"""The tar of a build that left nothing."""

SAFE = {
    ".txt": "text/plain",
    ".log": "text/plain",
    ".json": "application/json",
    ".csv": "text/csv",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
"""Types that no browser runs anything of; every other file is just bytes."""

GUARD = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}


@router.get("/{id}/artefacts", operation_id="artefact_list", summary="What a build left")
async def list_all(cupel: Cupel, id: int) -> list[views.ArtefactView]:
    async with cupel.store.read() as tx:
        await views.build_row(tx, id)
        return await views.artefact_list(tx, id)


@router.get(
    "/{id}/artefacts.tar",
    operation_id="artefact_tar",
    summary="What a build left, as a tar",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-tar": {}}, "description": "Empty for nothing"}},
)
async def tar(
    cupel: Cupel,
    id: int,
    records: Annotated[
        bool, fastapi.Query(description="With results of tests and what its machine left.")
    ] = True,
) -> StreamingResponse:
    async with cupel.store.read() as tx:
        await views.build_row(tx, id)
    pieces: Iterator[bytes]
    try:
        pieces = cupel.artefacts.tar(id, records=records)
    except NotFound:
        # Who needs a job gets what it left, also when that is nothing.
        pieces = iter([EMPTY_TAR])
    return StreamingResponse(
        pieces,
        media_type="application/x-tar",
        headers={**GUARD, "Content-Disposition": f'attachment; filename="build-{id}.tar"'},
    )


@router.get(
    "/{id}/artefacts/{path:path}",
    operation_id="artefact",
    summary="One file that a build left",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The file"},
        206: {"description": "The part of it that `Range` asks for"},
        416: {"description": "There is no such part"},
    },
)
async def show(
    cupel: Cupel,
    id: int,
    path: str,
    range: Annotated[
        str | None, fastapi.Header(description="Bytes of the file, as `bytes=0-99`.")
    ] = None,
) -> Response:
    async with cupel.store.read() as tx:
        found = await views.artefact_view(tx, id, path)
    name = PurePosixPath(path)
    headers = {
        **GUARD,
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name.name, safe='')}",
        "ETag": f'"{found.sha256}"',
    }
    part = ranges.parse(range, found.size)
    if isinstance(part, ranges.Unsatisfiable):
        headers["Content-Range"] = f"bytes */{found.size}"
        return Response(None, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers)
    headers["Content-Length"] = str(part.length)
    if part.partial:
        headers["Content-Range"] = f"bytes {part.start}-{part.start + part.length - 1}/{part.size}"
    return StreamingResponse(
        _pieces(cupel.artefacts.open(id, path), part),
        HTTPStatus.PARTIAL_CONTENT if part.partial else HTTPStatus.OK,
        headers,
        media_type=SAFE.get(name.suffix.lower(), "application/octet-stream"),
    )


def _pieces(file: BinaryIO, part: ranges.Part) -> Iterator[bytes]:
    with file:
        file.seek(part.start)
        left = part.length
        while left and (piece := file.read(min(PIECE, left))):
            left -= len(piece)
            yield piece
