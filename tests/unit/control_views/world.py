"""A small world on a memory store: a queue of three, a landed change, a build with steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cupel.artefact.store import ArtefactStore
from cupel.config.image import ImageConfig
from cupel.config.server import DEFAULT_LABELS, LabelConfig
from cupel.control.auth import Auth
from cupel.control.feed import Feed
from cupel.core import results
from cupel.core.model import (
    Approval,
    Artefact,
    Branch,
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Change,
    ChangeState,
    Event,
    Host,
    HostState,
    Item,
    ItemState,
    Job,
    Machine,
    MachineState,
    PatchSet,
    Pipeline,
    Policy,
    Pool,
    Project,
    Queue,
    Reason,
    Row,
    Step,
    StepResult,
    Usage,
    Verdict,
)
from cupel.core.quarantine import Quarantine
from cupel.host.messages import HostLoad
from cupel.image import definition
from cupel.image.catalogue import Catalogue
from cupel.image.keeper import Keeper
from cupel.log.store import LogStore
from cupel.report.results.store import ResultStore
from cupel.store.memory import MemoryStore
from fakes.served import told

NOW = 10_000.0
HEAD = "0" * 40

TESTS = Job(
    name="tests (python=3.12)",
    base="tests",
    label="debian-12",
    steps=(Step(name="install", run="pip install ."), Step(name="pytest", run="pytest")),
    env=(("CI", "1"),),
    cell=(("python", "3.12"),),
)
LINT = Job(
    name="lint", base="lint", label="debian-12", steps=(Step(name="ruff", run="ruff check"),)
)
PUBLISH = replace(LINT, name="publish", base="publish", needs=("lint",))


def sha(number: int) -> str:
    return f"{number:040x}"


def queue(number: int = 1, name: str = "demo", /, **fields: object) -> Queue:
    return replace(Queue(id=number, name=name, created_at=1.0), **fields)


def project(number: int = 1, name: str = "demo", /, **fields: object) -> Project:
    row = Project(
        id=number,
        name=name,
        queue_id=1,
        branches=("main", "stable"),
        policy=Policy(),
        created_at=1.0,
    )
    return replace(row, **fields)


def change(number: int, /, **fields: object) -> Change:
    row = Change(
        id=number,
        project_id=1,
        branch="main",
        key=f"I{number}",
        topic=None,
        title=f"Change {number}",
        description=f"Change {number}\n\nWhy.",
        author="Ada <ada@example.com>",
        owner="ada",
        state=ChangeState.OPEN,
        patch_set=1,
        wants_land=True,
        land_asked_at=100.0,
        landed_commit=None,
        created_at=100.0 + number,
        updated_at=100.0 + number,
    )
    return replace(row, **fields)


def patch_set(number: int, change_id: int, needs: int | None = None) -> PatchSet:
    return PatchSet(
        id=1000 + change_id * 10 + number,
        change_id=change_id,
        number=number,
        commit=sha(change_id),
        tree=sha(900 + change_id),
        parent=HEAD,
        needs_change=needs,
        pushed_by="ada",
        created_at=100.0,
    )


def item(number: int, change_id: int | None, /, **fields: object) -> Item:
    row = Item(
        id=number,
        pipeline=Pipeline.GATE,
        project_id=1,
        branch="main",
        change_id=change_id,
        patch_set=1,
        commit=sha(change_id or 0),
        state=ItemState.LIVE,
        position=number,
        buildset_id=number + 100,
        enqueued_at=9_000.0,
    )
    return replace(row, **fields)


def buildset(number: int, item_id: int, onto: str | None, /, **fields: object) -> Buildset:
    row = Buildset(
        id=number,
        item_id=item_id,
        number=1,
        onto=onto,
        state=BuildsetState.READY,
        commit=sha(5000 + number),
        tree=sha(6000 + number),
        jobs=(TESTS, LINT),
        detail=None,
        notice=None,
        created_at=9_000.0,
    )
    return replace(row, **fields)


def build(number: int, buildset_id: int, item_id: int, job: Job, /, **fields: object) -> Build:
    row = Build(
        id=number,
        buildset_id=buildset_id,
        item_id=item_id,
        project_id=1,
        pipeline=Pipeline.GATE,
        job=job.name,
        label=job.label,
        attempt=1,
        voting=job.voting,
        state=BuildState.QUEUED,
        verdict=None,
        reason=None,
        machine_id=None,
        steps=(),
        usage=Usage(),
        queued_at=9_000.0,
    )
    return replace(row, **fields)


def finished(row: Build, verdict: Verdict, **fields: object) -> Build:
    done = replace(
        row,
        state=BuildState.FINISHED,
        verdict=verdict,
        started_at=9_010.0,
        finished_at=9_070.0,
        machine_id=row.id + 1000,
    )
    return replace(done, **fields)


def rows() -> list[Row]:
    """#21 passed, #22 on it runs, #23 on both is being merged; #20 landed, #19 was rejected."""
    running = replace(
        build(223, 122, 22, TESTS),
        state=BuildState.RUNNING,
        started_at=9_900.0,
        machine_id=1223,
        attempt=2,
        steps=(
            StepResult(
                name="install",
                started_at=9_900.0,
                finished_at=9_950.0,
                exit_status=0,
                usage=Usage(cpu_seconds=4.0, memory_peak=1 << 20),
            ),
            StepResult(name="pytest", started_at=9_950.0, finished_at=None, exit_status=None),
        ),
    )
    return [
        queue(),
        project(),
        Branch(id=1, project_id=1, name="main", head=HEAD),
        Branch(id=2, project_id=1, name="stable", head=None),
        change(19, wants_land=False),
        change(20, state=ChangeState.LANDED, wants_land=False, landed_commit=HEAD),
        *(change(number) for number in (21, 22, 23)),
        *(patch_set(1, number) for number in (19, 20, 21, 22)),
        patch_set(1, 23, needs=22),
        *(
            Approval(id=number, change_id=number, patch_set=1, user="bob", created_at=200.0)
            for number in (19, 20, 21, 22, 23)
        ),
        item(
            19,
            19,
            state=ItemState.REJECTED,
            reason=Reason.BUILD_FAILED,
            detail="lint failure",
            finished_at=8_000.0,
        ),
        item(20, 20, state=ItemState.LANDED, finished_at=8_500.0),
        *(item(number, number) for number in (21, 22, 23)),
        buildset(119, 19, HEAD),
        buildset(120, 20, HEAD, commit=HEAD),
        buildset(121, 21, HEAD),
        buildset(222, 22, HEAD, state=BuildsetState.SUPERSEDED),
        buildset(122, 22, sha(5121), number=2, notice="detected pytest"),
        buildset(
            123, 23, sha(5122), state=BuildsetState.PREPARING, commit=None, tree=None, jobs=()
        ),
        finished(build(191, 119, 19, LINT), Verdict.FAILURE),
        finished(build(211, 121, 21, TESTS), Verdict.SUCCESS),
        finished(build(212, 121, 21, LINT), Verdict.SUCCESS),
        finished(build(222, 122, 22, TESTS), Verdict.INFRA, reason="the host was lost"),
        running,
        build(224, 122, 22, LINT),
        Host(
            id=1,
            name="here",
            slots=4,
            labels=(),
            state=HostState.CONNECTED,
            detail=None,
            last_seen=NOW,
        ),
        Machine(
            id=1223,
            label="debian-12",
            image="sha256:abc",
            host_id=1,
            build_id=223,
            state=MachineState.USED,
            detail=None,
            created_at=9_890.0,
            ready_at=9_899.5,
            used_at=9_900.0,
        ),
        Machine(
            id=1211,
            label="debian-12",
            image="sha256:abc",
            host_id=1,
            build_id=211,
            state=MachineState.GONE,
            detail=None,
            created_at=9_000.0,
            ready_at=9_001.0,
            gone_at=9_071.0,
        ),
        Pool(id=1, label="debian-12", ready=2, ceiling=8, definition="d", boot=0.25),
        Pool(id=2, label="removed"),
        Artefact(id=1, build_id=211, path="dist/demo.whl", size=4, sha256="aa", created_at=9_070.0),
        Event(id=1, at=1.0, kind="project.added", project_id=1, text="demo"),
        Event(id=2, at=2.0, kind="change.pushed", project_id=1, change_id=21, user="ada"),
        Event(id=3, at=3.0, kind="build.started", project_id=1, item_id=22, build_id=223),
    ]


