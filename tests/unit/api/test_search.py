"""Search by the API: what is found, what cannot be asked, and who has gone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cupel.api import search
from cupel.core.model import Build
from cupel.errors import UserError
from unit.api.calls import Server, call


def test_rows_and_logs_are_found(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        async with server.world.store.read() as tx:
            [(build, job), *_] = await tx.values(Build, ("id", "job"))
        log = server.world.logs.writer(build)
        log.append(0, "out", 1.0, b"one\nE  OSError: no route\nthree\n")
        log.close()
        found = (await server.client.get("/api/search?q=NO%20route&kind=logs")).json()
        assert found["changes_count"] is None
        [entry] = found["logs"]["entries"]
        assert (entry["build"]["id"], entry["lines"]) == (build, 1)
        assert entry["hits"] == [
            {
                "number": 1,
                "text": ["E  OSError: ", "no route", ""],
                "before": "one",
                "after": "three",
            }
        ]
        reached = found["logs"]["reached"]
        assert (reached["complete"], reached["lines"], reached["next"]) == (True, 1, None)
        only = (await server.client.get(f"/api/search?q={job[:4]}&kind=builds&kind=tests")).json()
        assert only["builds_count"]["number"] >= 1
        assert only["logs"] is None
        exact = (await server.client.get(f"/api/search?q=build%20{build}&kind=changes")).json()
        assert [(jump["kind"], jump["id"]) for jump in exact["jumps"]] == [("build", build)]

    call(tmp_path, ask)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 422),
        ("q=", 400),
        ("q=x&kind=purple", 400),
        ("q=(&regex=1", 400),
        ("q=x&project=nowhere", 404),
        ("q=x&verdict=purple", 422),
        ("q=" + "x" * 1001, 422),
    ],
)
def test_what_cannot_be_asked(tmp_path: Path, query: str, status: int) -> None:
    async def ask(server: Server) -> int:
        return int((await server.client.get(f"/api/search?{query}")).status_code)

    assert call(tmp_path, ask) == status


def test_nothing_is_done_for_whoever_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "LOOK", 0.01)
    ended = asyncio.Event()

    class Gone:
        async def is_disconnected(self) -> bool:
            return True

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def run() -> None:
        with pytest.raises(UserError):
            await search._while_awaited(Gone(), work())  # type: ignore[arg-type]
        async with asyncio.timeout(5):
            await ended.wait()

    asyncio.run(run())
