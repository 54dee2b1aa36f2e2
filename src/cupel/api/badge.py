"""How a branch stands, as a picture, as JSON for shields.io, and as plain text.

These addresses are made to be put into a README, so they are short and stay as they are.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import html
import json

import fastapi
from fastapi.responses import Response

from cupel.api.caller import READER, Cupel
from cupel.control import views
from cupel.control.context import Context

router = fastapi.APIRouter(tags=["branches"], dependencies=[READER])

FRESH = 15
"""Seconds for which an answer may be shown again without asking."""

_SHOWN = {
    "passing": ("passing", "#2b7a3d", "brightgreen"),
    "failing": ("failing", "#b3261e", "red"),
    "unproved": ("unproved", "#5f6368", "lightgrey"),
    "unborn": ("empty", "#5f6368", "lightgrey"),
}
"""State → the word, its colour, and the colour's name at shields.io. The word says it all."""

_LETTER = 6.8
_LETTERS = {
    **dict.fromkeys("ijl.,:;'|! ", 3.6),
    **dict.fromkeys("frt()[]-/", 4.8),
    **dict.fromkeys("csvxyzk", 6.2),
    **dict.fromkeys("mwMW@%", 10.4),
    **dict.fromkeys("ABCDEFGHKLNOPQRSTUVXYZ", 7.9),
}
"""Pixels that a letter takes in the fonts that are named, and what others take."""


@router.get(
    "/badge/{path:path}.svg",
    operation_id="badge_svg",
    summary="How a branch stands, as a picture",
    response_class=Response,
    responses={200: {"content": {"image/svg+xml": {}}, "description": "A picture"}},
)
async def svg(cupel: Cupel, request: fastapi.Request, path: str) -> Response:
    status = await _status(cupel, path)
    word, colour, _ = _SHOWN[status.state]
    return _answer(request, draw(status.branch, word, colour), "image/svg+xml")


@router.get(
    "/badge/{path:path}.json",
    operation_id="badge_json",
    summary="How a branch stands, for shields.io",
)
async def shields(cupel: Cupel, request: fastapi.Request, path: str) -> Response:
    status = await _status(cupel, path)
    word, _, colour = _SHOWN[status.state]
    shown = {"schemaVersion": 1, "label": status.branch, "message": word, "color": colour}
    return _answer(request, json.dumps(shown) + "\n", "application/json")


@router.get(
    "/status/{path:path}",
    operation_id="branch_status",
    summary="How a branch stands, as text",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "`name: value` lines"}},
)
async def plain(cupel: Cupel, request: fastapi.Request, path: str) -> Response:
    return _answer(request, text(await _status(cupel, path)), "text/plain; charset=utf-8")


async def _status(cupel: Context, path: str) -> views.BranchStatusView:
    async with cupel.store.read() as tx:
        return await views.branch_status(tx, path, url=cupel.url, now=cupel.clock())


def _answer(request: fastapi.Request, content: str, kind: str) -> Response:
    """The content, or that it is what the client has already."""
    tag = f'"{hashlib.sha256(content.encode()).hexdigest()[:32]}"'
    headers = {
        "ETag": tag,
        "Cache-Control": f"private, max-age={FRESH}",
        # Pages of forges show it.
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Access-Control-Allow-Origin": "*",
    }
    known = {each.strip() for each in request.headers.get("if-none-match", "").split(",")}
    if {tag, f"W/{tag}", "*"} & known:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


def text(status: views.BranchStatusView) -> str:
    """`name: value` lines: first how the branch stands, then each job by its context."""
    landed = None
    if status.landed_at is not None:
        when = dt.datetime.fromtimestamp(status.landed_at, dt.UTC)
        landed = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    head = (
        ("state", status.state),
        ("project", status.project),
        ("branch", status.branch),
        ("commit", status.commit),
        ("change", status.change),
        ("landed", landed),
        ("queued", status.queued),
        ("closed", status.closed),
    )
    lines = [f"{name}: {_line(value)}" for name, value in head if value is not None]
    for each in status.reports:
        said = f" ({_line(each.description)})" if each.description != each.state else ""
        lines.append(f"{_line(each.context)}: {each.state}{said}")
    return "\n".join(lines) + "\n"


def _line(value: object) -> str:
    return " ".join(str(value).split())


def draw(label: str, word: str, colour: str) -> str:
    """A badge: what it is about on the left, how that stands on the right."""
    left, right = _width(label), _width(word)
    width = left + right
    said = html.escape(f"{label}: {word}")
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" \
aria-label="{said}"><title>{said}</title>\
<rect width="{width}" height="20" rx="3" fill="#444"/>\
<rect x="{left}" width="{right}" height="20" rx="3" fill="{colour}"/>\
<rect x="{left}" width="4" height="20" fill="{colour}"/>\
<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" \
font-size="11"><text x="{left / 2:g}" y="14" textLength="{left - 10}">{html.escape(label)}</text>\
<text x="{left + right / 2:g}" y="14" textLength="{right - 10}">{html.escape(word)}</text></g></svg>
"""


def _width(words: str) -> int:
    """Pixels for the words and what is left free around them; whoever draws fits them in."""
    return round(sum(_LETTERS.get(letter, _LETTER) for letter in words)) + 10
