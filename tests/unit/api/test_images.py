"""Images over the API."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cupel.control import views
from cupel.control.auth import Scope
from cupel.image import build
from unit.api.calls import Server, call
from unit.control_views import world
from unit.image.builder import Builder


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    builder = Builder()
    monkeypatch.setattr(build, "build", builder)
    return builder


async def built(server: Server) -> str:
    return await server.world.images.catalogue.rebuild(world.PYTHON, lambda _: None)


def test_an_image_and_its_log(tmp_path: Path, builder: Builder) -> None:
    async def ask(server: Server) -> None:
        before = await server.client.get("/api/images/python")
        assert views.ImageView.model_validate_json(before.content).state == "waiting"
        assert (await server.client.get("/api/images/python/log")).status_code == 404
        digest = await built(server)
        (found,) = (await server.client.get("/api/images")).json()
        assert (found["name"], found["state"], found["digest"]) == ("python", "ready", digest)
        assert found["tests"] == ["python3 --version"]
        log = await server.client.get("/api/images/python/log")
        assert log.headers["content-type"].startswith("text/plain")
        assert "working" in log.text
        assert (await server.client.get("/api/images/none")).status_code == 404

    call(tmp_path, ask)


def test_a_failure_is_told_with_its_reason(tmp_path: Path, builder: Builder) -> None:
    builder.fails = True

    async def ask(server: Server) -> None:
        await asyncio.gather(built(server), return_exceptions=True)
        found = (await server.client.get("/api/images/python")).json()
        assert (found["state"], found["error"]) == ("failed", "the mirror is away")
        assert "Failed:" in (await server.client.get("/api/images/python/log")).text

    call(tmp_path, ask)


def test_only_administrators_build_go_back_and_prune(tmp_path: Path, builder: Builder) -> None:
    async def ask(server: Server) -> None:
        first = await built(server)
        builder.content = b"other"
        second = await built(server)
        writer = await server.bearer(Scope.WRITE)
        admin = await server.bearer(Scope.ADMIN)
        for path, body in (("python/build", None), ("python/rollback", None), ("prune", {})):
            refused = await server.client.post(f"/api/images/{path}", json=body, headers=writer)
            assert refused.status_code == 403, path
        asked = await server.client.post("/api/images/python/build", headers=admin)
        assert asked.status_code == 202
        back = await server.client.post("/api/images/python/rollback", headers=admin)
        assert (back.json()["digest"], back.json()["rejected"]) == (first, second)
        again = await server.client.post("/api/images/python/rollback", headers=admin)
        assert again.status_code == 409
        pruned = await server.client.post("/api/images/prune", json={"keep": 0}, headers=admin)
        assert pruned.json() == [second]

    call(tmp_path, ask)


def test_what_differs(tmp_path: Path, builder: Builder) -> None:
    async def ask(server: Server) -> None:
        first = await built(server)
        builder.packages = {}
        builder.content = b"other"
        second = await built(server)
        query = f"old={first}&new=python"
        found = (await server.client.get(f"/api/images/difference?{query}")).json()
        assert (found["old"], found["new"]) == (first, second)
        assert found["packages"] == [{"name": "git", "old": "1", "new": None}]
        assert found["files"] == [{"path": "etc/file", "change": "changed"}]

    call(tmp_path, ask)


def test_hosts_and_who_may_run_builds_fetch_the_one_file(tmp_path: Path, builder: Builder) -> None:
    async def ask(server: Server) -> None:
        builder.packs = b"0123456789"
        path = f"/api/images/{await built(server)}/file"
        assert (await server.client.get(path)).status_code == 401
        writer = await server.bearer(Scope.WRITE)
        assert (await server.client.get(path, headers=writer)).content == b"0123456789"
        reader = await server.bearer(Scope.READ)
        assert (await server.client.get(path, headers=reader)).status_code == 403
        host = await server.bearer(Scope.HOST)
        assert (await server.client.get(path, headers=host)).content == b"0123456789"
        rest = await server.client.get(path, headers={**host, "Range": "bytes=4-"})
        assert (rest.status_code, rest.content) == (206, b"456789")
        none = await server.client.get(path, headers={**host, "Range": "bytes=10-"})
        assert none.status_code == 416
        for digest in (f"sha256:{0:064d}", "python", "..%2F..%2Fetc%2Fpasswd"):
            gone = await server.client.get(f"/api/images/{digest}/file", headers=host)
            assert gone.status_code == 404, digest

    call(tmp_path, ask)
