"""Shells over a WebSocket: who gets in, what is said, and what becomes of those who vanish."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from cupel.api import app, shell
from cupel.control.auth import COOKIE, Auth, Scope
from cupel.control.engine import Engine
from cupel.control.visits import Visits
from cupel.core import events
from cupel.core.model import BuildState, Host, Machine, MachineState, Pipeline
from cupel.host import messages
from fakes import rows, served
from fakes.rows import NOW

OWN = "http://127.0.0.1:8470"


class Recorder:
    """An engine that only notes what it is told."""

    def __init__(self) -> None:
        self.facts: list[events.Fact] = []

    async def record(self, *facts: events.Fact) -> None:
        self.facts += facts


class Socket:
    """A client's end of a WebSocket of the application."""

    def __init__(self, application: Any, path: str, headers: dict[str, str]) -> None:
        self._to: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0"},
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "subprotocols": [],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8470),
            "scheme": "ws",
            "extensions": {"websocket.http.response": {}},
        }
        self.say({"type": "websocket.connect"})
        self.running = asyncio.ensure_future(application(scope, self._to.get, self._from.put))

    def say(self, message: dict[str, Any]) -> None:
        self._to.put_nowait(message)

    def text(self, **said: Any) -> None:
        self.say({"type": "websocket.receive", "text": json.dumps(said)})

    def type(self, data: bytes) -> None:
        self.say({"type": "websocket.receive", "bytes": data})

    def vanish(self) -> None:
        self.say({"type": "websocket.disconnect", "code": 1006})

    async def hears(self) -> Any:
        """The next message: bytes, JSON, or the status of an answer that is none."""
        async with asyncio.timeout(10):
            message = await self._from.get()
        match message["type"]:
            case "websocket.accept":
                return await self.hears()
            case "websocket.http.response.start":
                return message["status"]
            case "websocket.send" if message.get("bytes") is not None:
                return message["bytes"]
            case "websocket.send":
                return json.loads(message["text"])
        return message["type"]


@dataclasses.dataclass
class World:
    """A server with a host, on which a build of each pipeline runs."""

    visits: Visits
    auth: Auth
    engine: Recorder
    said: list[messages.ToHost]
    open: Callable[..., Socket]
    builds: dict[Pipeline, int]

    async def bearer(self, *scopes: Scope) -> dict[str, str]:
        issued = await self.auth.create("ada", name="test", scopes=scopes)
        return {"authorization": f"Bearer {issued.secret}"}

    async def told(self, kind: type) -> Any:
        """The newest message of a kind to the host, once there is one."""
        for _ in range(500):
            for each in reversed(self.said):
                if isinstance(each, kind):
                    return each
            await asyncio.sleep(0.01)
        raise AssertionError(f"no {kind.__name__} among {self.said}")

    async def inside(self) -> tuple[Socket, messages.Visit]:
        """Somebody at a terminal of the build that is checked."""
        socket = self.open(self.builds[Pipeline.CHECK], **await self.bearer(Scope.WRITE))
        socket.text(terminal={"rows": 30, "columns": 100, "term": "xterm-256color"})
        assert (await socket.hears())["began"]["build"] == self.builds[Pipeline.CHECK]
        return socket, await self.told(messages.Visit)


Scenario = Callable[[World], Awaitable[None]]


def play(directory: Path, scenario: Scenario, *, held_for: float | None = None) -> list[Any]:
    """What is recorded in the course of it."""

    async def all_of_it() -> list[Any]:
        made = rows.World()
        project = made.project("demo", head="a" * 40)
        change = made.change(project, "A change")
        host = made.host("h1", 4)
        builds = {}
        for pipeline in (Pipeline.CHECK, Pipeline.POST):
            item = made.item(change, pipeline)
            machine = made.machine(host, MachineState.USED)
            build = made.build(item, "tests", BuildState.RUNNING, machine=machine)
            builds[pipeline] = build.id
            if held_for is not None:
                kept = made.rows_of(Machine)[machine.id]
                until = NOW + held_for
                made.put(
                    dataclasses.replace(kept, state=MachineState.HELD, held_until=until, hold_id=1)
                )
        store = await made.store()
        engine, said = Recorder(), list[messages.ToHost]()
        visits = Visits(store, cast("Engine", engine))

        async def say(message: messages.ToHost) -> None:
            said.append(message)

        visits.connect(made.rows_of(Host)[host.id].name, say)
        context = served.served(store, directory, lambda: NOW, visits=visits, url=OWN)
        application = app.create(context)
        sockets: list[Socket] = []

        def opened(build: int, **headers: str) -> Socket:
            whole = {"host": "127.0.0.1:8470", **headers}
            sockets.append(Socket(application, f"/api/builds/{build}/shell", whole))
            return sockets[-1]

        await scenario(World(visits, context.auth, engine, said, opened, builds))
        for socket in sockets:
            socket.vanish()
            async with asyncio.timeout(10):
                await socket.running
        return engine.facts

    return asyncio.run(all_of_it())


