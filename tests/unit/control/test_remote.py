"""Hosts that come over the network: who is let in, and sessions over WebSockets on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.routing import Router

from cupel import serve
from cupel.control import auth as authentication
from cupel.control import remote as control
from cupel.control.auth import Auth, Means, Principal, Scope
from cupel.control.hosts import Hosts
from cupel.control.remote import Remote
from cupel.errors import Forbidden, InfraError, UserError
from cupel.host import joining, messages, remote
from cupel.host.agent import Agent
from cupel.host.joining import Join, Joined, Refused, Why
from cupel.host.transport import Transport
from cupel.host.wire import Wire
from unit.host_agent.transport_contract import TransportContract

JOIN = Join(version=messages.VERSION, name="h", identity="1", server="http://server")


class Gate:
    """Tokens that are named by their scopes."""

    async def verify(self, *, authorization: str | None = None) -> Principal | None:
        if authorization is None:
            return None
        try:
            scope = Scope(authorization.removeprefix("Bearer "))
        except ValueError:
            raise authentication.Unauthenticated("this token is not valid") from None
        return Principal(user="u", scopes=frozenset({scope}), token_id=1, means=Means.BEARER)


class Lobby:
    """Stands for the server's side of the sessions: notes them, and how they ended."""

    def __init__(self, talk: bool = True) -> None:
        self.came: asyncio.Queue[Transport] = asyncio.Queue()
        self.ended: asyncio.Queue[str] = asyncio.Queue()
        self.doubted: asyncio.Queue[str] = asyncio.Queue()
        self._talk = talk

    def knows(self, name: str) -> bool:
        return name == "local"

    async def doubt(self, name: str, reason: str) -> None:
        self.doubted.put_nowait(f"{name}: {reason}")

    async def serve(self, transport: Transport, *, name: str, url: str, patience: float) -> None:
        self.came.put_nowait(transport)
        try:
            if self._talk:
                while await transport.read():
                    pass
                self.ended.put_nowait("")
            else:
                await cast("Wire", transport).ended.wait()
        except InfraError as error:
            self.ended.put_nowait(error.message)


@contextlib.asynccontextmanager
async def door(lobby: Lobby, *, lease: float = 30.0) -> AsyncIterator[str]:
    """A server that lets hosts in; its URL."""
    ways_in = Remote(cast("Hosts", lobby), cast("Auth", Gate()), lease=lease)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = serve.http(Router(routes=[ways_in.route()]))
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(ways_in.run())
            serving = group.create_task(server.serve(sockets=[listener]))
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                await serving
                keeping.cancel()


async def asks(url: str, wish: Join = JOIN) -> tuple[Any, Joined | Refused]:
    line = await remote.open_socket(remote.server(url, "host"))
    await line.send(joining.encode(wish))
    answer = await line.receive()
    assert answer is not None
    return line, joining.decode_answer(answer)


class TestWebSocket(TransportContract):
    @contextlib.asynccontextmanager
    async def ends(self) -> AsyncIterator[tuple[Transport, Transport]]:
        lobby = Lobby(talk=False)
        async with door(lobby) as url:
            line, joined = await asks(url)
            assert isinstance(joined, Joined)
            wire = Wire()
            async with asyncio.TaskGroup() as group:
                group.create_task(wire.carry(line, joined.received))
                yield wire, await lobby.came.get()
                wire.give_up("the test is over")


@pytest.mark.parametrize(
    ("token", "said"),
    [("nonsense", "not valid"), ("read", "scope host"), ("admin", "scope host")],
)
def test_a_host_needs_a_token_for_hosts(token, said):
    async def scenario() -> None:
        async with door(Lobby()) as url:
            with pytest.raises(Forbidden, match=said):
                await remote.open_socket(remote.server(url, token))

    asyncio.run(scenario())


def test_another_version_is_refused_in_words():
    async def scenario() -> None:
        async with door(Lobby()) as url:
            _, answer = await asks(url, dataclasses.replace(JOIN, version=1))
            assert isinstance(answer, Refused)
            assert answer.why is Why.VERSION
            assert "version 1" in answer.reason
            assert "install the same Cupel" in (answer.hint or "")

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["", "a/b", "-x", "..", "x" * 64, "n\u00f6rd", "a b", "a\n"])
def test_a_name_that_no_host_can_have_is_refused_at_both_ends(name):
    with pytest.raises(UserError, match="a host cannot be called"):
        joining.check_name(name)

    async def scenario() -> None:
        async with door(Lobby()) as url:
            _, answer = await asks(url, dataclasses.replace(JOIN, name=name))
            assert isinstance(answer, Refused)
            assert answer.why is Why.NAME
            assert "cannot be called" in answer.reason

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["h", "builder-1", "Rack_7.example.org", "x" * 63])
def test_names_of_computers_are_names_of_hosts(name):
    assert joining.check_name(name) == name


