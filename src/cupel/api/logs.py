"""Logs of builds: as printed, by parts, line by line, and while they grow."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Callable, Sequence
from http import HTTPStatus
from typing import Annotated

import fastapi
from fastapi.responses import Response, StreamingResponse

from cupel.api import ranges
from cupel.api.caller import READER, Cupel
from cupel.api.nouns import LineView
from cupel.control import views
from cupel.control.context import Context
from cupel.control.feed import Subscription
from cupel.core.model import BuildState
from cupel.log import index
from cupel.log.stream import Line, LogReader

router = fastapi.APIRouter(prefix="/api/builds", tags=["builds"], dependencies=[READER])

CHUNK = 256 << 10
BATCH = 1000
NEWS = 1.0
"""Seconds after which a follower looks whether a log has begun without being told so."""


class Format(enum.StrEnum):
    TEXT = "text"
    JSON = "json"


@router.get(
    "/{id}/log",
    operation_id="build_log",
    summary="A build's log",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/plain": {}, "application/jsonl": {}},
            "description": "The text as printed, or a JSON object per line",
        },
        206: {"description": "The part of the text that `Range` asks for"},
        416: {"description": "There is no such part"},
    },
)
async def log(
    cupel: Cupel,
    id: int,
    follow: Annotated[
        bool, fastapi.Query(description="Go on until the build has finished.")
    ] = False,
    format: Annotated[Format, fastapi.Query(description="The text, or lines as JSON.")] = (
        Format.TEXT
    ),
    start: Annotated[
        int, fastapi.Query(ge=0, description="The first line, from 0 (not with `Range`).")
    ] = 0,
    range: Annotated[
        str | None, fastapi.Header(description="Bytes of the text, as `bytes=0-99`.")
    ] = None,
) -> Response:
    async with cupel.store.read() as tx:
        build = await views.build_row(tx, id)
    reader = cupel.logs.reader(id)
    if format is Format.TEXT and not follow and start == 0:
        return _text(reader, range)
    batches = follow_lines(cupel, id, start) if follow else _lines(reader, start)
    if format is Format.JSON:
        names = [part.name for part in build.parts]
        said = _said(batches, lambda line: _json(line, names))
        return StreamingResponse(said, media_type="application/jsonl")
    return StreamingResponse(_said(batches, _printed), media_type="text/plain")


def _text(reader: LogReader, range: str | None) -> Response:
    """The text as it stands now, or a part of it."""
    part = ranges.parse(range, reader.size)
    headers = {"Accept-Ranges": "bytes"}
    if isinstance(part, ranges.Unsatisfiable):
        headers["Content-Range"] = f"bytes */{reader.size}"
        return Response(None, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers)
    headers["Content-Length"] = str(part.length)
    if part.partial:
        headers["Content-Range"] = f"bytes {part.start}-{part.start + part.length - 1}/{part.size}"
    return StreamingResponse(
        _bytes(reader, part),
        HTTPStatus.PARTIAL_CONTENT if part.partial else HTTPStatus.OK,
        headers,
        media_type="text/plain",
    )


async def _bytes(reader: LogReader, part: ranges.Part) -> AsyncIterator[bytes]:
    """The promised bytes: a log only grows, so they stay what they were."""
    at, end = part.start, part.start + part.length
    while at < end:
        chunk = reader.read(at, min(CHUNK, end - at))
        if not chunk:
            return
        yield chunk
        at += len(chunk)


async def _lines(reader: LogReader, start: int) -> AsyncIterator[Sequence[Line]]:
    """What there is from line number `start` on, many lines at once."""
    while batch := reader.lines(start, BATCH):
        yield batch
        start += len(batch)
        await asyncio.sleep(0)  # a long log must not keep others from being served


async def follow_lines(cupel: Context, build: int, start: int) -> AsyncIterator[Sequence[Line]]:
    """The lines from number `start` on, until the build has finished; before it began, too."""
    reader = cupel.logs.reader(build)
    with cupel.feed.subscribe() as news:
        while True:
            over = await _finished(cupel, build)
            async for batch in _lines(reader, start):
                yield batch
                start = batch[-1].number + 1
            if over:
                return
            async for line in reader.follow(start):
                yield (line,)
                start = line.number + 1
            if not await _finished(cupel, build) and not await _wait(news, build):
                return


async def _finished(cupel: Context, build: int) -> bool:
    async with cupel.store.read() as tx:
        return (await views.build_row(tx, build)).state is BuildState.FINISHED


async def _wait(news: Subscription, build: int) -> bool:
    """Wait for news of the build, but not long; False when there will be no more."""
    try:
        async with asyncio.timeout(NEWS):
            async for event in news:
                if event.build_id == build:
                    return True
    except TimeoutError:
        return True
    return False


async def _said(
    batches: AsyncIterator[Sequence[Line]], say: Callable[[Line], str]
) -> AsyncIterator[str]:
    async for batch in batches:
        yield "".join(map(say, batch))


def _json(line: Line, machines: Sequence[str]) -> str:
    view = LineView(
        number=line.number,
        at=line.at,
        step=None if line.step == index.NO_STEP else line.step + 1,
        stream=line.stream,
        text=line.text,
        continues=line.continues,
        ended=line.ended,
        machine=machines[line.part] if line.part < len(machines) else None,
    )
    return view.model_dump_json() + "\n"


def _printed(line: Line) -> str:
    return line.text + "\n" if line.ended else line.text
