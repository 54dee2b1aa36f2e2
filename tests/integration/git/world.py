"""Cupel as git clients see it: uvicorn, hooks and repositories, around a fake receiver."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request

from cupel.errors import Forbidden
from cupel.forge import builtin, examine
from cupel.forge.builtin import Became, RefResult, Say
from cupel.forge.push import Push, Refusal
from cupel.git import hooks, repository
from cupel.git.serve import GitHttp

_PATIENCE = 120.0
"""Seconds after which a scenario that hangs is given up."""

TOKENS = {"secret": ("anna", True), "read-only": ("rolf", False)}


@dataclasses.dataclass(slots=True)
class FakeReceiver:
    """Takes every good push as changes 1, 2, 3, …; `during` runs while a push is received."""

    branches: tuple[str, ...] = ("main",)
    during: Callable[[Push, Say], Awaitable[None]] | None = None
    validated: list[Push] = dataclasses.field(default_factory=list)
    received: list[Push] = dataclasses.field(default_factory=list)
    proposals: list[examine.Proposal] = dataclasses.field(default_factory=list)
    cancelled: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    async def validate(self, push: Push) -> Sequence[Refusal]:
        self.validated.append(push)
        return (await examine.examine(push, self.branches))[1]

    async def receive(self, push: Push, say: Say) -> Sequence[RefResult]:
        self.received.append(push)
        proposals, refusals = await examine.examine(push, self.branches)
        assert not refusals
        self.proposals += proposals
        results = [await self._record(push, proposal) for proposal in proposals]
        say(f"{sum(len(each.changes) for each in proposals)} changes")
        try:
            if self.during:
                await self.during(push, say)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return results

    async def _record(self, push: Push, proposal: examine.Proposal) -> RefResult:
        became = []
        for number, change in enumerate(proposal.changes, start=1):
            ref = await repository.keep_patch_set(push.repo, number, 1, change.commit)
            became.append(Became(ref=ref, old=None, new=change.commit))
        return RefResult(ref=proposal.review.ref, became=tuple(became))


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    exit_status: int
    out: str
    err: str


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """One project, with one commit on main; `work` is a clone of it whose remote is cupel."""

    url: str
    port: int
    repo: Path
    work: Path
    state: Path
    hook_server: asyncio.Task[None]

    async def git(self, *args: str, check: bool = True, cwd: Path | None = None) -> Done:
        process = await self.start(*args, cwd=cwd)
        out, err = await process.communicate()
        assert process.returncode is not None
        done = Done(process.returncode, out.decode(), err.decode())
        assert not check or done.exit_status == 0, done.err
        return done

    async def start(self, *args: str, cwd: Path | None = None) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "git",
            *args,
            cwd=cwd or self.work,
            env=client_environment(),
            start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def commit(self, path: str, text: str | bytes, message: str) -> str:
        file = self.work / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        await self.git("add", ".")
        await self.git("commit", "-q", "-m", message)
        return (await self.git("rev-parse", "HEAD")).out.strip()

    async def has(self, oid: str) -> bool:
        found = await self.git(f"--git-dir={self.repo}", "cat-file", "-e", oid, check=False)
        return found.exit_status == 0


def client_environment() -> dict[str, str]:
    who = {"NAME": "Anna", "EMAIL": "anna@example.org"}
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        **{f"GIT_{role}_{key}": who[key] for role in ("AUTHOR", "COMMITTER") for key in who},
    }


@contextlib.asynccontextmanager
async def running(tmp_path: Path, receiver: FakeReceiver | None = None) -> AsyncIterator[World]:
    # Longer than a unix socket's address, as the state directory of a real user may be.
    state = tmp_path / ("a-long-name-of-a-directory-" * 4) / "state"
    state.mkdir(parents=True)
    hooks.install(state / "hooks")
    repo = state / "repositories" / "project.git"
    await repository.create(repo, "main", state / "hooks")
    server = builtin.HookServer(state / "hook.sock", receiver or FakeReceiver())
    server.listen()
    web = _web(repo, state / "hook.sock")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    url = f"http://anna:secret@127.0.0.1:{port}/project.git"
    async with asyncio.timeout(_PATIENCE), asyncio.TaskGroup() as group:
        hook_server = group.create_task(server.run())
        world = World(url, port, repo, tmp_path / "work", state, hook_server)
        serving = group.create_task(web.serve(sockets=[listener]))
        try:
            await _fill(world)
            yield world
        finally:
            hook_server.cancel()
            web.should_exit = True
            await serving
    listener.close()
    shutil.rmtree(state)


def _web(repo: Path, hook_socket: Path) -> uvicorn.Server:
    async def locate(name: str) -> tuple[str, Path] | None:
        return ("project", repo) if name == "project" else None

    git = GitHttp(authorise=authorise, locate=locate, hook_socket=hook_socket)
    config = uvicorn.Config(
        Starlette(routes=git.routes()), log_level="warning", lifespan="off", http="h11"
    )
    config.timeout_graceful_shutdown = 5
    return uvicorn.Server(config)


async def authorise(request: Request, project: str, write: bool) -> str | None:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind == "Basic":
        value = base64.b64decode(value).decode().partition(":")[2]
    if value not in TOKENS:
        return None
    user, may_write = TOKENS[value]
    if write and not may_write:
        raise Forbidden(f"{user} may not push to {project}")
    return user


async def _fill(world: World) -> None:
    """One commit on main, put there by hand: nobody may push it."""
    world.work.mkdir()
    await world.git("init", "-q", "-b", "main")
    commit = await world.commit("README", "hello\n", "Begin")
    bare = f"--git-dir={world.repo}"
    await world.git(bare, "fetch", "-q", str(world.work), "main:main", cwd=world.work)
    assert await repository.head(world.repo, "main") == commit
    await world.git("remote", "add", "cupel", world.url)
    await world.git("fetch", "-q", "cupel")
