"""The HTTP API of a running server: what it promises, and what it keeps to itself."""

from __future__ import annotations

import concurrent.futures
import json

import pytest

from e2e import server as serving
from e2e.conftest import Project
from e2e.server import Server

pytestmark = pytest.mark.e2e


def test_the_document_is_what_the_command_prints(server: Server) -> None:
    printed = server.cli("openapi")
    assert printed.returncode == 0
    assert server.get("/api/openapi.json") == json.loads(printed.stdout)


def test_no_file_of_the_server_holds_a_secret_but_its_owners(server: Server) -> None:
    secret = server.post("/api/tokens", {"name": "mine", "scopes": ["read"]})["secret"]
    link = server.cli("login").stdout.strip().partition("token=")[2]
    assert link
    for path in server.state.iterdir():
        if not path.is_file() or path.name == "up.log":
            continue
        content = path.read_bytes()
        assert secret.encode() not in content, path
        assert link.encode() not in content, path
        if path.name != "client.json":
            assert server.token.encode() not in content, path
    assert (server.state / "client.json").stat().st_mode & 0o077 == 0
    assert server.state.stat().st_mode & 0o077 == 0


def test_wrong_tokens_are_refused_even_where_anyone_may_read(server: Server) -> None:
    for header in ("Bearer nonsense", "Bearer", "Basic !!!", "Basic", "Digest x"):
        answer = server.request("GET", "/api/status", headers={"Authorization": header})
        assert answer.status_code == 401, header
        assert answer.headers["content-type"] == "application/problem+json"


def test_odd_requests_are_the_requests_fault(server: Server) -> None:
    for method, path, status in (
        ("GET", "/api/changes/99999999999999999999999", 400),
        ("GET", "/changes/99999999999999999999999", 400),
        ("GET", "/api/changes/0", 404),
        ("GET", "/api/changes/-1", 404),
        ("GET", "/api/builds/x/log", 422),
        ("GET", "/api/queues/nowhere", 404),
        ("GET", "/api/changes?limit=100000", 422),
        ("GET", "/api/changes?before=9223372036854775808", 400),
        ("GET", "/static/../../etc/passwd", 404),
        ("GET", "/static/%2e%2e/%2e%2e/app.py", 404),
        ("DELETE", "/api/changes/1", 405),
        ("GET", "/api/%00", 404),
    ):
        assert server.request(method, path).status_code == status, path


def test_bodies_that_are_too_large_or_no_json_are_refused(server: Server) -> None:
    token = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    for content in (b"{", b"[1]", b"\xff", b'{"name": "x", "frobnicate": 1}', b"[" * 100_000):
        answer = server.request("POST", "/api/projects", content=content, headers=token)
        assert answer.status_code in (400, 422), content[:20]
    huge = server.request("POST", "/api/projects", content=b"x" * (2 << 20), headers=token)
    assert huge.status_code == 413


def test_many_ask_at_once(server: Server, project: Project) -> None:
    work = project(serving.jobs(tests="true"))
    number = work.propose("Popular", {"x": "x"}, "wait")

    def approve(_: int) -> int:
        return server.request("POST", f"/api/changes/{number}/approve").status_code

    with concurrent.futures.ThreadPoolExecutor(8) as people:
        answers = list(people.map(approve, range(16)))
    assert set(answers) <= {200, 409}
    assert server.ended(number)["state"] == "landed"
    assert serving.first_parents(work) == ["Popular", "Begin"]
