"""Says to open pages that something they show has changed; they then ask for what it is now.

A notice carries no data: a page that missed some, or lost its connection, is right again after the
next, and the first comes with every connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated

import fastapi
from starlette.responses import StreamingResponse

from cupel.control.feed import Feed, Subscription
from cupel.core.model import Event
from cupel.web import site

GATHER = 0.25
"""Seconds in which all that happens becomes one notice: at most four a second."""

KEEPALIVE = 15.0
NOTICE = "event: changed\ndata: 1\n\n"
BEAT = ": still here\n\n"
RETRY = "retry: 1000\n\n"

Wanted = Callable[[Event], bool]
router = fastapi.APIRouter(include_in_schema=False, dependencies=[site.READER])


def address(*, project: int | None = None, build: int | None = None) -> str:
    """Where a page listens: to all, or to what concerns a project or a build."""
    if build is not None:
        return f"/events/stream?build={build}"
    return "/events/stream" if project is None else f"/events/stream?project={project}"


@router.get("/events/stream")
async def stream(
    request: fastapi.Request,
    project: Annotated[int | None, fastapi.Query()] = None,
    build: Annotated[int | None, fastapi.Query()] = None,
) -> StreamingResponse:
    return events(notices(site.of(request).server.feed, wanted(project=project, build=build)))


def events(content: AsyncIterator[str]) -> StreamingResponse:
    """A stream of server-sent events that no proxy should hold back."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(content, media_type="text/event-stream", headers=headers)


def wanted(*, project: int | None, build: int | None) -> Wanted:
    """Which events concern a page; those of the whole server concern all."""

    def concerns(event: Event) -> bool:
        if build is not None and event.build_id is not None:
            return event.build_id == build
        if project is not None and event.project_id is not None:
            return event.project_id == project
        return True

    return concerns


async def notices(feed: Feed, concerns: Wanted) -> AsyncIterator[str]:
    """A notice at once and after each burst of events; ends with the feed."""
    with feed.subscribe() as news:
        yield RETRY + NOTICE
        while True:
            try:
                async with asyncio.timeout(KEEPALIVE):
                    event = await anext(news)
            except TimeoutError:
                yield BEAT
                continue
            except StopAsyncIteration:
                return
            if concerns(event):
                await asyncio.sleep(GATHER)
                over = await _drain(news)
                yield NOTICE
                if over:
                    return


async def _drain(news: Subscription) -> bool:
    """Take what has gathered; whether that was the end."""
    try:
        while True:
            async with asyncio.timeout(0):
                await anext(news)
    except TimeoutError:
        return False
    except StopAsyncIteration:
        return True
