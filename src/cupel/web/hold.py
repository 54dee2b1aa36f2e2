"""Holds: machines that are kept for people, for how long, and why."""

from __future__ import annotations

from typing import Annotated, Literal

import fastapi
from starlette.responses import RedirectResponse, Response

from cupel.control import auth, holds, views
from cupel.control.auth import Scope
from cupel.errors import UserError
from cupel.web import live, site
from cupel.web.problem import PageRoute
from cupel.web.site import Frame

LONGER = {"30m": "30 min", "1h": "1 h", "2h": "2 h", "8h": "8 h"}
"""For how long machines are kept that a page is asked to."""

REASON = "somebody looks at it"
"""Why a machine is kept longer whose holder says nothing new."""

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)


@router.get("/holds")
async def held(
    request: fastapi.Request, over: Annotated[Literal["yes"] | None, fastapi.Query()] = None
) -> Response:
    here = site.of(request)
    now = here.now()
    async with here.server.store.read() as tx:
        found = await views.hold_list(tx, now=now, over=over is not None)
    return await here.page(
        request,
        "holds.html",
        Frame(section="/machines", stream=live.address()),
        now=now,
        holds=found,
        over=over is not None,
        longer=LONGER,
    )


@router.post("/holds")
async def ask(request: fastapi.Request) -> Response:
    """Have machines kept: of a build, or of the next ones of a job or a change that fail."""
    here = site.of(request)
    who, fields = await here.form(request, Scope.WRITE)
    wish = holds.Wish(
        build=_number(fields, "build"),
        job=fields.get("job", "").strip() or None,
        change=_number(fields, "change"),
        seconds=holds.seconds(fields.get("for", "")),
        reason=fields.get("reason", ""),
    )
    await here.server.holds.ask(wish, who)
    return RedirectResponse("/holds", status_code=303)


@router.get("/holds/{id}/release")
async def ask_to_release(request: fastapi.Request, id: int) -> Response:
    """What releasing it would do, and whether that is meant."""
    here = site.of(request)
    auth.require(await here.principal(request), Scope.WRITE)
    async with here.server.store.read() as tx:
        shown = await views.hold_view(tx, id, now=here.now())
    gone = [
        f"Machine {each.machine}, of build {each.build}, is deleted with all that is on it."
        + (f" {each.visitors} in it are told, and hung up on." if each.visitors else "")
        for each in shown.machines
    ]
    return await here.page(
        request,
        "question.html",
        Frame(section="/machines"),
        question=f"Release hold {id} of {shown.owner}?",
        words=gone or ["No machine is kept for it now, and none will be."],
        action=f"/holds/{id}/release",
        word="Release it",
        back="/holds",
        back_word="Holds",
    )


@router.post("/holds/{id}/release")
async def release(request: fastapi.Request, id: int) -> Response:
    here = site.of(request)
    who, _ = await here.form(request, Scope.WRITE)
    await here.server.holds.release(id, who)
    return RedirectResponse("/holds", status_code=303)


@router.post("/builds/{id}/hold")
async def keep(request: fastapi.Request, id: int) -> Response:
    """Keep the machine of a build, from now on or once it has ended; scripts get no page for it."""
    here = site.of(request)
    who, fields = await here.form(request, Scope.WRITE)
    given = fields.get("for", "").strip()
    wish = holds.Wish(
        build=id,
        seconds=holds.seconds(given) if given else holds.SECONDS,
        reason=fields.get("reason", "").strip() or REASON,
    )
    await here.server.holds.ask(wish, who)
    if "HX-Request" in request.headers:
        return Response(status_code=204)
    return RedirectResponse("/holds", status_code=303)


def _number(fields: dict[str, str], name: str) -> int | None:
    text = fields.get(name, "").strip().removeprefix("#")
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise UserError(f"{name}: {text[:40]!r} is no number", hint=f"say the {name}'s number")
    return int(text)