@dataclasses.dataclass(kw_only=True)
class Settings:
    read: str = "anyone"
    labels: Mapping[str, LabelConfig] = dataclasses.field(
        default_factory=lambda: dict(DEFAULT_LABELS)
    )


class Commands:
    """Records what was asked; `error` is raised instead if it is set."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.asked: list[tuple[object, ...]] = []
        self.error: Exception | None = None

    async def add_project(
        self,
        name: str,
        *,
        source: str | None,
        branch: str | None,
        policy: Policy,
        user: str,
        queue: str | None = None,
    ) -> Project:
        self._ask("add_project", name, source, branch, policy, queue, user)
        row = project(77, name, branches=(branch or "main",), policy=policy)
        async with self.store.write() as tx:
            await tx.put([row])
        return row

    async def set_project(
        self, name: str, *, policy: Mapping[str, Any], queue: str | None, user: str
    ) -> Project:
        self._ask("set_project", name, dict(policy), queue, user)
        return project()

    async def set_queue(self, name: str, rules: Mapping[str, Any], *, user: str) -> Queue:
        self._ask("set_queue", name, dict(rules), user)
        return await self._queue(**rules)

    async def close_queue(self, name: str, *, reason: str, user: str) -> Queue:
        self._ask("close_queue", name, reason, user)
        return await self._queue(closed=reason, closed_by=user)

    async def delete_machine(self, number: int, *, user: str) -> None:
        self._ask("delete_machine", number, user)

    async def drain_host(self, name: str, *, draining: bool, user: str) -> None:
        self._ask("drain_host", name, draining, user)

    async def release_host(self, name: str, *, user: str) -> None:
        self._ask("release_host", name, user)

    async def forget_host(self, name: str, *, user: str) -> None:
        self._ask("forget_host", name, user)

    async def open_queue(self, name: str, *, user: str) -> Queue:
        self._ask("open_queue", name, user)
        return await self._queue(closed=None, closed_by=None)

    async def _queue(self, **rules: object) -> Queue:
        """The world's one queue with these rules."""
        row = queue(**rules)
        async with self.store.write() as tx:
            await tx.put([row])
        return row

    async def promote(self, change_ids: Sequence[int], *, user: str) -> list[Change]:
        self._ask("promote", tuple(change_ids), user)
        async with self.store.read() as tx:
            return await tx.select(Change, {"id": change_ids})

    async def set_urgent(self, change_id: int, *, urgent: bool, user: str) -> Change:
        return await self._about(change_id, "set_urgent", user, urgent)

    async def approve(self, change_id: int, *, user: str, patch_set: int | None = None) -> Change:
        return await self._about(change_id, "approve", user, patch_set)

    async def withdraw(self, change_id: int, *, user: str) -> Change:
        return await self._about(change_id, "withdraw", user)

    async def land(self, change_id: int, *, user: str) -> Change:
        return await self._about(change_id, "land", user)

    async def dequeue(self, change_id: int, *, user: str) -> Change:
        return await self._about(change_id, "dequeue", user)

    async def retry_change(self, change_id: int, *, everything: bool, user: str) -> Change:
        return await self._about(change_id, "retry_change", everything, user)

    async def retry_build(self, build_id: int, *, everything: bool, user: str) -> Build:
        self._ask("retry_build", build_id, everything, user)
        async with self.store.read() as tx:
            row = await tx.get(Build, build_id)
        assert row is not None
        return row

    async def quarantine(self, project: str, test: str, **how: Any) -> Quarantine:
        self._ask("quarantine", project, test, *how.values())
        row = Quarantine(
            id=88,
            project_id=1,
            job=how["job"],
            test=results.digest(test),
            name=test,
            owner=how["owner"],
            reason=how["reason"],
            created_by=how["user"],
            created_at=NOW,
            expires_at=NOW + how["seconds"],
        )
        async with self.store.write() as tx:
            await tx.put([row])
        return row

    async def release(self, number: int, *, user: str) -> Quarantine:
        self._ask("release", number, user)
        async with self.store.read() as tx:
            row = await tx.get(Quarantine, number)
        assert row is not None
        return row

    async def abandon(self, change_id: int, *, user: str) -> Change:
        return await self._about(change_id, "abandon", user)

    async def _about(self, change_id: int, what: str, *how: object) -> Change:
        self._ask(what, change_id, *how)
        async with self.store.read() as tx:
            row = await tx.get(Change, change_id)
        assert row is not None
        return row

    def _ask(self, *asked: object) -> None:
        if self.error is not None:
            raise self.error
        self.asked.append(asked)


PYTHON = definition.define(
    ImageConfig(name="python", tests=("python3 --version",), refresh=7 * 86_400.0), "amd64"
)
"""An image of the world's configuration; `unit.images` builds it."""


class World:
    """A `Context` of fakes; `time` is what its clock shows."""

    def __init__(self, directory: Path) -> None:
        self.state = directory
        self.url = "http://127.0.0.1:8470"
        self.time = NOW
        self.config = Settings()
        self.store = MemoryStore()
        self.feed = Feed()
        self.logs = LogStore(directory / "logs")
        self.artefacts = ArtefactStore(directory / "artefacts")
        self.results = ResultStore(directory / "results")
        self.commands = Commands(self.store)
        self.loads: dict[str, HostLoad] = {}
        self.images = Keeper(Catalogue(directory / "images"), named=(PYTHON,), now=self.clock)
        self.notices = told(self.store, directory, self.clock)
        self.auth = Auth(self.store, self.clock)
        self.offers: Any = None

    def clock(self) -> float:
        return self.time

    async def put(self, *more: Row) -> None:
        async with self.store.write() as tx:
            await tx.put(more)


async def make(directory: Path) -> World:
    world = World(directory)
    await world.put(*rows())
    return world
