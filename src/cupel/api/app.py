"""The API as one application: its routes, its document, and how errors are said."""

from __future__ import annotations

import json
from typing import Any

import fastapi
from fastapi.responses import HTMLResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import cupel
from cupel.api import (
    artefacts,
    badge,
    builds,
    caches,
    changes,
    document,
    events,
    evidence,
    flakes,
    gerrit,
    holds,
    hosts,
    images,
    labels,
    logs,
    machines,
    mine,
    notes,
    pools,
    problem,
    projects,
    queues,
    results,
    rules,
    search,
    shell,
    status,
    tokens,
    trends,
    webhooks,
)
from cupel.control.context import Context

MAX_BODY = 1 << 20
"""Bytes of a request's body: the API takes short JSON only."""

ROUTERS = (
    status.router,
    mine.router,
    projects.router,
    queues.router,
    rules.router,
    changes.router,
    builds.router,
    results.router,
    search.router,
    trends.router,
    shell.router,
    logs.router,
    evidence.router,
    flakes.router,
    artefacts.router,
    machines.router,
    pools.router,
    labels.router,
    holds.router,
    hosts.router,
    images.router,
    caches.router,
    notes.router,
    tokens.router,
    events.router,
    webhooks.router,
    badge.router,
    gerrit.router,
)

DESCRIPTION = """\
Cupel lands every commit by proving it on a Linux machine that has never been used before.

Times are seconds since the epoch (UTC), durations are seconds, sizes are bytes. Send a token as
`Authorization: Bearer cupel_…`. An error is a problem document (RFC 9457) with a `hint`.
"""


def create(context: Context) -> fastapi.FastAPI:
    """The API of a running Cupel; every path is below /api."""
    app = bare()
    app.state.cupel = context
    return app


def bare() -> fastapi.FastAPI:
    """The API without a Cupel behind it: enough for its document."""
    app = fastapi.FastAPI(
        title="Cupel",
        version=cupel.__version__,
        description=DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=problem.RESPONSES,
        max_body_size=MAX_BODY,
    )
    for router in ROUTERS:
        app.include_router(router)
    app.webhooks.include_router(webhooks.sent)
    app.add_api_route("/api/docs", _docs, include_in_schema=False, response_class=HTMLResponse)
    problem.install(app)
    app.add_middleware(NoSniff)
    return app


def openapi() -> str:
    """The OpenAPI document, as text that does not change from run to run."""
    return json.dumps(bare().openapi(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


async def _docs(request: fastapi.Request) -> HTMLResponse:
    described: dict[str, Any] = request.app.openapi()
    return HTMLResponse(document.page(described), headers=document.HEADERS)


class NoSniff:
    """Tells browsers to take every answer for what it says it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("X-Content-Type-Options", "nosniff")
            await send(message)

        await self._app(scope, receive, marked)