@pytest.mark.parametrize("first", [b"", b"[]", b'{"type": "Join"}', b"\xff", b"{" * 100_000])
def test_what_is_no_join_is_turned_away(first):
    async def scenario() -> None:
        async with door(Lobby()) as url:
            line = await remote.open_socket(remote.server(url, "host"))
            await line.send(first)
            assert await line.receive() is None

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["local", "h"])
def test_a_name_belongs_to_one_host_at_a_time(name):
    async def scenario() -> None:
        async with door(Lobby()) as url:
            if name == "h":
                await asks(url)
            _, answer = await asks(url, dataclasses.replace(JOIN, name=name, identity="2"))
            assert isinstance(answer, Refused)
            assert answer.why is Why.TAKEN
            assert name in str(answer.hint)

    asyncio.run(scenario())


def test_a_host_that_starts_anew_replaces_itself_at_once():
    async def scenario() -> None:
        lobby = Lobby()
        async with asyncio.timeout(10), door(lobby) as url:
            _, first = await asks(url)
            _, second = await asks(url)
            assert isinstance(first, Joined)
            assert isinstance(second, Joined)
            assert first.session != second.session
            assert await lobby.ended.get() == "it started anew"

    asyncio.run(scenario())


def test_a_session_goes_on_over_another_connection_within_the_lease():
    async def scenario() -> None:
        lobby = Lobby(talk=False)
        async with asyncio.timeout(10), door(lobby) as url:
            line, joined = await asks(url)
            wire = Wire()
            async with asyncio.TaskGroup() as group:
                carrying = group.create_task(wire.carry(line, joined.received))
                there = await lobby.came.get()
                await wire.write(b"one")
                assert await there.read() == b"one"
                await line.close()
                await carrying
                await wire.write(b"two")
                again = dataclasses.replace(JOIN, session=joined.session, received=wire.received)
                line, joined = await asks(url, again)
                group.create_task(wire.carry(line, joined.received))
                assert await there.read() == b"two"
                wire.close()

    asyncio.run(scenario())


def test_a_host_that_is_out_of_reach_is_given_nothing_more(monkeypatch):
    monkeypatch.setattr(control, "DOUBT", 0.1)

    async def scenario() -> None:
        lobby = Lobby()
        async with asyncio.timeout(10), door(lobby) as url:
            line, _ = await asks(url)
            await line.close()
            assert await lobby.doubted.get() == "h: the connection to it is lost"

    asyncio.run(scenario())


def test_after_the_lease_the_host_is_lost_and_its_session_is_over():
    async def scenario() -> None:
        lobby = Lobby()
        async with asyncio.timeout(10), door(lobby, lease=0.5) as url:
            line, joined = await asks(url)
            assert isinstance(joined, Joined)
            await line.close()
            assert "nothing was heard of it for 0.5 s" in await lobby.ended.get()
            _, answer = await asks(url, dataclasses.replace(JOIN, session=joined.session))
            assert isinstance(answer, Refused)
            assert answer.why is Why.OVER
            _, answer = await asks(url, dataclasses.replace(JOIN, identity="2"))
            assert isinstance(answer, Joined)

    asyncio.run(scenario())


@pytest.mark.parametrize("url", ["http://cupel.example", "http://10.0.0.1:8470"])
def test_nothing_crosses_the_network_in_the_open_unless_that_is_wanted(url):
    with pytest.raises(UserError, match="not encrypted"):
        remote.server(url, "t")
    assert remote.server(url, "t", insecure=True).url == url
    assert remote.server(url.replace("http", "https"), "t").token == "t"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[::1]:1/", "http://localhost"])
def test_this_computer_needs_no_encryption(url):
    assert remote.server(url, "t").url == url.rstrip("/")


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("ws://x", "t"),
        ("https://x/y", "t"),
        ("x", "t"),
        ("https://x", " "),
        ("https://x", "tökén"),
    ],
)
def test_what_cannot_be_a_server_is_refused(url, token):
    with pytest.raises(UserError):
        remote.server(url, token)


