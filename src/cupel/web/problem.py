"""Errors as pages, in the same look, with what to do about them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import fastapi
import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from cupel.control.auth import Unauthenticated
from cupel.errors import Bug, Conflict, CupelError, Forbidden, InfraError, NotFound, UserError
from cupel.web import site

log = structlog.get_logger(__name__)

Handler = Callable[[fastapi.Request, Exception], Any]

_STATUS: tuple[tuple[type[CupelError], int], ...] = (
    (NotFound, 404),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (Conflict, 409),
    (UserError, 400),
    (InfraError, 503),
)

_HEADINGS: Mapping[int, str] = {
    400: "That cannot be done",
    401: "Please log in",
    403: "You may not do that",
    404: "There is no such page",
    405: "That cannot be done here",
    409: "That does not fit any more",
    500: "Cupel made a mistake",
    503: "That is not possible right now",
}


class PageRoute(APIRoute):
    """A route whose errors are shown as pages."""

    def get_route_handler(self) -> Callable[[fastapi.Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def shown(request: fastapi.Request) -> Response:
            try:
                return await handle(request)
            except Bug as error:
                return await mistake(request, error)
            except CupelError as error:
                return await page(request, status_of(error), error.message, error.hint)
            except RequestValidationError:
                return await page(request, 404, "this address is not one of ours", None)
            except HTTPException:
                raise
            except Exception as error:
                return await mistake(request, error)

        return shown


def status_of(error: CupelError) -> int:
    """The HTTP status that says whose fault it is."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


async def page(request: fastapi.Request, status: int, message: str, hint: str | None) -> Response:
    return await site.of(request).page(
        request,
        "problem.html",
        site.Frame(status=status),
        status=status,
        heading=_HEADINGS.get(status, "That did not work"),
        message=message,
        hint=hint,
    )


async def mistake(request: fastapi.Request, error: Exception) -> Response:
    """Our own fault: its id, and nothing of what is inside, goes to the browser."""
    number = secrets.token_hex(8)
    log.error("bug", id=number, method=request.method, path=request.url.path, exc_info=error)
    hint = f"the server's log says more under the id {number}"
    return await page(request, 500, "this is a bug in Cupel", hint)


def install(app: fastapi.FastAPI) -> None:
    """Show browsers our pages for addresses that nobody serves; programs get what they got."""
    former: Handler | None = app.exception_handlers.get(HTTPException)

    async def unknown(request: fastapi.Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if for_people(request):
            return await page(request, error.status_code, _say(error), None)
        answer = (former or fastapi.exception_handlers.http_exception_handler)(request, error)
        response: Response = await answer
        return response

    app.add_exception_handler(HTTPException, unknown)


def for_people(request: fastapi.Request) -> bool:
    """Whether a browser shows the answer, and not a program that asks the API."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(
        "/api"
    )


def _say(error: HTTPException) -> str:
    if error.status_code == 404:
        return "nothing is at this address; it may have been mistyped"
    return str(error.detail)
