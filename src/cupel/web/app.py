"""Puts the pages into the server's application."""

from __future__ import annotations

from urllib.parse import urlsplit

import fastapi

from cupel.control.context import Context
from cupel.web import (
    artefact,
    build,
    change,
    compare,
    diff,
    event,
    flake,
    front,
    grid,
    hold,
    host,
    image,
    live,
    log,
    login,
    machine,
    mine,
    plan,
    problem,
    queue,
    results,
    schema,
    search,
    security,
    static,
    terminal,
    trend,
    used,
)
from cupel.web.compress import Compress
from cupel.web.shared import Shared
from cupel.web.site import Site


def mount(app: fastapi.FastAPI, cupel: Context) -> None:
    """Add the pages, their static files, and what guards every response of the application.

    Call it after the API's exception handlers are in place: for programs they stay as they are.
    """
    site = app.state.site = Site(cupel)
    nouns = (
        front,
        queue,
        plan,
        change,
        diff,
        build,
        artefact,
        compare,
        used,
        log,
        machine,
        mine,
        host,
        hold,
        image,
        live,
        event,
        flake,
        login,
        schema,
        search,
        trend,
        grid,
        results,
        terminal,
    )
    for noun in nouns:
        app.include_router(noun.router)
    app.mount("/static", static.Files(), name="static")
    problem.install(app)
    app.add_middleware(security.SecurityHeaders)
    app.add_middleware(
        Shared,
        herald=site.herald,
        versions=site.versions,
        open=cupel.config.read == "anyone",
    )
    app.add_middleware(Compress)
    app.add_middleware(security.KnownHost, names=[urlsplit(cupel.url).hostname or "localhost"])