class Idle:
    """An agent that reads until its transport ends."""

    def __init__(self) -> None:
        self.served: asyncio.Queue[Transport] = asyncio.Queue()
        self._transport: Transport | None = None

    async def serve(self, transport: Transport) -> None:
        self._transport = transport
        self.served.put_nowait(transport)
        try:
            while await transport.read():
                pass
        finally:
            transport.close()

    async def let_go(self, after: float = 0.0) -> None:
        """It holds nothing."""

    def stop(self) -> None:
        if self._transport is not None:
            self._transport.close()


@contextlib.asynccontextmanager
async def running(url: str, state: Path, **options: Any) -> AsyncIterator[tuple[Idle, list[str]]]:
    agent, said = Idle(), []
    host = remote.Remote(
        cast("Agent", agent), remote.server(url, "host"), name="h", state=state, say=said.append,
        **options,
    )  # fmt: skip
    async with asyncio.TaskGroup() as group:
        task = group.create_task(host.run())
        yield agent, said
        host.stop()
        async with asyncio.timeout(10):
            await task


def test_a_host_keeps_its_session_when_the_connection_is_cut(tmp_path):
    lines = []

    async def open_it(server: remote.Server) -> Any:
        lines.append(await remote.open_socket(server))
        return lines[-1]

    async def scenario() -> None:
        lobby = Lobby(talk=False)
        async with asyncio.timeout(20), door(lobby) as url:
            async with running(url, tmp_path, open=open_it) as (agent, said):
                here, there = await agent.served.get(), await lobby.came.get()
                await lines[0].close()
                await here.write(b"late")
                assert await there.read() == b"late"
                assert len(lines) == 2
                assert lobby.came.empty()
                assert any("builds go on" in each for each in said)
            assert await there.read() == b""

    asyncio.run(scenario())


def test_a_host_that_is_cut_off_gives_up_before_its_server_does(tmp_path):
    """It counts from when that was sent which the server answered, so the answer's way is free."""

    async def open_it(server: remote.Server) -> Any:
        if not up:
            raise InfraError("no route")
        lines.append(await remote.open_socket(server))
        return lines[-1]

    lines, up = [], [True]

    async def scenario() -> None:
        lobby = Lobby()
        async with (
            asyncio.timeout(20),
            door(lobby, lease=1.5) as url,
            running(url, tmp_path, open=open_it) as (agent, _),
        ):
            here = cast("Wire", await agent.served.get())
            up.clear()
            await lines[0].close()
            await here.ended.wait()
            assert lobby.ended.empty()
            assert "nothing was heard" in await lobby.ended.get()
            up.append(True)
            assert await agent.served.get() is not here

    asyncio.run(scenario())


def test_a_host_that_is_not_let_in_says_so_and_ends(tmp_path):
    async def scenario() -> None:
        async with asyncio.timeout(10), door(Lobby()) as url:
            host = remote.Remote(
                cast("Agent", Idle()), remote.server(url, "read"), name="h", state=tmp_path,
                say=lambda text: None,
            )  # fmt: skip
            with pytest.raises(Forbidden, match="scope host"):
                await host.run()

    asyncio.run(scenario())


def test_a_server_that_does_not_answer_is_complained_of_once(tmp_path):
    told: list[str] = []

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        host = remote.Remote(
            cast("Agent", Idle()), remote.server(f"http://127.0.0.1:{port}", "t"), name="h",
            state=tmp_path, say=told.append, jitter=lambda: 1.0,
        )  # fmt: skip
        running = asyncio.create_task(host.run())
        await asyncio.sleep(1.5)
        host.stop()
        await running

    asyncio.run(scenario())
    [said] = told
    assert said.endswith(": nobody listens there; trying again")


def test_the_identity_of_a_state_directory_stays(tmp_path):
    assert remote.identity(tmp_path) == remote.identity(tmp_path)
    (tmp_path / "identity").write_text("")
    assert len(remote.identity(tmp_path)) == 32


def test_a_refusal_is_told_by_the_server_in_json():
    refused = Refused(why=Why.TAKEN, reason="r", hint=None)
    assert joining.decode_answer(joining.encode(refused)) == refused
    assert json.loads(joining.encode(refused))["type"] == "Refused"
