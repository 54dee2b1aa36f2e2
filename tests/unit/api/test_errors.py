from pathlib import Path

import pytest
import structlog.testing

from cupel.control.auth import Scope
from cupel.errors import (
    Bug,
    ConfigError,
    Conflict,
    Forbidden,
    InfraError,
    NotFound,
    UserError,
)
from unit.api.calls import Server, call, get


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UserError("it is bad", hint="mend it"), 400),
        (Forbidden("it is bad", hint="mend it"), 403),
        (NotFound("it is bad", hint="mend it"), 404),
        (Conflict("it is bad", hint="mend it"), 409),
        (ConfigError("it is bad", where="a:1:2", hint="mend it"), 422),
        (InfraError("it is bad", hint="mend it"), 503),
    ],
)
def test_an_error_is_a_problem_document_with_its_hint(
    tmp_path: Path, error: Exception, status: int
) -> None:
    async def ask(server: Server) -> None:
        server.world.commands.error = error
        answer = await server.client.post(
            "/api/changes/22/land", headers=await server.bearer(Scope.WRITE)
        )
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (answer.status_code, problem["status"]) == (status, status)
        assert problem["detail"].endswith("it is bad")
        assert problem["hint"] == "mend it"

    call(tmp_path, ask)


@pytest.mark.parametrize(
    "error", [Bug("the queue ate itself"), RuntimeError("the queue ate itself")]
)
def test_a_bug_tells_its_id_and_nothing_else(tmp_path: Path, error: Exception) -> None:
    async def ask(server: Server) -> None:
        server.world.commands.error = error
        with structlog.testing.capture_logs() as logged:
            answer = await server.client.post(
                "/api/changes/22/land", headers=await server.bearer(Scope.WRITE)
            )
        assert answer.status_code == 500
        assert "ate itself" not in answer.text
        [entry] = [entry for entry in logged if entry["log_level"] == "error"]
        assert entry["id"] in answer.json()["instance"]
        assert entry["exc_info"] is error

    call(tmp_path, ask)


def test_input_that_does_not_fit_is_said_field_by_field(tmp_path: Path) -> None:
    answer = get(tmp_path, "/api/changes?limit=0&state=sleeping")
    assert answer.status_code == 422
    assert "query.limit" in answer.json()["detail"]
    assert "query.state" in answer.json()["detail"]


def test_a_wrong_method_is_a_problem_too(tmp_path: Path) -> None:
    answer = call(tmp_path, lambda server: server.client.delete("/api/status"))
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_without_end_is_refused(tmp_path: Path) -> None:
    async def ask(server: Server) -> int:
        answer = await server.client.post(
            "/api/projects",
            content=b'{"name": "' + b"x" * (2 << 20) + b'"}',
            headers={**await server.bearer(Scope.ADMIN), "Content-Type": "application/json"},
        )
        return answer.status_code

    assert call(tmp_path, ask) == 413
