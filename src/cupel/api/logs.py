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
from cupel.control import views
from cupel.control.context import Context
from cupel.control.feed import Subscription
from cupel.core.model import BuildState
from cupel.errors import NotFound, UserError
from cupel.log.query import LONGEST, Query
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
    step: Annotated[
        int | None, fastapi.Query(ge=1, description="Only the text of this step, from 1.")
    ] = None,
    range: Annotated[
        str | None, fastapi.Header(description="Bytes of the text, as `bytes=0-99`.")
    ] = None,
) -> Response:
    async with cupel.store.read() as tx:
        build = await views.build_row(tx, id)
    reader = cupel.logs.reader(id)
    if step is not None:
        if follow or start or format is not Format.TEXT:
            raise UserError(
                "step: the text of one step is neither followed, nor begun in the middle, nor JSON",
                hint="leave out `follow`, `start` and `format`, or `step`",
            )
        return _text(reader, await _spans(cupel, id, step), range)
    if format is Format.TEXT and not follow and start == 0:
        return _text(reader, [(0, reader.size)], range)
    batches = follow_lines(cupel, id, start) if follow else _lines(reader, start)
    if format is Format.JSON:
        names = views.machine_names(build)
        said = _said(batches, lambda line: _json(line, names))
        return StreamingResponse(said, media_type="application/jsonl")
    return StreamingResponse(_said(batches, _printed), media_type="text/plain")


Span = tuple[int, int]
"""Where bytes of the text begin and end."""


async def _spans(cupel: Context, build: int, step: int) -> list[Span]:
    """Where a step's lines stand: together, unless steps of several machines ran side by side."""
    reader = cupel.logs.reader(build)
    outline = await cupel.logs.outline(build)
    runs = [fold for fold in outline.folds if fold.kind == "step" and fold.step == step - 1]
    if not runs:
        raise NotFound(f"step {step} of build {build} has not written anything")
    return [reader.span(fold.first, fold.last) for fold in runs]


def _text(reader: LogReader, spans: Sequence[Span], range: str | None) -> Response:
    """The text as it stands now, or a part of it."""
    size = sum(end - start for start, end in spans)
    part = ranges.parse(range, size)
    # What is asked for by its bytes must not be squeezed on its way.
    headers = {"Accept-Ranges": "bytes", "Content-Encoding": "identity"}
    if isinstance(part, ranges.Unsatisfiable):
        headers["Content-Range"] = f"bytes */{size}"
        return Response(None, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers)
    headers["Content-Length"] = str(part.length)
    if part.partial:
        headers["Content-Range"] = f"bytes {part.start}-{part.start + part.length - 1}/{part.size}"
    return StreamingResponse(
        _bytes(reader, _within(spans, part)),
        HTTPStatus.PARTIAL_CONTENT if part.partial else HTTPStatus.OK,
        headers,
        media_type="text/plain",
    )


def _within(spans: Sequence[Span], part: ranges.Part) -> list[Span]:
    """The pieces of the spans that a part of them all is in."""
    found, before = [], 0
    for start, end in spans:
        first = max(start, start + part.start - before)
        last = min(end, start + part.start + part.length - before)
        if first < last:
            found.append((first, last))
        before += end - start
    return found


async def _bytes(reader: LogReader, spans: Sequence[Span]) -> AsyncIterator[bytes]:
    """The promised bytes: a log only grows, so they stay what they were."""
    for start, end in spans:
        at = start
        while at < end:
            chunk = reader.read(at, min(CHUNK, end - at))
            if not chunk:
                return
            yield chunk
            at += len(chunk)


@router.get(
    "/{id}/log/lines",
    operation_id="build_log_lines",
    summary="Some lines of a build's log",
)
async def lines(
    cupel: Cupel,
    id: int,
    start: Annotated[
        int, fastapi.Query(alias="from", ge=0, description="The first line, from 0.")
    ] = 0,
    count: Annotated[int, fastapi.Query(ge=1, le=BATCH, description="How many at most.")] = 100,
) -> views.LogLinesView:
    async with cupel.store.read() as tx:
        build = await views.build_row(tx, id)
    return views.log_lines(build, cupel.logs.reader(id), start, count)


@router.get(
    "/{id}/log/outline",
    operation_id="build_log_outline",
    summary="What a build's log consists of",
)
async def outline(cupel: Cupel, id: int) -> views.OutlineView:
    """Steps, and within them what is marked by `::group::` or by `---`, `+++` and `~~~`."""
    async with cupel.store.read() as tx:
        build = await views.build_row(tx, id)
    return views.outline_view(build, await cupel.logs.outline(id))


@router.get(
    "/{id}/log/search",
    operation_id="build_log_search",
    summary="Lines of a build's log in which something is found",
)
async def search(
    cupel: Cupel,
    id: int,
    q: Annotated[
        str, fastapi.Query(max_length=LONGEST, description="A text, or with `regex` a pattern.")
    ] = "",
    regex: Annotated[
        bool, fastapi.Query(description="`q` is a regular expression of Python's.")
    ] = False,
    case: Annotated[bool, fastapi.Query(description="Capital letters matter.")] = False,
    word: Annotated[bool, fastapi.Query(description="Whole words only.")] = False,
    severity: Annotated[
        str, fastapi.Query(description="Only lines that tell of an `error`, or of a `warning` too.")
    ] = "",
    stream: Annotated[str, fastapi.Query(description="Only from `out`, `err` or `cupel`.")] = "",
    machine: Annotated[
        str | None, fastapi.Query(description="Only from this machine of several.")
    ] = None,
    start: Annotated[
        int, fastapi.Query(alias="from", ge=0, description="The first line, from 0.")
    ] = 0,
    limit: Annotated[
        int, fastapi.Query(ge=0, le=BATCH, description="How many lines to give; all are counted.")
    ] = 100,
) -> views.FoundView:
    """Lines are looked at as a terminal shows them, each by itself."""
    async with cupel.store.read() as tx:
        build = await views.build_row(tx, id)
    wanted = Query(
        text=q, regex=regex, case=case, word=word, severity=severity, stream=stream,
        part=views.part_of(build, machine),
    )  # fmt: skip
    found = await cupel.logs.find(id, wanted, start, limit)
    return views.found_view(build, cupel.logs.reader(id), found)


@router.get(
    "/{id}/log/at",
    operation_id="build_log_at",
    summary="The line that was written at a time",
)
async def at(
    cupel: Cupel,
    id: int,
    time: Annotated[float, fastapi.Query(ge=0, le=1e11, description="Seconds since 1970.")],
) -> views.MomentView:
    async with cupel.store.read() as tx:
        await views.build_row(tx, id)
    return views.moment_view(cupel.logs.reader(id), time)


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
    return views.log_line(line, machines).model_dump_json() + "\n"


def _printed(line: Line) -> str:
    return line.text + "\n" if line.ended else line.text