@pytest.mark.parametrize(
    ("scopes", "headers", "status"),
    [
        ((), {}, 401),
        ((), {"authorization": "Bearer cupel_nobody"}, 401),
        ((Scope.READ,), {}, 403),
        ((Scope.HOST,), {}, 403),
        ((Scope.ADMIN,), {"origin": "https://evil.example"}, 403),
        ((Scope.ADMIN,), {"origin": "null"}, 403),
        ((Scope.ADMIN,), {"origin": "http://127.0.0.1:8470.evil.example"}, 403),
    ],
)
def test_who_may_not_is_turned_away(
    scopes: tuple[Scope, ...], headers: dict[str, str], status: int, tmp_path: Path
) -> None:
    async def scenario(world: World) -> None:
        known = await world.bearer(*scopes) if scopes else {}
        socket = world.open(world.builds[Pipeline.CHECK], **known, **headers)
        assert await socket.hears() == status
        assert not world.said

    assert play(tmp_path, scenario) == []


@pytest.mark.parametrize(("origin", "lets_in"), [(OWN, True), (None, False), ("http://x", False)])
def test_a_browsers_cookie_counts_for_our_own_pages_alone(
    origin: str | None, lets_in: bool, tmp_path: Path
) -> None:
    async def scenario(world: World) -> None:
        link = await world.auth.login_link("ada", scopes=[Scope.WRITE])
        cookie = f"{COOKIE}={await world.auth.redeem(link, client='127.0.0.1')}"
        known = {"cookie": cookie} | ({} if origin is None else {"origin": origin})
        socket = world.open(world.builds[Pipeline.CHECK], **known)
        socket.text()
        assert ("began" in await socket.hears()) if lets_in else await socket.hears() == 403

    play(tmp_path, scenario)


@pytest.mark.parametrize(("scope", "lets_in"), [(Scope.WRITE, False), (Scope.ADMIN, True)])
def test_what_runs_after_landing_is_for_administrators(
    scope: Scope, lets_in: bool, tmp_path: Path
) -> None:
    async def scenario(world: World) -> None:
        socket = world.open(world.builds[Pipeline.POST], **await world.bearer(scope))
        socket.text(command=["true"])
        told = await socket.hears()
        assert ("began" in told) is lets_in
        if not lets_in:
            assert told["ended"]["error"] == "Forbidden"
            assert not world.said

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("build", "said", "error"),
    [
        (999, {}, "NotFound"),
        (None, {"machine": "db"}, "NotFound"),
        (None, {"command": "ls"}, "UserError"),
        (None, {"command": ["a\0b"]}, "UserError"),
        (None, {"terminal": {"rows": 10_000}}, "UserError"),
        (None, {"terminal": {"term": "x\ny"}}, "UserError"),
        (None, {"more": 1}, "UserError"),
    ],
)
def test_what_cannot_be_is_said(
    build: int | None, said: dict[str, Any], error: str, tmp_path: Path
) -> None:
    async def scenario(world: World) -> None:
        bearer = await world.bearer(Scope.WRITE)
        socket = world.open(build or world.builds[Pipeline.CHECK], **bearer)
        socket.text(**said)
        assert (await socket.hears())["ended"]["error"] == error

    play(tmp_path, scenario)


