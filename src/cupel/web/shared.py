"""Pages that are the same for everybody who is not logged in, made once for all who ask.

A page is kept until something happens that concerns it, or for `KEEP` seconds: what changes without
an event, such as the load of a host, is so old at most. However many ask at the same moment, one
rendering serves them all; and all renderings for everybody together take at most `SHARE` of a core,
so that a crowd makes pages later instead of the gate slower. What a person sees who is logged in is
never kept and never taken from here: a request with a session or a token passes by, and what is
kept was offered for it by `Site.page`, which knows that it was made for nobody in particular.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import cast

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cupel.control import auth
from cupel.web import compress
from cupel.web.budget import Budget
from cupel.web.herald import Herald
from cupel.web.meter import Metered
from cupel.web.parts import Versions
from cupel.web.topic import Topic

KEEP = 3.0
"""Seconds that a page is kept at most. Times on it go on in the browser."""

STALE = 10.0
"""Seconds after which even a page that is overtaken is made anew, whatever it costs."""

SHARE, BURST = 0.1, 0.5
"""The part of a core that making pages for everybody may take, and the seconds of it at once."""

CROWD = 50
"""Open pages from which on readers are a crowd, who may take less and wait for it longer."""

CROWD_SHARE, CROWD_BURST = 0.03, 0.15

LOOKS = 0.001
"""Seconds of a core that must be left for a page to be made that can wait."""

MEMORY = 32 << 20
"""Bytes of all pages that are kept."""

HAVE = b"x-cupel-have"
"""The header in which the browser says which version of the live part it shows."""

_OFFER = "cupel.offer"

Key = tuple[str, bytes, bool]
"""Path, query, and whether only the live part is asked for."""


@dataclasses.dataclass(slots=True)
class Offer:
    """What a page says of itself while it is made: `topic`, if everybody may be shown it.

    `moment` is the herald's before anything was read for it.
    """

    moment: int
    topic: Topic | None = None


def offer_of(scope: Scope) -> Offer | None:
    """The offer that goes with a request, if pages are kept at all."""
    return cast("Offer | None", scope.get(_OFFER))


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A page that is kept: raw headers without those of its encoding, and both its bodies."""

    topic: Topic
    moment: int
    at: float
    status: int
    headers: list[tuple[bytes, bytes]]
    tag: bytes
    have: bytes | None
    plain: bytes
    packed: bytes

    @property
    def size(self) -> int:
        return len(self.plain) + len(self.packed) + 2000

    async def answer(self, headers: Headers, send: Send, versions: Versions) -> None:
        """Send it, or what the browser lacks of it, or that it has it."""
        shows = headers.get(HAVE.decode(), "")
        if self.have is not None and shows.encode() == self.have:
            await _send(send, 204, [*self._bare(), *_SAME], b"")
            return
        if shows and self.have is not None:
            less = versions.difference(shows, self.have.decode(), self.plain.decode)
            if less is not None:
                own = [*self.headers, (b"cache-control", b"no-store"), _SAME[1]]
                await _send(send, self.status, own, less.encode())
                return
        if self.tag in headers.get("if-none-match", "").encode().split(b", "):
            await _send(send, 304, [*self._bare(), (b"etag", self.tag), *_SAME], b"")
            return
        extra = [(b"etag", self.tag), *_SAME]
        body = self.plain
        if compress.is_wanted(headers):
            extra.append((b"content-encoding", b"gzip"))
            body = self.packed
        extra.append((b"content-length", str(len(body)).encode()))
        await _send(send, self.status, [*self.headers, *extra], body)

    def _bare(self) -> list[tuple[bytes, bytes]]:
        return [pair for pair in self.headers if pair[0] != b"content-type"]


