"""Who calls, what they may do, and the running Cupel: the dependencies of every route."""

from __future__ import annotations

from typing import Annotated, cast

import fastapi

from cupel.control import auth
from cupel.control.auth import Principal, Scope
from cupel.control.context import Context

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def context(request: fastapi.Request) -> Context:
    return cast("Context", request.app.state.cupel)


Cupel = Annotated[Context, fastapi.Depends(context)]


async def caller(request: fastapi.Request, cupel: Cupel) -> Principal | None:
    """Who calls. A browser's session must prove that our own page sent what changes something."""
    principal = await cupel.auth.verify(
        authorization=request.headers.get("authorization"),
        cookie=request.cookies.get(auth.COOKIE),
    )
    if principal is not None and request.method not in SAFE_METHODS:
        auth.check_csrf(principal, request.headers.get(auth.CSRF_HEADER))
    return principal


Caller = Annotated[Principal | None, fastapi.Depends(caller)]


def reader(cupel: Cupel, principal: Caller) -> Principal | None:
    """Who reads; None is anybody, where the server lets anybody read."""
    if principal is None and cupel.config.read == "anyone":
        return None
    return auth.require(principal, Scope.READ)


def writer(principal: Caller) -> Principal:
    return auth.require(principal, Scope.WRITE)


def administrator(principal: Caller) -> Principal:
    return auth.require(principal, Scope.ADMIN)


def fetcher(cupel: Cupel, principal: Caller) -> Principal | None:
    """Who fetches what builds left: readers, and hosts for the builds that need it."""
    if principal is not None and principal.may(Scope.HOST):
        return principal
    return reader(cupel, principal)


def image_fetcher(principal: Caller) -> Principal:
    """Who fetches images, which may hold what only builds should see: hosts, and who may run builds
    by proposing changes."""
    if principal is not None and principal.may(Scope.WRITE):
        return principal
    return auth.require(principal, Scope.HOST)


READER = fastapi.Depends(reader)
FETCHER = fastapi.Depends(fetcher)
IMAGE_FETCHER = fastapi.Depends(image_fetcher)
Writer = Annotated[Principal, fastapi.Depends(writer)]
Administrator = Annotated[Principal, fastapi.Depends(administrator)]

Limit = Annotated[int, fastapi.Query(ge=1, le=500, description="How many entries at most.")]
Before = Annotated[
    int | None, fastapi.Query(description="Only older ones: the `next` of the page before.")
]
