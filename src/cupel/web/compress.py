"""Answers made small on their way, where they are text and arrive whole."""

from __future__ import annotations

import asyncio
import zlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEAST = 800
"""Bytes below which an answer fits into one packet anyway."""

LARGE = 1 << 16
"""Bytes from which on a thread does it: zlib lets others run meanwhile."""

MOST = 8 << 20
"""Bytes above which it would take longer than it saves."""

LEVEL = 6
_GZIP = 16 + zlib.MAX_WBITS

_TEXT = ("text/", "application/json", "application/problem+json", "application/javascript",
         "image/svg+xml")  # fmt: skip


class Compress:
    """Compresses whole answers for those who take gzip. Streams, parts and files pass as they are.

    An answer to a request that another site made a browser send is left alone: from the length of
    what is compressed together with its own words, that site could guess the rest (BREACH).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_wanted(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Smaller(send))


class _Smaller:
    """Holds the head of an answer back until its body is there."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._head: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if is_text(MutableHeaders(scope=message), message["status"]):
                self._head = message
                return
        elif self._head is not None:
            head, self._head = self._head, None
            if not message.get("more_body"):
                message = await _small(MutableHeaders(scope=head), message)
            await self._send(head)
        await self._send(message)


def is_wanted(headers: Headers) -> bool:
    """Whether who asks takes gzip, and no other site made them ask."""
    accepts = headers.get("accept-encoding", "")
    if "range" in headers or headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return False
    names = {part.partition(";")[0].strip(): part for part in accepts.lower().split(",")}
    return "gzip" in names and names["gzip"].replace(" ", "").partition(";q=")[2] not in _NEVER


_NEVER = ("0", "0.0", "0.00", "0.000")


def is_text(headers: Headers, status: int) -> bool:
    kind = headers.get("content-type", "")
    if status != 200 or "content-encoding" in headers or "content-range" in headers:
        return False
    return kind.startswith(_TEXT) and not kind.startswith("text/event-stream")


async def _small(headers: MutableHeaders, message: Message) -> Message:
    body: bytes = message.get("body", b"")
    headers.add_vary_header("Accept-Encoding")
    if not LEAST <= len(body) <= MOST:
        return message
    packed = await gzip(body)
    headers["Content-Encoding"] = "gzip"
    headers["Content-Length"] = str(len(packed))
    if (tag := headers.get("etag")) is not None and not tag.startswith("W/"):
        headers["ETag"] = f"W/{tag}"
    return {**message, "body": packed}


async def gzip(body: bytes) -> bytes:
    """The same bytes in the same time give the same: there is no time stamp in it."""
    return await asyncio.to_thread(_gzip, body) if len(body) >= LARGE else _gzip(body)


def _gzip(body: bytes) -> bytes:
    pack = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
    return pack.compress(body) + pack.flush()
