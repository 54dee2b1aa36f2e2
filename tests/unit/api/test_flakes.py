"""Flaky tests and quarantine by the API: who may, and within which bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cupel.control.auth import Scope
from cupel.core import quarantine, results
from cupel.core.flake import Flake, FlakeProof
from unit.api.calls import Server, call

WANTED: dict[str, Any] = {
    "project": "demo",
    "test": "tests.test_a::test_b",
    "owner": "ada",
    "reason": "it waits for the clock",
    "seconds": 3600.0,
}
NAME = WANTED["test"]
KNOWN = Flake(
    id=70,
    project_id=1,
    job="tests (python=3.11)",
    test=results.digest(NAME),
    name=NAME,
    first_seen=1.0,
    last_seen=2.0,
    count=1,
    proofs=(FlakeProof(failed=5, passed=6, at=2.0),),
    weight=1.0,
    runs=4.0,
    at=2.0,
)


def test_a_test_is_quarantined_listed_and_released(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        admin = await server.bearer(Scope.ADMIN)
        project = (await server.client.get("/api/projects")).json()[0]
        asked = WANTED | {"project": project["name"], "job": "tests"}
        made = (await server.client.post("/api/quarantines", json=asked, headers=admin)).json()
        assert (made["test"], made["job"], made["state"]) == (NAME, "tests", "in-force")
        async with server.world.store.write() as tx:
            await tx.put([KNOWN])
        [listed] = (await server.client.get("/api/quarantines")).json()
        assert listed == made
        [flake] = (await server.client.get(f"/api/flakes?project={project['name']}")).json()
        assert (flake["test"], flake["rate"], flake["quarantined"]) == (NAME, 0.25, made["id"])
        path = f"/api/quarantines/{made['id']}"
        gone = await server.client.delete(path, headers=admin)
        assert gone.status_code == 200
        assert server.world.commands.asked[-1] == ("release", made["id"], "ada")

    call(tmp_path, ask)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": quarantine.LONGEST + 1},
        {"seconds": 0},
        {"seconds": -1.0},
        {"owner": ""},
        {"reason": ""},
        {"test": ""},
        {"test": "x" * 2000},
        {"until": 5},
    ],
)
def test_a_quarantine_has_an_owner_a_reason_and_an_end(
    wrong: dict[str, Any], tmp_path: Path
) -> None:
    async def ask(server: Server) -> None:
        admin = await server.bearer(Scope.ADMIN)
        answer = await server.client.post("/api/quarantines", json=WANTED | wrong, headers=admin)
        assert 400 <= answer.status_code < 500
        assert server.world.commands.asked == []

    call(tmp_path, ask)


def test_only_administrators_quarantine(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        writer = await server.bearer(Scope.WRITE)
        made = await server.client.post("/api/quarantines", json=WANTED, headers=writer)
        gone = await server.client.delete("/api/quarantines/1", headers=writer)
        assert (made.status_code, gone.status_code) == (403, 403)
        assert server.world.commands.asked == []

    call(tmp_path, ask)


def test_who_may_write_may_run_again(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        writer = await server.bearer(Scope.WRITE)
        for path in ("/api/changes/22/retry", "/api/builds/1/retry"):
            assert (await server.client.post(path)).status_code == 401
        done = await server.client.post("/api/changes/22/retry", json={"all": True}, headers=writer)
        assert done.status_code == 200
        assert server.world.commands.asked == [("retry_change", 22, True, "ada")]

    call(tmp_path, ask)
