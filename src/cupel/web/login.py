"""A login link becomes a browser session; logging out ends it."""

from __future__ import annotations

from typing import Annotated

import fastapi
from starlette.responses import RedirectResponse, Response

from cupel.control import auth
from cupel.web import site
from cupel.web.problem import PageRoute
from cupel.web.site import Frame

router = fastapi.APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/login")
async def login(
    request: fastapi.Request, token: Annotated[str | None, fastapi.Query()] = None
) -> Response:
    here = site.of(request)
    if token is None:
        is_open = here.server.config.read == "anyone"
        return await here.page(request, "login.html", Frame(), open=is_open)
    client = request.client.host if request.client else None
    session = await here.server.auth.redeem(token, client=client)
    response = RedirectResponse("/", status_code=303, headers={"Cache-Control": "no-store"})
    response.set_cookie(
        auth.COOKIE,
        session,
        max_age=int(auth.SESSION_LIFETIME),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/logout")
async def logout(request: fastapi.Request) -> Response:
    here = site.of(request)
    who = await here.principal(request)
    if who is not None:
        form = await request.form()
        given = form.get(auth.CSRF_FIELD)
        auth.check_csrf(who, given if isinstance(given, str) else None)
        await here.server.auth.logout(request.cookies.get(auth.COOKIE, ""))
    response = RedirectResponse("/", status_code=303)
    response.delete_cookie(auth.COOKIE)
    return response
