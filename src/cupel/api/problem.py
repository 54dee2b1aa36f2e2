"""Errors as problem documents (RFC 9457): whose fault, what was wrong, what to do."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Any

import fastapi
import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from cupel.api.nouns import Problem
from cupel.control.auth import Unauthenticated
from cupel.errors import (
    Bug,
    ConfigError,
    Conflict,
    CupelError,
    Forbidden,
    InfraError,
    NotFound,
    UserError,
)

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

STATUS: tuple[tuple[type[CupelError], HTTPStatus], ...] = (
    (Unauthenticated, HTTPStatus.UNAUTHORIZED),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (ConfigError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (UserError, HTTPStatus.BAD_REQUEST),
    (InfraError, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""The status of each error; the first class that fits counts."""


RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "The request cannot be served as it is"},
    "5XX": {"model": Problem, "description": "The server or its infrastructure failed"},
}


def install(app: fastapi.FastAPI) -> None:
    """Answer every error of this application with a problem document."""
    app.add_exception_handler(CupelError, _cupel_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)


async def _cupel_error(request: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CupelError)
    if isinstance(error, Bug):
        return await _unexpected(request, error)
    status = next(
        (code for kind, code in STATUS if isinstance(error, kind)), HTTPStatus.BAD_REQUEST
    )
    if isinstance(error, InfraError):
        log.warning("infrastructure failed", path=request.url.path, error=str(error))
    return _answer(status, error.message, hint=error.hint)


async def _http_error(request: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    detail = str(error.detail) if error.detail != status.phrase else status.description
    response = _answer(status, detail or status.phrase)
    response.headers.update(error.headers or {})
    return response


async def _invalid(request: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    said = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return _answer(
        HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(said), hint="see /api/docs for what fits"
    )


async def _unexpected(request: fastapi.Request, error: Exception) -> JSONResponse:
    """Our own fault: its id, and nothing of what is inside, goes to the caller."""
    number = secrets.token_hex(8)
    log.error("bug", id=number, method=request.method, path=request.url.path, exc_info=error)
    return _answer(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "this is a bug in Cupel",
        hint=f"the server's log says more under the id {number}",
        instance=f"urn:cupel:bug:{number}",
    )


def _answer(
    status: HTTPStatus, detail: str, *, hint: str | None = None, instance: str | None = None
) -> JSONResponse:
    problem = Problem(
        title=status.phrase, status=status, detail=detail, hint=hint, instance=instance
    )
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="cupel"'
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "5"
    return JSONResponse(
        problem.model_dump(exclude_none=True), status, headers=headers, media_type=MEDIA_TYPE
    )
