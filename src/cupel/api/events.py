"""Events: what happened, as a list and as a stream that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import fastapi
from fastapi.responses import StreamingResponse

from cupel.api.caller import READER, Before, Cupel, Limit
from cupel.control import views
from cupel.control.context import Context
from cupel.control.feed import Subscription
from cupel.core.model import Event

router = fastapi.APIRouter(prefix="/api/events", tags=["events"], dependencies=[READER])

KEEPALIVE = 15.0
"""Seconds of silence after which a stream shows that it is alive."""

REPLAY = 500
"""Events that are read at once when a stream catches up."""


@router.get("", operation_id="event_list", summary="Events, newest first")
async def list_all(
    cupel: Cupel,
    change: Annotated[int | None, fastapi.Query(description="Only about this change.")] = None,
    project: Annotated[str | None, fastapi.Query(description="Only of this project.")] = None,
    about: Annotated[
        str | None,
        fastapi.Query(description="Only what happens to these, such as `build` or `host`."),
    ] = None,
    after: Annotated[
        int | None, fastapi.Query(description="Only newer ones, oldest first.")
    ] = None,
    limit: Limit = 100,
    before: Before = None,
) -> views.Page[views.EventView]:
    async with cupel.store.read() as tx:
        return await views.event_list(
            tx, after=after, before=before, change=change, project=project, about=about,
            limit=limit,
        )  # fmt: skip


@router.get(
    "/stream",
    operation_id="event_stream",
    summary="Events as they happen (server-sent events)",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "`data` is an event"}},
)
async def stream(
    cupel: Cupel,
    last_event_id: Annotated[
        int | None, fastapi.Header(description="Go on after this event, as browsers do.")
    ] = None,
) -> StreamingResponse:
    return StreamingResponse(
        _stream(cupel, last_event_id),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream(cupel: Context, last: int | None) -> AsyncIterator[str]:
    """First what the client missed, then what happens; ends when it lags: it will come again."""
    with cupel.feed.subscribe() as news:
        yield "retry: 1000\n\n"
        replayed = last or 0
        while last is not None:
            async with cupel.store.read() as tx:
                page = await views.event_list(tx, after=replayed, limit=REPLAY)
            if page.entries:
                yield "".join(map(_frame, page.entries))
                replayed = page.entries[-1].id
            if page.next is None:
                break
        async for event in _alive(news):
            if event is None:
                yield ": still here\n\n"
            elif event.id > replayed:
                async with cupel.store.read() as tx:
                    yield _frame((await views.event_views(tx, [event]))[0])


async def _alive(news: Subscription) -> AsyncIterator[Event | None]:
    """Events as they come, and None after each long silence."""
    while True:
        try:
            async with asyncio.timeout(KEEPALIVE):
                event = await anext(news)
        except TimeoutError:
            yield None
        except StopAsyncIteration:
            return
        else:
            yield event


def _frame(view: views.EventView) -> str:
    """JSON has no line breaks of its own, so one `data` line holds it."""
    return f"id: {view.id}\nevent: {view.kind}\ndata: {view.model_dump_json()}\n\n"
