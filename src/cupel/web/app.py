"""Puts the pages into the server's application."""

from __future__ import annotations

from urllib.parse import urlsplit

import fastapi
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from cupel.control.context import Context
from cupel.web import (
    build,
    change,
    event,
    flake,
    image,
    live,
    log,
    login,
    machine,
    problem,
    queue,
    results,
    schema,
    security,
)
from cupel.web.site import STATIC, Site

FOREVER = "public, max-age=31536000, immutable"


class _Static(StaticFiles):
    """Files that browsers keep: their addresses change with their content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if scope.get("query_string"):
            response.headers["Cache-Control"] = FOREVER
        return response


def mount(app: fastapi.FastAPI, cupel: Context) -> None:
    """Add the pages, their static files, and what guards every response of the application.

    Call it after the API's exception handlers are in place: for programs they stay as they are.
    """
    app.state.site = Site(cupel)
    nouns = (queue, change, build, log, machine, image, live, event, flake, login, schema, results)
    for noun in nouns:
        app.include_router(noun.router)
    app.mount("/static", _Static(directory=STATIC), name="static")
    problem.install(app)
    app.add_middleware(security.SecurityHeaders)
    app.add_middleware(security.KnownHost, names=[urlsplit(cupel.url).hostname or "localhost"])
