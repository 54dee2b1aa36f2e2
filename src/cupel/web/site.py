"""What every page has in common: who looks at it, the frame, and how it stays alive."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import fastapi
import jinja2
from starlette.responses import HTMLResponse, Response

import cupel
from cupel.control import auth
from cupel.control.auth import Principal, Scope
from cupel.control.context import Context
from cupel.report import reasons
from cupel.web import ansi, parts, row, shared, static, status, text
from cupel.web.drawn import Drawn
from cupel.web.herald import Herald
from cupel.web.shared import Offer
from cupel.web.topic import Topic

HERE = Path(__file__).parent
HAVE = "X-Cupel-Have"
"""The header in which the browser says which version of the live part it shows."""

MENU = (
    ("/queue", "Queue", "q"),
    ("/changes", "Changes", "c"),
    ("/machines", "Machines", "m"),
    ("/images", "Images", "i"),
    ("/trends", "Trends", "t"),
    ("/events", "Events", "e"),
    ("/mine", "Mine", "u"),
)
"""The address of each section, its name, and the key that leads there after `g`."""

SLICE = 0.005
"""Seconds that are rendered at a time."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who looks at a page; `csrf` is the token of their forms. Administrators may rule queues."""

    name: str
    can_write: bool
    can_rule: bool
    csrf: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What stands around a page: `section` is its place in the menu, `stream` keeps it alive.

    A page with a `stream` is the same for everybody who is not logged in: it is made of nothing
    but its address and what the store has.
    """

    section: str = ""
    stream: Topic | None = None
    status: int = 200


class Site:
    """Renders the pages of a running Cupel."""

    def __init__(self, server: Context) -> None:
        self.server = server
        self.herald = Herald()
        server.feed.add(self.herald)
        self.versions = parts.Versions()
        self._environment = environment()

    def now(self) -> float:
        return self.server.clock()

    def template(self, name: str) -> jinja2.Template:
        return self._environment.get_template(name)

    async def page(
        self, request: fastapi.Request, name: str, frame: Frame, **values: Any
    ) -> Response:
        """A page; for a refresh by script its live part, or 204 if that is what is shown."""
        who = await self.principal(request)
        offer = shared.offer_of(request.scope) or Offer(self.herald.moment)
        seen = self.herald.seen(offer.moment)
        context = {
            **values,
            "here": _here(request),
            "section": frame.section,
            "stream": None if frame.stream is None else frame.stream.address(seen),
            "user": _user(who),
            "version": cupel.__version__,
        }
        if who is None and self.server.config.read == "anyone":
            offer.topic = frame.stream
        headers = {"Cache-Control": "no-store", "Vary": "HX-Request, Cookie"}
        fragment = frame.stream is not None and "HX-Request" in request.headers
        body = await self._render(name, {**context, "fragment": fragment})
        if not fragment:
            return HTMLResponse(body, frame.status, headers)
        version = headers[HAVE] = parts.version(body)
        have = request.headers.get(HAVE, "")
        if have == version:
            return Response(status_code=204, headers=headers)
        self.versions.add(version, body)
        less = self.versions.difference(have, version, lambda: body)
        return HTMLResponse(body if less is None else less, headers=headers)

    async def _render(self, name: str, context: Mapping[str, Any]) -> str:
        """A large page takes longer than the gate should have to wait, so others go in between."""
        parts: list[str] = []
        began = time.perf_counter()
        for part in self.template(name).generate(context):
            parts.append(part)
            if time.perf_counter() - began > SLICE:
                await asyncio.sleep(0)
                began = time.perf_counter()
        return "".join(parts)

    async def form(
        self, request: fastapi.Request, scope: Scope
    ) -> tuple[Principal, dict[str, str]]:
        """Who sent a form of ours, and its fields. Raises `Forbidden` for anybody else."""
        who = auth.require(await self.principal(request), scope)
        fields = {key: text for key, text in (await request.form()).items() if type(text) is str}
        auth.check_csrf(who, fields.get(auth.CSRF_FIELD))
        return who, fields

    async def principal(self, request: fastapi.Request) -> Principal | None:
        """Who asks. Raises `Unauthenticated` for a header that is not valid."""
        return await self.server.auth.verify(
            authorization=request.headers.get("authorization"),
            cookie=request.cookies.get(auth.COOKIE),
        )


def of(request: fastapi.Request) -> Site:
    """The site that this request is made to."""
    site = request.app.state.site
    assert isinstance(site, Site)
    return site


async def reader(request: fastapi.Request) -> None:
    """Lets those pass who may read. Raises `Forbidden`."""
    here = of(request)
    who = await here.principal(request)
    if who is None and here.server.config.read == "anyone":
        return
    auth.require(who, Scope.READ)


READER = fastapi.Depends(reader)


def query(chosen: Mapping[str, str]) -> str:
    """The query that says what is chosen, or "?" for nothing."""
    return "?" + urlencode({name: text for name, text in chosen.items() if text})


def environment() -> jinja2.Environment:
    """Templates that escape everything and fail on names that do not exist."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("cupel.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        ago=text.ago,
        ansi=ansi.render,
        blank=text.blank,
        clock=text.clock,
        duration=text.duration,
        elapsed=text.elapsed,
        iso=text.iso,
        legible=text.legible,
        linked=text.linked,
        moment=text.moment,
        percent=reasons.percent,
        roughly=text.roughly,
        sentence=text.sentence,
        shorten=text.shortened,
        shown=text.visible,
        size=text.size,
        times=reasons.times,
    )
    made.tests["noteworthy"] = reasons.is_noteworthy
    made.globals.update(
        artefact_url=lambda build, path: f"/builds/{build}/artefacts/{quote(path)}",
        drawn=Drawn(),
        download_url=lambda build, path: f"/api/builds/{build}/artefacts/{quote(path)}",
        picture_url=lambda build, path: f"/builds/{build}/picture/{quote(path)}",
        look=status.look,
        menu=MENU,
        off_lane=status.OFF_LANE,
        job_links=row.links,
        short_jobs=row.jobs,
        raw_url=lambda build: f"/api/builds/{build}/log",
        static=static.ADDRESSES.__getitem__,
    )
    return made


def _here(request: fastapi.Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _user(who: Principal | None) -> User | None:
    if who is None or who.csrf is None:
        return None
    return User(
        name=who.user,
        can_write=who.may(Scope.WRITE),
        can_rule=who.may(Scope.ADMIN),
        csrf=who.csrf,
    )