def test_both_directions_are_carried_and_paced(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        socket, visit = await world.inside()
        number = visit.visit
        assert (visit.rows, visit.columns, visit.env) == (30, 100, (("TERM", "xterm-256color"),))
        socket.type(b"ls\n")
        assert (await world.told(messages.VisitInput)).data == b"ls\n"
        socket.text(resize=[50, 132])
        size = await world.told(messages.VisitSize)
        assert (size.rows, size.columns) == (50, 132)
        socket.text(ping=7)
        assert await socket.hears() == {"pong": 7}
        for stream, prefix in (("out", b"\1"), ("err", b"\2")):
            world.visits.hear(messages.VisitOutput(visit=number, stream=stream, data=b"x" * 40_000))
            assert await socket.hears() == prefix + b"x" * 40_000
        assert (await world.told(messages.VisitRoom)).count >= 40_000
        socket.type(b"y" * messages.VISIT_WINDOW)
        socket.text(end=True)
        await asyncio.sleep(0.1)
        typed = [each.data for each in world.said if isinstance(each, messages.VisitInput)]
        assert sum(map(len, typed)) == messages.VISIT_WINDOW  # the rest waits for room
        world.visits.hear(messages.VisitTaken(visit=number, count=10))
        await asyncio.sleep(0.1)
        assert (await world.told(messages.VisitInput)).data == b""
        world.visits.hear(messages.VisitEnded(visit=number, status=-2))
        assert (await socket.hears())["ended"]["status"] == -2

    facts = play(tmp_path, scenario)
    assert [type(fact) for fact in facts] == [events.VisitBegan, events.VisitEnded]
    assert (facts[0].user, facts[0].what, facts[1].how) == ("ada", "a shell", "status -2")


def test_a_browser_gets_no_more_than_it_can_show(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        check = world.builds[Pipeline.CHECK]
        socket = world.open(check, **await world.bearer(Scope.WRITE))
        socket.text(terminal={}, window=1 << 15)
        await socket.hears()
        number = (await world.told(messages.Visit)).visit
        for letter in (b"a", b"b", b"c"):
            said = messages.VisitOutput(visit=number, stream="out", data=letter * 16_000)
            world.visits.hear(said)
        assert [(await socket.hears())[:2] for _ in "ab"] == [b"\1a", b"\1b"]
        late = asyncio.ensure_future(socket.hears())
        await asyncio.sleep(0.1)
        assert not late.done()
        socket.text(shown=16_000)
        assert (await late)[:2] == b"\1c"
        world.visits.hear(messages.VisitEnded(visit=number, status=0))
        assert (await socket.hears())["ended"]["status"] == 0

    play(tmp_path, scenario)


def test_whoever_asks_hears_who_else_is_there(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        check = world.builds[Pipeline.CHECK]
        first = world.open(check, **await world.bearer(Scope.WRITE))
        first.text(terminal={}, company=True)
        assert "began" in await first.hears()
        assert await first.hears() == {"company": ["ada"]}
        second, visit = await world.inside()
        assert await first.hears() == {"company": ["ada", "ada"]}
        world.visits.hear(messages.VisitEnded(visit=visit.visit, status=0))
        assert "ended" in await second.hears()  # and of its company it has heard nothing
        assert await first.hears() == {"company": ["ada"]}

    play(tmp_path, scenario)


def test_whoever_vanishes_is_hung_up_on(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        socket, visit = await world.inside()
        socket.vanish()
        assert (await world.told(messages.VisitLeft)).visit == visit.visit
        await socket.running
        assert world.visits.inside() == set()

    assert play(tmp_path, scenario)[-1].how == "left"


def test_whoever_falls_silent_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "SILENCE", 0.3)
    monkeypatch.setattr(shell, "ALIVE", 0.05)

    async def scenario(world: World) -> None:
        socket, visit = await world.inside()
        assert await socket.hears() == {"alive": True}
        assert (await world.told(messages.VisitLeft)).visit == visit.visit
        await socket.running

    play(tmp_path, scenario)


def test_whoever_says_nonsense_is_hung_up_on(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        socket, visit = await world.inside()
        socket.text(resize=[0, 10**9])
        assert (await world.told(messages.VisitLeft)).visit == visit.visit

    play(tmp_path, scenario)


def test_a_host_that_is_lost_ends_its_visits(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        socket, _ = await world.inside()
        world.visits.disconnect("h1", "it fell silent")
        ended = (await socket.hears())["ended"]
        assert ended["status"] is None
        assert "it fell silent" in ended["reason"]

    play(tmp_path, scenario)


def test_a_hold_that_ends_while_somebody_types_is_told_before(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        socket, visit = await world.inside()
        warning = asyncio.ensure_future(world.visits.warn(lambda: NOW))
        assert "goes in 4 min" in (await socket.hears())["notice"]
        warning.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await warning
        socket.type(b"still typing")
        await world.visits.end(visit.machine, "its hold is over")
        assert (await world.told(messages.VisitLeft)).visit == visit.visit
        assert (await socket.hears())["ended"]["reason"] == "its hold is over"

    play(tmp_path, scenario, held_for=240.0)
