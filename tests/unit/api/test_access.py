from pathlib import Path

import pytest

from cupel.api import app
from cupel.control import auth
from cupel.control.auth import Scope
from unit.api.calls import Server, call, get

EXAMPLE = {"id": "22", "name": "demo", "project": "demo", "path": "x"}

READS = sorted(
    path.replace("{id}", "22")
    .replace("{name}", "demo")
    .replace("{project}", "demo")
    .replace("{path}", "x")
    for path, methods in app.bare().openapi()["paths"].items()
    if "get" in methods and path != "/api/tokens"
)


@pytest.mark.parametrize("path", READS)
def test_where_a_login_is_asked_for_nobody_reads_without(tmp_path: Path, path: str) -> None:
    async def ask(server: Server) -> None:
        server.world.config.read = "login"
        answer = await server.client.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")

    call(tmp_path, ask)


def test_every_route_that_changes_something_asks_who_it_is(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        for path, methods in app.bare().openapi()["paths"].items():
            for method in set(methods) - {"get"}:
                answer = await server.client.request(method, path.replace("{id}", "22"))
                assert answer.status_code == 401, (method, path)

    call(tmp_path, ask)


def test_a_reader_reads_where_a_login_is_asked_for(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        server.world.config.read = "login"
        reader = await server.bearer(Scope.READ)
        host = await server.bearer(Scope.HOST)
        assert (await server.client.get("/api/status", headers=reader)).status_code == 200
        assert (await server.client.get("/api/status", headers=host)).status_code == 403

    call(tmp_path, ask)


def test_a_wrong_token_is_refused_even_where_anybody_reads(tmp_path: Path) -> None:
    answer = get(tmp_path, "/api/status", Authorization="Bearer cupel_wrong")
    assert (answer.status_code, "token" in answer.json()["detail"]) == (401, True)


def test_a_session_proves_that_our_page_sent_what_changes_something(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        link = await server.world.auth.login_link("ada", scopes=[Scope.WRITE])
        session = await server.world.auth.redeem(link, client="127.0.0.1")
        cookie = {"Cookie": f"{auth.COOKIE}={session}"}
        forged = await server.client.post("/api/changes/22/land", headers=cookie)
        assert (forged.status_code, server.world.commands.asked) == (403, [])
        own = {**cookie, auth.CSRF_HEADER: auth.csrf_token(session)}
        assert (await server.client.post("/api/changes/22/land", headers=own)).status_code == 200
        assert (await server.client.get("/api/status", headers=cookie)).status_code == 200

    call(tmp_path, ask)


def test_tokens_are_made_listed_and_ended(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        writer = await server.bearer(Scope.WRITE)
        await server.bearer(Scope.READ, user="bob")
        made = await server.client.post(
            "/api/tokens", json={"name": "ci", "scopes": ["read"], "days": 1}, headers=writer
        )
        assert (made.status_code, made.json()["expires_at"]) == (201, None) or made.json()["secret"]
        listed = await server.client.get("/api/tokens", headers=writer)
        assert [row["name"] for row in listed.json()] == ["test", "ci"]
        assert "secret" not in listed.text
        everybody = await server.client.get("/api/tokens", headers=await server.bearer(Scope.ADMIN))
        assert {row["user"] for row in everybody.json()} == {"ada", "bob"}
        ended = await server.client.delete(f"/api/tokens/{made.json()['id']}", headers=writer)
        assert ended.status_code == 204
        gone = {"Authorization": f"Bearer {made.json()['secret']}"}
        assert (await server.client.get("/api/status", headers=gone)).status_code == 401

    call(tmp_path, ask)


def test_nobody_makes_a_token_that_may_more(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        writer = await server.bearer(Scope.WRITE)
        for body in ({"name": "x", "scopes": ["admin"]}, {"name": "x", "user": "bob"}):
            answer = await server.client.post("/api/tokens", json=body, headers=writer)
            assert answer.status_code == 403

    call(tmp_path, ask)


def test_a_login_link_is_made_for_the_one_who_asks(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        answer = await server.client.post(
            "/api/login", headers=await server.bearer(Scope.WRITE, user="bob")
        )
        secret = answer.json()["url"].removeprefix("http://127.0.0.1:8470/login?token=")
        session = await server.world.auth.redeem(secret, client="127.0.0.1")
        principal = await server.world.auth.verify(cookie=session)
        assert principal is not None
        assert principal.user == "bob"
        assert not principal.may(Scope.ADMIN)

    call(tmp_path, ask)
