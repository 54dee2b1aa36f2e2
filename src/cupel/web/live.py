"""Says to open pages that something they show has changed; they then ask for what it is now.

A notice carries no data: a page that missed some, or lost its connection, is right again after the
next; and one comes with every connection, unless nothing has happened since the page was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import fastapi
from starlette.responses import StreamingResponse

from cupel.web import site
from cupel.web.herald import Herald
from cupel.web.topic import Topic

KEEPALIVE = 30.0
NOTICE = b"event: changed\ndata: 1\n\n"
BEAT = ": still here\n\n"
RETRY = "retry: 1000\n\n"

router = fastapi.APIRouter(include_in_schema=False, dependencies=[site.READER])


def address(*, project: int | None = None, build: int | None = None) -> Topic:
    """What a page listens to: everything, or what concerns a project or a build."""
    return Topic(project=project, build=build)


@router.get("/events/stream")
async def stream(
    request: fastapi.Request,
    project: Annotated[int | None, fastapi.Query()] = None,
    build: Annotated[int | None, fastapi.Query()] = None,
    seen: Annotated[str, fastapi.Query()] = "",
) -> StreamingResponse:
    here = site.of(request)
    known = await here.principal(request) is not None
    topic = Topic(project=project, build=build)
    return events(notices(here.herald, topic, seen=seen, first=known))


def events(content: AsyncIterator[str] | AsyncIterator[bytes]) -> StreamingResponse:
    """A stream of server-sent events that no proxy should hold back."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(content, media_type="text/event-stream", headers=headers)


async def notices(
    herald: Herald, topic: Topic, *, seen: str, first: bool, keepalive: float = KEEPALIVE
) -> AsyncIterator[bytes]:
    """A notice whenever the herald says so; ends with it. In between, that the server is there."""
    with herald.listen(topic, seen, first=first) as listener:
        yield herald.retry().encode()
        while True:
            try:
                async with asyncio.timeout(keepalive):
                    await listener.told()
            except TimeoutError:
                yield herald.retry().encode()
                continue
            if listener.ended:
                return
            yield NOTICE
