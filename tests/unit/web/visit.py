"""The pages of a world, visited as a browser visits them, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import httpx2

from cupel.api import app as api
from cupel.control import auth
from cupel.control.auth import Scope
from cupel.core.model import Event
from cupel.web import app as web
from fakes import served as fakes_served
from fakes.rows import World
from fakes.served import Served

T = TypeVar("T")
HTML = {"Accept": "text/html"}


class Visitor:
    """A browser and the server that it talks to; the clock stands still."""

    def __init__(self, served: Served, client: httpx2.AsyncClient) -> None:
        self.served = served
        self.client = client

    async def see(self, path: str, status: int = 200) -> str:
        """The text of a page."""
        answer = await self.client.get(path, headers=HTML)
        assert answer.status_code == status, answer.text
        return answer.text

    async def log_in(self, *scopes: Scope) -> str:
        """Become ada; the token of her forms."""
        link = await self.served.auth.login_link("ada", scopes=scopes or [Scope.WRITE])
        answer = await self.client.get(f"/login?token={link}")
        assert answer.status_code == 303
        return auth.csrf_token(self.client.cookies[auth.COOKIE])


def visit(
    world: World,
    directory: Path,
    act: Callable[[Visitor], Awaitable[T]],
    *,
    told: bool = True,
    **given: object,
) -> T:
    """What `act` gives, on the pages of this world.

    Before each request the server is told that something happened, unless not `told`: an act puts
    its rows into the store by itself, and pages are kept until there is news.
    """

    async def run() -> T:
        store = await world.store()
        served = fakes_served.served(store, directory, lambda: world.now, **given)
        application = api.create(served)
        web.mount(application, served)
        transport = httpx2.ASGITransport(app=application, client=("127.0.0.1", 1))

        async def tell(request: httpx2.Request) -> None:
            served.feed.publish([Event(id=1, at=world.now, kind="test.acted")] if told else [])

        async with httpx2.AsyncClient(
            transport=transport, base_url=served.url, event_hooks={"request": [tell]}
        ) as client:
            return await act(Visitor(served, client))

    return asyncio.run(run())
