import asyncio
from pathlib import Path

import pytest

from cupel.api import events
from cupel.core.model import Event
from unit.api.calls import Server, call, get


def test_events_newest_first_or_onwards(tmp_path: Path) -> None:
    assert [row["id"] for row in get(tmp_path, "/api/events").json()["entries"]] == [3, 2, 1]
    onwards = get(tmp_path, "/api/events?after=1&limit=1").json()
    assert ([row["id"] for row in onwards["entries"]], onwards["next"]) == ([2], 2)
    about = get(tmp_path, "/api/events?change=21").json()["entries"]
    assert [(row["kind"], row["project"]) for row in about] == [("change.pushed", "demo")]


def test_a_stream_goes_on_where_its_client_stopped(tmp_path: Path) -> None:
    async def ask(server: Server) -> list[str]:
        stream = events._stream(server.world, 1)
        frames = [await anext(stream)]
        frames += (await anext(stream)).split("\n\n")[:-1]
        pending = asyncio.ensure_future(anext(stream))
        for _ in range(20):
            await asyncio.sleep(0)
        seen_before = Event(id=3, at=3.0, kind="build.started")
        fresh = Event(id=9, at=9.0, kind="change.landed", change_id=21, text="two\nlines")
        server.world.feed.publish([seen_before, fresh])
        frames.append(await pending)
        server.world.feed.close()
        frames += [frame async for frame in stream]
        return frames

    retry, second, third, live = call(tmp_path, ask)
    assert retry == "retry: 1000\n\n"
    assert second.startswith("id: 2\nevent: change.pushed\ndata: {")
    assert third.startswith("id: 3\n")
    assert live.startswith("id: 9\nevent: change.landed\n")
    assert live.count("\n") == 4


def test_a_stream_without_a_past_begins_now(tmp_path: Path) -> None:
    async def ask(server: Server) -> list[str]:
        stream = events._stream(server.world, None)
        frames = [await anext(stream)]
        server.world.feed.publish([Event(id=9, at=9.0, kind="branch.moved")])
        server.world.feed.close()
        return frames + [frame async for frame in stream]

    assert [frame[:5] for frame in call(tmp_path, ask)] == ["retry", "id: 9"]


def test_a_silent_stream_shows_that_it_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "KEEPALIVE", 0.0)

    async def ask(server: Server) -> str:
        stream = events._stream(server.world, None)
        await anext(stream)
        return await anext(stream)

    assert call(tmp_path, ask) == ": still here\n\n"