_SAME = (
    (b"cache-control", b"no-cache"),
    (b"vary", b"HX-Request, Cookie, Authorization, Accept-Encoding"),
)
_OWN = {b"etag", b"cache-control", b"vary", b"content-encoding", b"content-length"}


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Shared:
    """Answers for the application where it can. `open`: whether everybody may read.

    `clock` is monotonic; `spent` tells the seconds that the processor has worked for this thread.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        herald: Herald,
        versions: Versions,
        open: bool,
        clock: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._app = app
        self._herald = herald
        self._versions = versions
        self._open = open
        self._clock = clock
        self._spent = spent
        self._sleep = sleep
        self._few = Budget(rate=SHARE, burst=BURST)
        self._crowd = Budget(rate=CROWD_SHARE, burst=CROWD_BURST)
        self._kept: OrderedDict[Key, Entry] = OrderedDict()
        self._size = 0
        self._flights: dict[Key, asyncio.Future[bool]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not (self._open and is_for_anybody(scope, headers)):
            scope[_OFFER] = Offer(self._herald.moment)
            await self._app(scope, receive, send)
            return
        key = (str(scope["path"]), bytes(scope["query_string"]), "hx-request" in headers)
        entry = await self._find(key)
        if entry is None:
            await self._make(key, scope, receive, send)
        else:
            await entry.answer(headers, send, self._versions)

    async def _find(self, key: Key) -> Entry | None:
        """What is kept and still true; None if the caller is to make it."""
        while (entry := self._kept.get(key)) is None or not self._is_true(entry):
            flight = self._flights.get(key)
            if flight is not None:
                if not await asyncio.shield(flight):
                    return None
                continue
            budget = self._few if self._herald.size < CROWD else self._crowd
            pause = budget.wait(LOOKS, self._clock())
            if entry is None or pause == 0.0 or self._clock() - entry.at > STALE:
                return None
            if not key[2]:
                break  # A whole page can be a little late: its stream says so at once.
            await self._sleep(min(pause, STALE))
        self._kept.move_to_end(key)
        return entry

    def _is_true(self, entry: Entry) -> bool:
        if self._clock() - entry.at > KEEP:
            return False
        return not self._herald.happened(entry.topic, entry.moment)

    async def _make(self, key: Key, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, and keep what it offers. Others wait for it meanwhile."""
        if key in self._flights:  # It led to nothing that can be shared.
            await self._app({**scope, _OFFER: Offer(self._herald.moment)}, receive, send)
            return
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        offer = Offer(self._herald.moment)
        capture = _Capture(offer, send, lambda: self._land(key, flight, kept=False))
        headers = Headers(scope=scope)
        inner = {**scope, _OFFER: offer, "headers": _without_have(scope)}
        try:
            at = self._clock()
            work = Metered(self._answered(inner, receive, capture), self._spent)
            await work
            for budget in (self._few, self._crowd):
                budget.spend(work.cost, self._clock())
            entry = await capture.entry(at)
            if entry is not None:
                self._keep(key, entry)
                self._land(key, flight, kept=True)
                await entry.answer(headers, send, self._versions)
        finally:
            self._land(key, flight, kept=False)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def _land(self, key: Key, flight: asyncio.Future[bool], *, kept: bool) -> None:
        """Let those go on who wait: to what is kept, or to the application by themselves."""
        if not flight.done():
            flight.set_result(kept)
            del self._flights[key]

    def _keep(self, key: Key, entry: Entry) -> None:
        if (old := self._kept.pop(key, None)) is not None:
            self._size -= old.size
        self._kept[key] = entry
        self._size += entry.size
        while self._size > MEMORY:
            self._size -= self._kept.popitem(last=False)[1].size


def is_for_anybody(scope: Scope, headers: Headers) -> bool:
    """Whether a request asks for a page and says nothing of who asks."""
    if scope["method"] != "GET" or "authorization" in headers or "range" in headers:
        return False
    if auth.COOKIE in headers.get("cookie", ""):
        return False
    return "hx-request" in headers or "text/html" in headers.get("accept", "")


def _without_have(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Everybody gets the same page, whatever the one who asked first has."""
    return [(name, value) for name, value in scope["headers"] if name.lower() != HAVE]


class _Capture:
    """Takes an answer that is offered for everybody; passes on any other, and says so first."""

    def __init__(self, offer: Offer, send: Send, passes: Callable[[], None]) -> None:
        self._offer = offer
        self._send = send
        self._passes = passes
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_offered(self._offer, message):
            self._start = message
        elif self._start is not None:
            self._body += message.get("body", b"")
        else:
            self._passes()
            await self._send(message)

    async def entry(self, at: float) -> Entry | None:
        """What was offered, ready to be kept, if anything was."""
        if self._start is None or self._offer.topic is None:
            return None
        headers = Headers(raw=self._start["headers"])
        body = bytes(self._body)
        have = headers.get(HAVE.decode())
        tag = hashlib.blake2b(body, digest_size=12).hexdigest()
        return Entry(
            topic=self._offer.topic,
            moment=self._offer.moment,
            at=at,
            status=self._start["status"],
            headers=[pair for pair in headers.raw if pair[0] not in _OWN],
            tag=f'W/"{tag}"'.encode(),
            have=None if have is None else have.encode(),
            plain=body,
            packed=await compress.gzip(body),
        )


def _is_offered(offer: Offer, message: Message) -> bool:
    return (
        offer.topic is not None
        and message["status"] == 200
        and "set-cookie" not in MutableHeaders(scope=message)
    )
