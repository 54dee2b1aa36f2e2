"""Pushes as the server records them: what a commit depends on, and how much it changes."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from cupel.control import follow
from cupel.control.engine import ID_COUNTER, Engine
from cupel.control.feed import Feed
from cupel.control.pushes import CHANGE_COUNTER, Pushes
from cupel.control.states import Repositories, States
from cupel.core.model import Branch, Change, PatchSet, Policy
from cupel.forge.push import Command, Push
from cupel.git import repository
from cupel.log.store import LogStore
from cupel.store.memory import MemoryStore
from integration.git import bare
from unit.core.making import change, patch_set, project, queue

CONFIGURATION = """\
jobs:
  tests:
    machine: debian-12
    steps: ["true"]
gate: [tests]
"""
FILES = {".cupel.yaml": CONFIGURATION}


class Server:
    """A repository with one commit on main, and change 5 of another queue."""

    def __init__(self, directory: Path, store: MemoryStore) -> None:
        clock = itertools.count(10).__next__
        feed = Feed()
        self.store = store
        self.repo = directory / "git" / "one.git"
        self.pushes = Pushes(
            store,
            Engine(store, feed, clock),
            feed,
            States(Repositories(directory / "git"), ["debian-12"]),
            LogStore(directory / "logs"),
            clock,
            url="http://cupel",
        )

    async def start(self) -> str:
        await repository.create(self.repo, "main", self.repo.parent / "hooks")
        head = await bare.commit(self.repo, FILES)
        await repository.move(self.repo, "main", None, head)
        async with self.store.write() as tx:
            await tx.reserve(ID_COUNTER, 1000)
            await tx.reserve(CHANGE_COUNTER, 10)
            await tx.put(
                [
                    queue(3, name="one"),
                    queue(5, name="two"),
                    project(1, name="one", policy=Policy(approvals=1)),
                    project(2, name="two", queue_id=5),
                    Branch(id=1, project_id=1, name="main", head=head),
                    change(5, project_id=2),
                    patch_set(5),
                ]
            )
        return head

    def push(self, tip: str, *options: str) -> Push:
        return Push(
            project="one",
            user="ada",
            repo=self.repo,
            commands=(Command(ref="refs/for/main", old=None, new=tip),),
            options=options,
            env={},
        )


def test_what_a_commit_depends_on_is_kept_and_keeps_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_FIRST_LOOK", 0.1)
    said: list[str] = []

    async def scenario() -> None:
        server = Server(tmp_path, MemoryStore())
        head = await server.start()
        files = {**FILES, "a": "1\n2\n"}
        message = "Add a\n\nDepends-On: #5\n\nWhy.\n"
        tip = await bare.commit(server.repo, files, head, message=message)
        push = server.push(tip, "land")
        assert await server.pushes.validate(push) == []
        await server.pushes.receive(push, said.append)
        async with server.store.read() as tx:
            (made,) = await tx.select(PatchSet, {"commit": tip})
            (pushed,) = await tx.select(Change, {"id": made.change_id})
        assert (made.depends_on, made.files, made.lines) == ((5,), 1, 2)
        assert pushed.wants_land

    asyncio.run(scenario())
    assert (
        "Change 11 enters the gate later: needs #5, which has to land first,"
        " as it goes through another queue (queue two)"
    ) in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Depends-On: 99", "names a change that does not exist: Depends-On: 99"),
        ("Depends-On: 11", "names its own change: Depends-On: 11"),
        ("Depends-On: it", "has a line that names no change: Depends-On: it"),
    ],
)
def test_a_line_that_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    monkeypatch.setattr(follow, "_FIRST_LOOK", 0.1)

    async def scenario() -> None:
        server = Server(tmp_path, MemoryStore())
        head = await server.start()
        first = await bare.commit(server.repo, FILES, head, message="Add\n\nWhy.\n")
        await server.pushes.receive(server.push(first), lambda _: None)
        second = await bare.commit(server.repo, FILES, head, message=f"Add\n\n{line}\n")
        (refusal,) = await server.pushes.validate(server.push(second))
        assert refusal.message.endswith(said)

    asyncio.run(scenario())
