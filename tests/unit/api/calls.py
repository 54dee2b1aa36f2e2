"""The API of a small world, called as programs and browsers call it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import httpx2

from cupel.api import app
from cupel.control.auth import Scope
from unit.control_views import world

T = TypeVar("T")
URL = "http://cupel.test"


class Server:
    """A world, and a client of its API."""

    def __init__(self, made: world.World, client: httpx2.AsyncClient) -> None:
        self.world = made
        self.client = client

    async def bearer(self, *scopes: Scope, user: str = "ada") -> dict[str, str]:
        issued = await self.world.auth.create(user, name="test", scopes=scopes)
        return {"Authorization": f"Bearer {issued.secret}"}


@asynccontextmanager
async def serve(directory: Path) -> AsyncIterator[Server]:
    made = await world.make(directory)
    transport = httpx2.ASGITransport(app=app.create(made), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url=URL) as client:
        yield Server(made, client)


def call(directory: Path, ask: Callable[[Server], Awaitable[T]]) -> T:
    """What `ask` gives, of a server of its own."""

    async def run() -> T:
        async with serve(directory) as server:
            return await ask(server)

    return asyncio.run(run())


def get(directory: Path, path: str, **headers: str) -> httpx2.Response:
    """The answer that anybody gets."""
    return call(directory, lambda server: server.client.get(path, headers=headers))
