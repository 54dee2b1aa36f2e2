"""The command line in front of a small world's API, all in one process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import click.testing
import httpx2
import pytest

from cupel.api import app
from cupel.cli import main
from cupel.cli.session import Session
from cupel.client import Address, Client
from cupel.control.auth import Scope
from unit.control_views import world

URL = "http://127.0.0.1:8470"


@dataclass(frozen=True, kw_only=True)
class Said:
    code: int
    out: str
    err: str


@dataclass(kw_only=True)
class Command:
    """Runs commands against `world`, as the owner unless `token` says otherwise."""

    world: world.World
    token: str | None
    capture: pytest.CaptureFixture[str]
    addresses: list[Address] = field(default_factory=list)

    def __call__(self, *argv: str) -> Said:
        session = Session(state=self.world.state, url=URL, token=self.token, connect=self._connect)
        self.capture.readouterr()
        code = main.run(argv, session)
        out, err = self.capture.readouterr()
        return Said(code=code, out=out, err=err)

    def _connect(self, address: Address) -> Client:
        self.addresses.append(address)
        http = httpx2.Client(transport=InProcess(self.world), base_url=address.url)
        return Client(address, http=http)


class InProcess(httpx2.BaseTransport):
    """Answers by the API of a world, without a socket."""

    def __init__(self, made: world.World) -> None:
        self._app = app.create(made)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return asyncio.run(self._answer(request))

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self._app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport) as http:
            answer = await http.request(
                request.method, request.url, headers=request.headers, content=request.read()
            )
        return httpx2.Response(answer.status_code, headers=answer.headers, content=answer.content)


def make(directory: Path, capture: pytest.CaptureFixture[str]) -> Command:
    async def start() -> tuple[world.World, str]:
        made = await world.make(directory)
        issued = await made.auth.create("ada", name="owner", scopes=[Scope.ADMIN])
        return made, issued.secret

    made, secret = asyncio.run(start())
    return Command(world=made, token=secret, capture=capture)


def alone(*argv: str) -> click.testing.Result:
    """A command that needs no server."""
    return click.testing.CliRunner().invoke(main.cli, argv)
