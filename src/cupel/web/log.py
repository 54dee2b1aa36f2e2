"""The log on a build's page: a part of it, and for scripts any of its lines, and its tail.

Lines are numbered from 1 on the page and from 0 in the log, and in what scripts are told.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Annotated, cast

import fastapi
from starlette.responses import JSONResponse, Response, StreamingResponse

from cupel.control import views
from cupel.control.views import BuildView, StepView
from cupel.core.model import Build, BuildState
from cupel.errors import CupelError
from cupel.log import index, screen
from cupel.log.query import Query
from cupel.log.store import LogStore
from cupel.log.stream import Line, LogReader
from cupel.store.interface import Store
from cupel.web import ansi, live, site, static
from cupel.web.problem import PageRoute

PAGE = 500
"""Lines that a page shows without scripts, and before they run."""

CHUNK = 500
"""Lines that scripts get at once."""

GATHER = 0.05
"""Seconds in which lines gather into one message."""

COPIED = 100_000
"""Lines of text that are copied at once."""

FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
NEVER = {"Cache-Control": "no-store"}

NO_STEP = -1
"""The step before the first line."""

MAKING = "The machine"
"""What stands over lines that belong to no step."""

END = "event: end\ndata: 1\n\n"

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line as shown; `heading` is set where a step begins, `continues` if it goes on with one."""

    number: int
    at: float
    step: int
    stream: str
    text: str
    heading: str | None
    continues: bool
    machine: str | None = None
    """The one that it came from, in a job that has several."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Lines `first` to `last` of `total`; `earlier` and `later` bound the neighbouring parts."""

    lines: Sequence[Entry]
    first: int
    last: int
    total: int
    earlier: int
    later: int | None
    follow: bool


def part(
    reader: LogReader,
    steps: Sequence[StepView],
    start: int | None,
    *,
    growing: bool,
    machines: Sequence[str] = (),
) -> Part:
    """The part from line `start` (of 1) on, by default the last; one that grows is followed."""
    total = reader.line_count
    lines = _last(reader, total) if start is None else reader.lines(max(start, 1) - 1, PAGE)
    first = lines[0].number + 1 if lines else 1
    last = lines[-1].number + 1 if lines else 0
    return Part(
        lines=entries(lines, steps, before=NO_STEP, machines=machines),
        first=first,
        last=last,
        total=max(total, last),
        earlier=max(1, first - PAGE),
        later=min(last + PAGE, total) if last < total else None,
        follow=growing and last >= total,
    )


def entries(
    lines: Sequence[Line], steps: Sequence[StepView], *, before: int, machines: Sequence[str] = ()
) -> list[Entry]:
    """The lines as shown, after a line of step `before`; the log counts steps from 0."""
    names = {step.number - 1: step.name for step in steps}
    shown = []
    for line in lines:
        new = line.step != before
        shown.append(
            Entry(
                number=line.number + 1,
                at=line.at,
                step=line.step,
                stream=line.stream,
                text=line.text,
                heading=names.get(line.step, MAKING) if new else None,
                continues=line.continues,
                machine=machines[line.part] if line.part < len(machines) else None,
            )
        )
        before = line.step
    return shown


