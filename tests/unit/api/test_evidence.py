"""Passes that are offered over HTTP: who may, for what, and what is said where not."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cupel.control.auth import Scope
from cupel.control.engine import ID_COUNTER, Engine
from cupel.control.offers import Offers
from cupel.control.states import Repositories, States
from cupel.core.model import Build, Evidence, Host, HostState
from unit.api.calls import Server, call
from unit.control_views import world
from unit.core import making

IMAGE = "sha256:image"
CONFIG = """\
jobs:
  tests: {machine: small, steps: ["true"]}
  lint: {machine: small, steps: ["true"], evidence: never}
  compile: {machine: small, steps: ["true"]}
  pack: {machine: small, steps: ["true"], needs: [compile]}
check: [tests, lint, compile]
gate: [tests, compile]
post: [pack]
"""


def git(repo: Path, *words: str) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    who = {"NAME": "ada", "EMAIL": "ada@example.org"}
    env |= {f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in who.items()}
    done = subprocess.run(
        ["git", *words], cwd=repo, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def repository(root: Path) -> tuple[str, str]:
    """The repository of project `offers`: what has landed, and a commit that is nobody's."""
    root.mkdir()
    repo = root / "work"
    git(root, "init", "--quiet", "--bare", "--initial-branch=main", "offers.git")
    git(root, "init", "--quiet", "--initial-branch=main", "work")
    (repo / ".cupel.yaml").write_text(CONFIG)
    git(repo, "add", ".cupel.yaml")
    git(repo, "commit", "--quiet", "--message", "First")
    landed = git(repo, "rev-parse", "HEAD")
    git(repo, "commit", "--quiet", "--allow-empty", "--message", "Nobody's")
    nobodys = git(repo, "rev-parse", "HEAD")
    git(repo, "push", "--quiet", "../offers.git", f"{landed}:refs/heads/main")
    git(repo, "push", "--quiet", "../offers.git", f"{nobodys}:refs/kept/nobodys")
    return landed, nobodys


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asking:
    """A server with a project, and what to offer to it."""

    server: Server
    body: dict[str, Any]
    nobodys: str

    async def offer(self, scope: Scope = Scope.WRITE, **fields: Any) -> httpx2.Response:
        bearer = await self.server.bearer(scope)
        body = {k: v for k, v in (self.body | fields).items() if v is not None}
        return await self.server.client.post("/api/evidence", json=body, headers=bearer)


def ask(directory: Path, what: Callable[[Asking], Awaitable[None]], allowed: str = "write") -> None:
    landed, nobodys = repository(directory / "git")

    async def asked(server: Server) -> None:
        made = server.world
        host = Host(
            id=9001,
            name="own",
            slots=2,
            labels=(),
            state=HostState.CONNECTED,
            detail=None,
            last_seen=world.NOW,
            images=(("small", IMAGE),),
        )
        async with made.store.write() as tx:
            others = [
                dataclasses.replace(each, state=HostState.LOST) for each in await tx.select(Host)
            ]
            await tx.reserve(ID_COUNTER, 10_000)
            await tx.put([*others, host, making.project(9002, name="offers", queue_id=1)])
        repositories = Repositories(directory / "git")
        made.offers = Offers(
            made.store,
            Engine(made.store, made.feed, made.clock),
            repositories,
            States(repositories, {"small"}),
            allowed=allowed,
        )
        body = {
            "project": "offers",
            "commit": landed,
            "job": "tests",
            "images": [IMAGE],
            "host": "laptop",
        }
        await what(Asking(server=server, body=body, nobodys=nobodys))

    call(directory, asked)


def test_by_default_none_is_taken_and_the_hint_says_how_to_allow_it(tmp_path: Path) -> None:
    async def what(to: Asking) -> None:
        for scope in (Scope.WRITE, Scope.ADMIN):
            answer = await to.offer(scope)
            assert answer.status_code == 403
            assert "takes no passes" in answer.json()["detail"]
            assert "`evidence.offers`" in answer.json()["hint"]

    ask(tmp_path, what, allowed="nobody")


def test_only_those_whom_the_operator_believes_may(tmp_path: Path) -> None:
    async def what(to: Asking) -> None:
        assert (await to.offer(Scope.READ)).status_code == 403
        answer = await to.offer(Scope.WRITE)
        assert answer.status_code == 403
        assert "those who may admin" in answer.json()["detail"]
        assert (await to.offer(Scope.ADMIN)).status_code == 200

    ask(tmp_path, what, allowed="admin")


def test_one_that_is_taken_is_a_build_that_says_whose_word_it_is(tmp_path: Path) -> None:
    async def what(to: Asking) -> None:
        assert (await to.offer(images=None)).json() == {"build": None}
        async with to.server.world.store.read() as tx:
            assert await tx.select(Evidence, {"offered": True}) == []
        number = (await to.offer(seconds=2.5)).json()["build"]
        shown = (await to.server.client.get(f"/api/builds/{number}")).json()
        assert shown["offer"] == {"by": "ada", "host": "laptop"}
        assert (shown["verdict"], shown["seconds"], shown["log_lines"]) == ("success", 2.5, 0)
        found = (await to.server.client.get(f"/api/evidence/{shown['key']}")).json()
        assert (found["build"], found["offer"]) == (number, {"by": "ada", "host": "laptop"})
        again = await to.offer()
        assert again.status_code == 409
        assert again.json()["detail"] == f"it has passed already, as build {number}"

    ask(tmp_path, what)


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        pytest.param({"project": "x"}, 404, "no project x", id="unknown project"),
        pytest.param({"commit": "0" * 40}, 404, "is in no branch of", id="unknown commit"),
        pytest.param({"job": "x"}, 404, "no job x", id="unknown job"),
        pytest.param({"job": "lint"}, 409, "never reused", id="evidence: never"),
        pytest.param({"job": "pack"}, 409, "pack needs compile", id="needs another"),
        pytest.param({"job": "compile"}, 409, "needs what compile leaves", id="is needed"),
        pytest.param({"images": ["sha256:x"]}, 409, "the image of small is", id="wrong image"),
        pytest.param({"images": [IMAGE] * 2}, 409, "the image of small is", id="more machines"),
        pytest.param({"key": "0" * 64}, 409, "not the same there", id="another key"),
        pytest.param({"commit": "main"}, 422, "commit", id="no commit"),
        pytest.param({"host": "<b>"}, 422, "host", id="no host"),
        pytest.param({"seconds": -1}, 422, "seconds", id="no time"),
        pytest.param({"verdict": "success"}, 422, "verdict", id="more than is asked"),
    ],
)
def test_what_is_refused_and_why(
    tmp_path: Path, fields: dict[str, Any], status: int, said: str
) -> None:
    async def what(to: Asking) -> None:
        answer = await to.offer(**fields)
        assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text
        async with to.server.world.store.read() as tx:
            assert await tx.select(Evidence, {"offered": True}) == []
            assert [b for b in await tx.select(Build) if b.offer is not None] == []

    ask(tmp_path, what)


def test_a_commit_must_be_of_a_branch_or_of_an_open_change(tmp_path: Path) -> None:
    async def what(to: Asking) -> None:
        answer = await to.offer(commit=to.nobodys)
        assert answer.status_code == 404
        assert answer.json()["hint"] == "push it first"
        change = making.change(9003, project_id=9002)
        version = dataclasses.replace(making.patch_set(9003, 1), id=9004, commit=to.nobodys)
        await to.server.world.put(change, version)
        assert (await to.offer(commit=to.nobodys)).status_code == 200

    ask(tmp_path, what)
