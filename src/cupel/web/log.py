"""The log on a build's page: a part of it, and its tail while it grows.

Lines are numbered from 1 on the page and from 0 in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Annotated, cast

import fastapi
import jinja2
from starlette.responses import StreamingResponse

from cupel.control import views
from cupel.control.views import BuildView, StepView
from cupel.core.model import Build, BuildState
from cupel.log.stream import Line, LogReader
from cupel.store.interface import Store
from cupel.web import live, site
from cupel.web.problem import PageRoute

PAGE = 2000
"""Lines that a page shows."""

CHUNK = 500
GATHER = 0.1
"""Seconds in which lines gather into one message."""

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

    @property
    def step(self) -> int:
        return self.lines[-1].step if self.lines else NO_STEP


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


@router.get("/builds/{id}/tail")
async def tail(
    request: fastapi.Request,
    id: int,
    after: Annotated[int, fastapi.Query(ge=0)] = 0,
    step: Annotated[int, fastapi.Query(ge=NO_STEP)] = NO_STEP,
    last_event_id: Annotated[str | None, fastapi.Header()] = None,
) -> StreamingResponse:
    """The lines after number `after`, the last of which was of `step`; resumes by event id."""
    here = site.of(request)
    async with here.server.store.read() as tx:
        await views.build_row(tx, id)
    if last_event_id and (resumed := _resumed(last_event_id)):
        after, step = resumed
    return live.events(_Tail(here, id).messages(after, step))


def _resumed(event_id: str) -> tuple[int, int] | None:
    number, _, step = event_id.partition("-")
    if number.isascii() and number.isdecimal() and step.isascii() and step.isdecimal():
        return int(number), int(step)
    return None


class _Tail:
    def __init__(self, here: site.Site, build: int) -> None:
        self._here = here
        self._build = build
        self._reader = here.server.logs.reader(build)
        self._template = here.template("log.html")

    async def messages(self, start: int, step: int) -> AsyncIterator[str]:
        """Messages of lines; each has as its id the number and the step of its last line."""
        yield live.RETRY
        while True:
            over = await _is_over(self._here.server.store, self._build)
            lines = self._reader.lines(start, CHUNK)
            if lines:
                build = await self._view()
                shown = entries(lines, build.steps, before=step, machines=build.machines)
                yield _message(self._template, shown)
                start, step = lines[-1].number + 1, lines[-1].step
            elif over:
                yield END
                return
            elif not await self._news(start):
                yield live.BEAT
            await asyncio.sleep(GATHER)

    async def _view(self) -> BuildView:
        async with self._here.server.store.read() as tx:
            return await views.build_view(tx, self._build, now=self._here.now())

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
        with self._here.server.feed.subscribe() as news:
            if await _is_over(self._here.server.store, self._build):
                return
            async for event in news:
                if event.build_id == self._build:
                    return


async def _is_over(store: Store, build: int) -> bool:
    async with store.read() as tx:
        row = await tx.get(Build, build)
    return row is None or row.state is BuildState.FINISHED


def _message(template: jinja2.Template, lines: Sequence[Entry]) -> str:
    html = str(template.module.lines(lines))  # type: ignore[attr-defined]
    data = "\n".join(f"data: {line}" for line in html.splitlines())
    return f"id: {lines[-1].number}-{lines[-1].step}\nevent: lines\n{data}\n\n"
