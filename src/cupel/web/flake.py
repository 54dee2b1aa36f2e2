"""Flaky tests, those that are quarantined, and quarantining them."""

from __future__ import annotations

from typing import Annotated

import fastapi
from starlette.responses import RedirectResponse, Response

from cupel.config import quantity
from cupel.control import views
from cupel.control.auth import Scope
from cupel.core import quarantine
from cupel.core.model import Project
from cupel.errors import UserError
from cupel.web import site
from cupel.web.grid import Shown
from cupel.web.problem import PageRoute
from cupel.web.site import Frame

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)

WIDTH = 4
"""Units of a build in a line of outcomes."""


@router.get("/flakes")
async def flakes(
    request: fastapi.Request, project: Annotated[str, fastapi.Query()] = ""
) -> Response:
    here = site.of(request)
    now = here.now()
    async with views.reading(here.server.store) as tx:
        known = await views.flake_trends(
            tx, here.server.results, now=now, project=project or None, limit=200
        )
        held = await views.quarantine_list(tx, now=now, project=project or None)
        projects = sorted(name for (name,) in await tx.values(Project, ["name"]))
    return await here.page(
        request,
        "flakes.html",
        Frame(section="/trends"),
        now=now,
        flakes=known,
        held=held,
        project=project,
        projects=projects,
        grid=lambda flake: Shown(project=flake.project, job=flake.job, text=flake.test).address(),
        width=WIDTH,
    )


@router.post("/flakes/quarantine")
async def hold(request: fastapi.Request) -> Response:
    """Let a test fail for a while without blocking."""
    here = site.of(request)
    who, fields = await here.form(request, Scope.ADMIN)
    await here.server.commands.quarantine(
        fields.get("project", ""),
        fields.get("test", ""),
        job=fields.get("job") or None,
        owner=_said(fields, "owner", "who sees to it"),
        reason=_said(fields, "reason", "why"),
        seconds=_seconds(fields.get("until", "")),
        user=who.user,
    )
    return RedirectResponse("/flakes#quarantined", 303)


@router.post("/flakes/quarantine/{id}/release")
async def release(request: fastapi.Request, id: int) -> Response:
    """Have a test block again."""
    here = site.of(request)
    who, _ = await here.form(request, Scope.ADMIN)
    await here.server.commands.release(id, user=who.user)
    return RedirectResponse("/flakes#quarantined", 303)


def _said(fields: dict[str, str], name: str, what: str) -> str:
    text = fields.get(name, "").strip()
    if not text:
        raise UserError(
            f"a test is not quarantined without saying {what}", hint="go back, and fill it in"
        )
    return text


def _seconds(text: str) -> float:
    """How long a quarantine is to last. Raises `UserError`."""
    seconds = quantity.seconds(text.strip())
    if seconds is None or not 0 < seconds <= quarantine.LONGEST:
        raise UserError(
            f"a quarantine cannot last {text[:40]!r}", hint="write 14d or 36h; at most 90d"
        )
    return seconds