def _last(reader: LogReader, total: int) -> list[Line]:
    """The last lines, up to `PAGE`; fewer if the reader finds them too long."""
    lines: list[Line] = []
    for count in (PAGE, PAGE // 10, PAGE // 100):
        lines = reader.lines(max(0, total - count), count)
        if not lines or lines[-1].number + 1 >= total:
            break
    return lines


def about(build: BuildView, total: int, *, growing: bool) -> str:
    """What the viewer has to know of a log that has so many lines, as JSON."""
    steps = [
        {
            "number": step.number,
            "at": step.started_at,
            # What becomes of a step that runs is not known to the part of the page with the log.
            "state": "" if growing else step.state,
        }
        for step in build.steps
    ]
    return json.dumps(
        {
            "build": build.id,
            "total": total,
            "grows": growing,
            "began": build.started_at,
            "version": static.DIGEST,
            "steps": steps,
            "machines": build.machines,
        }
    )


def rows(lines: Sequence[Line]) -> list[tuple[float, int, int, int, int, str]]:
    """Lines as scripts get them: time, step, stream, part, flags, and harmless HTML."""
    return [
        (
            line.at,
            NO_STEP if line.step == index.NO_STEP else line.step,
            index.STREAMS.index(line.stream),
            line.part,
            index.CONTINUES * line.continues | index.ENDED * line.ended,
            str(ansi.render(line.text)),
        )
        for line in lines
    ]


@router.get("/builds/{id}/log/rows")
async def some_rows(
    request: fastapi.Request,
    id: int,
    start: Annotated[int, fastapi.Query(alias="from", ge=0)],
    count: Annotated[int, fastapi.Query(ge=1, le=CHUNK)],
) -> Response:
    """Lines from number `start` on. What is written stays, so browsers keep them for ever."""
    reader = (await _existing(request, id)).server.logs.reader(id)
    lines = reader.lines(start, count)
    said = {"first": start, "total": reader.line_count, "rows": rows(lines)}
    return JSONResponse(said, headers=FOREVER if len(lines) == count else NEVER)


@router.get("/builds/{id}/log/outline")
async def outline(request: fastapi.Request, id: int) -> Response:
    """The folds, as tuples of what `FoldView` has: there may be very many of them."""
    here = site.of(request)
    async with here.server.store.read() as tx:
        build = await views.build_row(tx, id)
    made = await here.server.logs.outline(id)
    folds = [tuple(fold) for fold in views.folds(build, made)]
    said = {"lines": made.lines, "folds": folds}
    is_over = build.state is BuildState.FINISHED
    return JSONResponse(said, headers=FOREVER if is_over else NEVER)


@router.get("/builds/{id}/log/text")
async def text(
    request: fastapi.Request,
    id: int,
    start: Annotated[int, fastapi.Query(alias="from", ge=0)],
    count: Annotated[int, fastapi.Query(ge=1, le=COPIED)],
) -> Response:
    """What lines show, without numbers, times and colours, for whoever copies them."""
    reader = (await _existing(request, id)).server.logs.reader(id)
    return StreamingResponse(
        _texts(reader, start, start + count), media_type="text/plain", headers=NEVER
    )


async def _texts(reader: LogReader, start: int, end: int) -> AsyncIterator[str]:
    while start < end and (lines := reader.lines(start, min(CHUNK, end - start))):
        yield "".join(screen.text(line.text) + "\n" * line.ended for line in lines)
        start += len(lines)
        await asyncio.sleep(0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is looked for, as the fields of the page say it."""

    q: str = ""
    regex: str = ""
    case: str = ""
    word: str = ""
    severity: str = ""
    machine: str = ""

    def query(self, build: Build) -> Query:
        """Raises `UserError` for what cannot be looked for."""
        wanted = Query(
            text=self.q,
            regex=bool(self.regex),
            case=bool(self.case),
            word=bool(self.word),
            severity=self.severity,
            part=views.part_of(build, self.machine or None),
        )
        wanted.check()
        return wanted


def _asked(
    q: str = "",
    regex: str = "",
    case: str = "",
    word: str = "",
    severity: str = "",
    machine: str = "",
) -> Asked:
    return Asked(q=q, regex=regex, case=case, word=word, severity=severity, machine=machine)


Wanted = Annotated[Asked, fastapi.Depends(_asked)]


@router.get("/builds/{id}/log/search")
async def search(
    request: fastapi.Request,
    id: int,
    asked: Wanted,
    start: Annotated[int, fastapi.Query(alias="from", ge=0)] = 0,
) -> StreamingResponse:
    """Messages, a line of JSON each, of what fits from line number `start` on, as it is found."""
    here = site.of(request)
    async with here.server.store.read() as tx:
        build = await views.build_row(tx, id)
    return StreamingResponse(
        _found(here.server.logs, build, asked, start), media_type="application/jsonl", headers=NEVER
    )


async def _found(logs: LogStore, build: Build, asked: Asked, start: int) -> AsyncIterator[bytes]:
    try:
        async with contextlib.aclosing(logs.matches(build.id, asked.query(build), start)) as found:
            async for message in found:
                yield message
    except CupelError as error:
        yield json.dumps({"error": error.message, "hint": error.hint}).encode() + b"\n"


@router.get("/builds/{id}/found")
async def found(request: fastapi.Request, id: int, asked: Wanted) -> Response:
    """The lines that fit, on a page of their own, for those without scripts."""
    here = site.of(request)
    async with here.server.store.read() as tx:
        build = await views.build_row(tx, id)
        shown = await views.build_view(tx, id, now=here.now())
    logs = here.server.logs
    result = await logs.find(id, asked.query(build), 0, PAGE)
    reader = logs.reader(id)
    lines = [line for number in result.numbers for line in reader.lines(number, 1)]
    return await here.page(
        request,
        "found.html",
        site.Frame(section="/changes"),
        build=shown,
        asked=asked,
        count=result.count,
        total=result.end,
        lines=entries(lines, shown.steps, before=NO_STEP, machines=shown.machines),
    )


async def _existing(request: fastapi.Request, build: int) -> site.Site:
    """The site, if it has a build of this number. Raises `NotFound`."""
    here = site.of(request)
    async with here.server.store.read() as tx:
        await views.build_row(tx, build)
    return here


@router.get("/builds/{id}/tail")
async def tail(
    request: fastapi.Request,
    id: int,
    after: Annotated[int, fastapi.Query(ge=0)] = 0,
    last_event_id: Annotated[str | None, fastapi.Header()] = None,
) -> StreamingResponse:
    """The lines after the first `after` of them; resumes by event id."""
    here = await _existing(request, id)
    if last_event_id and last_event_id.isascii() and last_event_id.isdecimal():
        after = int(last_event_id)
    return live.events(_Tail(here, id).messages(after))


class _Tail:
    def __init__(self, here: site.Site, build: int) -> None:
        self._server = here.server
        self._build = build
        self._reader = here.server.logs.reader(build)

    async def messages(self, start: int) -> AsyncIterator[str]:
        """Messages of lines; each has as its id how many lines there were with it.

        Where many lines came at once it has the last of them: who looks at others asks for them.
        """
        yield live.RETRY
        over = False
        while True:
            total = self._reader.line_count
            if total > start:
                first = max(start, total - CHUNK)
                lines = self._reader.lines(first, CHUNK)
                start = lines[-1].number + 1
                yield _message({"first": first, "total": start, "rows": rows(lines)})
                await asyncio.sleep(GATHER)
            elif over:
                yield END
                return
            elif not await self._news(start):
                yield live.BEAT
            else:
                over = await _is_over(self._server.store, self._build)

    async def _news(self, start: int) -> bool:
        """Wait until there is a line from `start` on or the build has an event; not for ever."""
        try:
            async with asyncio.timeout(live.KEEPALIVE):
                follow = cast("AsyncGenerator[Line, None]", self._reader.follow(start))
                async with contextlib.aclosing(follow) as lines:
                    async for _ in lines:
                        return True
                await self._event()
        except TimeoutError:
            return False
        return True

    async def _event(self) -> None:
        """Nobody writes the log now: it has not begun, or it has just ended."""
        with self._server.feed.subscribe() as news:
            if await _is_over(self._server.store, self._build):
                return
            async for event in news:
                if event.build_id == self._build:
                    return


async def _is_over(store: Store, build: int) -> bool:
    async with store.read() as tx:
        row = await tx.get(Build, build)
    return row is None or row.state is BuildState.FINISHED


def _message(said: Mapping[str, object]) -> str:
    """One event: JSON has no line in it that is not its own."""
    return f"id: {said['total']}\nevent: rows\ndata: {json.dumps(said)}\n\n"
