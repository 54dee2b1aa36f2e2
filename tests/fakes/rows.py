"""A busy server as rows, told like a story; for tests of what people see and for screenshots.

`World` hands out ids and keeps every row; `busy` fills one with a queue of six whose third fails, a
stack, running builds with logs, hosts, machines and a history.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from cupel.control.auth import Auth
from cupel.control.clock import Clock
from cupel.control.feed import Feed
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
    Project,
    Reason,
    Row,
    Step,
    StepResult,
    Usage,
    Verdict,
)
from cupel.log.append import LogWriter
from cupel.log.stream import LogStore
from cupel.store.memory import MemoryStore

R = TypeVar("R", bound=Row)

NOW = 1_790_000_000.0
IMAGE = "sha256:" + hashlib.sha256(b"debian-12").hexdigest()
PYTEST = (Step(name="install", run="pip install .[tests]"), Step(name="pytest", run="pytest -q"))
LINT = (Step(name="ruff", run="ruff check ."),)


def oid(text: str) -> str:
    """A commit or tree id that looks like one."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def job(name: str, steps: Sequence[Step] = PYTEST, *, voting: bool = True, needs: str = "") -> Job:
    return Job(
        name=name,
        base=name.partition(" ")[0],
        label="debian-12",
        steps=tuple(steps),
        needs=(needs,) if needs else (),
        voting=voting,
        cell=(("python", name.partition("=")[2].rstrip(")")),) if "=" in name else (),
    )


JOBS = (job("tests (python=3.11)"), job("tests (python=3.12)"), job("lint", LINT))


class World:
    """Rows in the making; the newest row of an id counts."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now
        self._ids: dict[type[Row], int] = {}
        self._rows: dict[tuple[type[Row], int], Row] = {}

    def id(self, kind: type[Row]) -> int:
        self._ids[kind] = self._ids.get(kind, 0) + 1
        return self._ids[kind]

    def put(self, row: R) -> R:
        self._rows[type(row), row.id] = row
        return row

    @property
    def rows(self) -> list[Row]:
        return list(self._rows.values())

    async def store(self) -> MemoryStore:
        """A store that holds all of it."""
        store = MemoryStore()
        await store.open()
        async with store.write() as tx:
            await tx.put(self.rows)
        return store

    def project(self, name: str, *, head: str | None, approvals: int = 1) -> Project:
        project = self.put(
            Project(
                id=self.id(Project),
                name=name,
                branches=("main",),
                policy=Policy(approvals=approvals),
                created_at=self.now - 30 * 86400,
            )
        )
        self.put(Branch(id=self.id(Branch), project_id=project.id, name="main", head=head))
        return project

    def change(
        self,
        project: Project,
        title: str,
        author: str = "Ada Lovelace <ada@example.org>",
        *,
        state: ChangeState = ChangeState.OPEN,
        patch_sets: int = 1,
        needs: Change | None = None,
        approved: bool = True,
        description: str = "",
        age: float = 3600.0,
    ) -> Change:
        number = self.id(Change)
        owner = author.partition(" ")[0].lower()
        made = self.now - age
        for patch_set in range(1, patch_sets + 1):
            self.put(
                PatchSet(
                    id=self.id(PatchSet),
                    change_id=number,
                    number=patch_set,
                    commit=oid(f"change {number} {patch_set}"),
                    tree=oid(f"tree {number} {patch_set}"),
                    parent=oid("parent"),
                    needs_change=needs.id if needs else None,
                    pushed_by=owner,
                    created_at=made + 60 * patch_set,
                )
            )
        if approved:
            self.put(
                Approval(
                    id=self.id(Approval),
                    change_id=number,
                    patch_set=patch_sets,
                    user="grace",
                    created_at=made + 300,
                )
            )
        return self.put(
            Change(
                id=number,
                project_id=project.id,
                branch="main",
                key=f"I{oid(title)}",
                topic=None,
                title=title,
                description=description or f"{title}\n\nChange-Id: I{oid(title)}\n",
                author=author,
                owner=owner,
                state=state,
                patch_set=patch_sets,
                wants_land=approved and state is ChangeState.OPEN,
                land_asked_at=made + 300 if approved else None,
                landed_commit=oid(f"landed {number}") if state is ChangeState.LANDED else None,
                created_at=made,
                updated_at=made + 60 * patch_sets,
            )
        )

    def item(
        self,
        change: Change,
        pipeline: Pipeline,
        *,
        onto: str | None = None,
        state: ItemState = ItemState.LIVE,
        set_state: BuildsetState = BuildsetState.READY,
        jobs: Sequence[Job] = JOBS,
        number: int = 1,
        age: float = 240.0,
        ended: float | None = None,
        reason: Reason | None = None,
        detail: str | None = None,
        commit: str | None = None,
    ) -> Item:
        """An item with its present buildset; its state's commit is `oid("state <change>")`."""
        item_id, buildset_id = self.id(Item), self.id(Buildset)
        ready = set_state is BuildsetState.READY
        made = commit or oid(f"state {change.id} {number}")
        self.put(
            Buildset(
                id=buildset_id,
                item_id=item_id,
                number=number,
                onto=onto,
                state=set_state,
                commit=made if ready else None,
                tree=oid(f"tree of {made}") if ready else None,
                jobs=tuple(jobs) if ready else (),
                detail=detail if set_state is not BuildsetState.READY else None,
                notice=None,
                created_at=self.now - age,
            )
        )
        return self.put(
            Item(
                id=item_id,
                pipeline=pipeline,
                project_id=change.project_id,
                branch="main",
                change_id=change.id,
                patch_set=change.patch_set,
                commit=oid(f"change {change.id} {change.patch_set}"),
                state=state,
                position=item_id,
                buildset_id=buildset_id,
                enqueued_at=self.now - age,
                finished_at=None if ended is None else self.now - ended,
                reason=reason,
                detail=detail if set_state is BuildsetState.READY else None,
            )
        )

    def head_of(self, item: Item) -> str:
        """The commit that the item's present state has."""
        buildset = self._rows[Buildset, item.buildset_id or 0]
        assert isinstance(buildset, Buildset)
        assert buildset.commit is not None
        return buildset.commit

    def older_state(self, item: Item, onto: str) -> Buildset:
        """A superseded state of the item, whose builds were cancelled."""
        return self.put(
            Buildset(
                id=self.id(Buildset),
                item_id=item.id,
                number=1,
                onto=onto,
                state=BuildsetState.SUPERSEDED,
                commit=oid(f"older {item.id}"),
                tree=oid(f"older tree {item.id}"),
                jobs=JOBS,
                detail=None,
                notice=None,
                created_at=item.enqueued_at,
                finished_at=item.enqueued_at + 60,
            )
        )

    def build(
        self,
        item: Item,
        name: str,
        state: BuildState,
        verdict: Verdict | None = None,
        *,
        machine: Machine | None = None,
        ran: float | None = 42.0,
        ended: float = 10.0,
        reason: str | None = None,
        attempt: int = 1,
        steps: Sequence[StepResult] = (),
        usage: Usage | None = None,
        buildset: int | None = None,
    ) -> Build:
        """A build that has run for `ran` seconds, and if it has finished, did `ended` ago."""
        finished = self.now - ended if state is BuildState.FINISHED else None
        started = None if ran is None else (finished or self.now) - ran
        build = self.put(
            Build(
                id=self.id(Build),
                buildset_id=buildset or item.buildset_id or 0,
                item_id=item.id,
                project_id=item.project_id,
                pipeline=item.pipeline,
                job=name,
                label="debian-12",
                attempt=attempt,
                voting=name != "coverage",
                state=state,
                verdict=verdict,
                reason=reason,
                machine_id=machine.id if machine else None,
                steps=tuple(steps),
                usage=usage or Usage(),
                queued_at=(started or self.now - 20) - 1.4,
                started_at=started,
                finished_at=finished,
            )
        )
        if machine is not None:
            self.put(dataclasses.replace(machine, build_id=build.id))
        return build

    def host(self, name: str, slots: int, *, detail: str | None = None, lost: bool = False) -> Host:
        return self.put(
            Host(
                id=self.id(Host),
                name=name,
                slots=slots,
                labels=("debian-12", "debian-13"),
                state=HostState.LOST if lost else HostState.CONNECTED,
                detail=detail,
                last_seen=self.now - (900 if lost else 2),
            )
        )

    def machine(
        self,
        host: Host,
        state: MachineState,
        *,
        age: float = 44.0,
        gone: float | None = None,
        detail: str | None = None,
    ) -> Machine:
        ready = state not in {MachineState.NEW, MachineState.BUILDING, MachineState.ERROR}
        made = self.now - age
        return self.put(
            Machine(
                id=self.id(Machine),
                label="debian-12",
                image=IMAGE if ready else None,
                host_id=host.id,
                build_id=None,
                state=state,
                detail=detail,
                created_at=made,
                ready_at=made + 0.084 if ready else None,
                gone_at=None if gone is None else self.now - gone,
            )
        )

    def artefact(self, build: Build, path: str, size: int) -> Artefact:
        return self.put(
            Artefact(
                id=self.id(Artefact),
                build_id=build.id,
                path=path,
                size=size,
                sha256=hashlib.sha256(path.encode()).hexdigest(),
                created_at=self.now,
            )
        )

    def event(self, kind: str, text: str, *, ago: float, **about: int | None) -> Event:
        number = self.id(Event)
        return self.put(
            Event(
                id=number,
                at=self.now - ago,
                kind=kind,
                text=text,
                project_id=about.get("project"),
                change_id=about.get("change"),
                build_id=about.get("build"),
            )
        )


def steps(
    now: float, *ends: int | None, names: Sequence[str] = ("install", "pytest")
) -> list[StepResult]:
    """Results of the first steps: exit statuses, None for one that runs."""
    begun = now - 42.0
    made = []
    for name, status in zip(names, ends, strict=False):
        made.append(
            StepResult(
                name=name,
                started_at=begun,
                finished_at=None if status is None else begun + 11.3,
                exit_status=status,
                usage=Usage() if status is None else Usage(cpu_seconds=9.8, memory_peak=188 << 20),
            )
        )
        begun += 11.3
    return made


@dataclasses.dataclass(frozen=True, kw_only=True)
class Busy:
    """The busy server, and the numbers of what is worth looking at."""

    world: World
    failing_change: int
    rejected_change: int
    failed_build: int
    running_build: int
    infra_build: int
    queued_build: int


def busy(now: float = NOW) -> Busy:
    """A queue of six with a failure in the middle, running builds, two hosts and a history."""
    world = World(now)
    cachetools = world.project("cachetools", head=oid("landed head"))
    world.project("nightjar", head=None)
    big = world.host("forge", 8, detail="disk limits by quota: no; by a loop device")
    world.host("anvil", 4, lost=True, detail="the connection was lost")
    _history(world, cachetools, big)
    return _queue(world, cachetools, big)


def _history(world: World, project: Project, host: Host) -> None:
    titles = ["Drop support for Python 3.8", "Name the cache in its repr", "Speed up LRUCache.get"]
    for number, title in enumerate(titles):
        change = world.change(project, title, state=ChangeState.LANDED, age=9000 - 900 * number)
        ended = 7000.0 - 2800 * number
        commit = oid("landed head") if number == 2 else oid(f"landed {change.id}")
        item = world.item(
            change, Pipeline.GATE, state=ItemState.LANDED, onto=oid("base"),
            age=ended + 90, ended=ended, commit=commit,
        )  # fmt: skip
        for name in (each.name for each in JOBS):
            machine = world.machine(host, MachineState.GONE, age=ended + 60, gone=ended)
            world.build(
                item, name, BuildState.FINISHED, Verdict.SUCCESS, machine=machine, ended=ended
            )
    world.event("change.landed", "landed as " + oid("landed head"), ago=1400, project=project.id)


def _queue(world: World, project: Project, host: Host) -> Busy:
    head = oid("landed head")
    done, run, queued = BuildState.FINISHED, BuildState.RUNNING, BuildState.QUEUED
    good, now = Verdict.SUCCESS, world.now
    names = [each.name for each in JOBS]

    def used() -> Machine:
        return world.machine(host, MachineState.USED)

    first = world.change(project, "Add TLRUCache, a cache with per-item times to live")
    one = world.item(first, Pipeline.GATE, onto=head, state=ItemState.LANDING, age=131)
    for name in names:
        world.build(one, name, done, good, ended=3)

    second = world.change(
        project, "Raise KeyError from popitem on an empty cache", "Barbara Liskov <b@example.org>"
    )
    two = world.item(second, Pipeline.GATE, onto=world.head_of(one), age=118)
    world.build(two, names[0], done, good, ended=6)
    running = world.build(two, names[1], run, machine=used(), steps=steps(now, 0, None))
    world.build(two, names[2], done, good, ran=3.1, ended=30)

    third = world.change(
        project,
        "Evict the least recently used item first",
        "Edsger Dijkstra <e@example.org>",
        patch_sets=2,
    )
    three = world.item(third, Pipeline.GATE, onto=world.head_of(two), age=96)
    failed = world.build(
        three, names[0], done, Verdict.FAILURE, machine=world.machine(host, MachineState.DELETING),
        reason="step 'pytest' ended with exit status 1", steps=steps(now, 0, 1),
        usage=Usage(cpu_seconds=31.7, memory_peak=412 << 20),
    )  # fmt: skip
    world.build(three, names[1], run, machine=used(), ran=21.0, steps=steps(now, 0, None))
    world.build(three, names[2], done, good, ran=2.8)
    world.artefact(failed, "junit/pytest.xml", 48_213)
    world.artefact(failed, "htmlcov/index.html", 1_204_992)

    fourth = world.change(project, "Document the decorators", "Grace Hopper <grace@example.org>")
    four = world.item(fourth, Pipeline.GATE, onto=world.head_of(two), number=2, age=88)
    older = world.older_state(four, world.head_of(three))
    world.build(four, names[0], done, Verdict.CANCELLED, buildset=older.id, ended=50)
    infra = world.build(
        four, names[0], done, Verdict.INFRA, ran=0.4, ended=26,
        reason="the machine could not be made: no space left on device",
        machine=world.machine(host, MachineState.GONE, age=27, gone=26, detail="no space"),
    )  # fmt: skip
    world.build(four, names[0], run, machine=used(), ran=18.0, attempt=2, steps=steps(now, 0, None))
    world.build(
        four,
        names[1],
        BuildState.STARTING,
        machine=world.machine(host, MachineState.BUILDING, age=0.1),
        ran=None,
    )
    waiting = world.build(four, names[2], queued, ran=None)

    fifth = world.change(project, "Type the keys module", needs=fourth)
    five = world.item(fifth, Pipeline.GATE, onto=world.head_of(four), age=60)
    for name in names:
        world.build(five, name, queued, ran=None)

    sixth = world.change(
        project, "Test with the development version of Python", "Margaret Hamilton <m@example.org>"
    )
    world.item(
        sixth, Pipeline.GATE, onto=world.head_of(five), set_state=BuildsetState.PREPARING, age=4
    )

    rejected = _checks(world, project, host)
    world.event(
        "build.finished",
        f"{names[0]}: failure",
        ago=10,
        project=project.id,
        change=third.id,
        build=failed.id,
    )
    world.event("item.enqueued", "entered gate", ago=4, project=project.id, change=sixth.id)
    return Busy(
        world=world, failing_change=third.id, rejected_change=rejected.id, failed_build=failed.id,
        running_build=running.id, infra_build=infra.id, queued_build=waiting.id,
    )  # fmt: skip


def _checks(world: World, project: Project, host: Host) -> Change:
    fresh = world.change(project, "Let cached() report hits and misses", approved=False, age=50)
    item = world.item(fresh, Pipeline.CHECK, age=31)
    world.build(
        item, JOBS[0].name, BuildState.RUNNING, machine=world.machine(host, MachineState.USED)
    )
    world.build(item, JOBS[2].name, BuildState.FINISHED, Verdict.SUCCESS, ran=2.9)
    broken = world.change(project, "Replace OrderedDict by dict", approved=False, patch_sets=3)
    world.item(
        broken, Pipeline.GATE, onto=oid("base"), state=ItemState.REJECTED, age=1900, ended=1700,
        reason=Reason.BUILD_FAILED, detail="tests (python=3.11)",
    )  # fmt: skip
    world.change(project, "Give it up", state=ChangeState.ABANDONED, approved=False)
    return broken


RULE = "=" * 28
PYTEST_LOG = (
    "$ pytest -q\n"
    f"\x1b[1m{RULE} test session starts {RULE}\x1b[0m\n"
    "collecting ... \rcollecting 214 items\rcollected 214 items\n"
    "\n"
    "tests/test_cached.py \x1b[32m....\x1b[0m\x1b[32m                 [ 18%]\x1b[0m\n"
    "tests/test_lru.py \x1b[32m.\x1b[31mF\x1b[32m.\x1b[31m                     [ 64%]\x1b[0m\n"
    "\n"
    f"{RULE}{'=' * 6} FAILURES {'=' * 6}{RULE}\n"
    f"\x1b[31m\x1b[1m{'_' * 26} LRUTest.test_lru_order {'_' * 26}\x1b[0m\n"
    "\n"
    "    \x1b[94mdef\x1b[39;49;00m \x1b[92mtest_lru_order\x1b[39;49;00m(\x1b[96mself\x1b[0m):\n"
    "        cache = LRUCache(maxsize=\x1b[94m2\x1b[39;49;00m)\n"
    "\x1b[1m\x1b[31mE       AssertionError: 1 not found in LRUCache({2: 2, 3: 3})\x1b[0m\n"
    "\n"
    "\x1b[1m\x1b[31mtests/test_lru.py\x1b[0m:31: AssertionError\n"
    "\x1b[31mFAILED\x1b[0m tests/test_lru.py::\x1b[1mLRUTest::test_lru_order\x1b[0m\n"
    "\x1b[31m\x1b[1m1 failed\x1b[0m, \x1b[32m213 passed\x1b[0m\x1b[31m in 29.41s\x1b[0m\n"
)


def write_logs(logs: LogStore, told: Busy) -> LogWriter:
    """The logs of the failed and the running build; the writer of the latter, which is open."""
    now = told.world.now
    failed = logs.writer(told.failed_build)
    _install(failed, now)
    failed.append(1, "out", now - 20, PYTEST_LOG.encode())
    failed.append(1, "cupel", now - 10, b"exit status 1 after 30.7 s\n")
    failed.close()
    running = logs.writer(told.running_build)
    _install(running, now)
    running.append(1, "out", now - 20, "".join(PYTEST_LOG.splitlines(keepends=True)[:5]).encode())
    return running


def _install(log: LogWriter, now: float) -> None:
    log.append(
        0xFFFF, "cupel", now - 43, b"debian-12 made in 84 ms from " + IMAGE[:19].encode() + b"\n"
    )
    log.append(0, "out", now - 42, b"$ pip install .[tests]\nProcessing /src\n")
    log.append(0, "out", now - 40, b"  Preparing metadata (pyproject.toml): started\n")
    log.append(0, "out", now - 33, b"Successfully installed cachetools-5.4.0 pytest-8.3.2\n")
    log.append(0, "err", now - 32, b"WARNING: Running pip as root will break packages\n")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    read: str = "anyone"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """Commands that only remember what was asked: (what, change, user)."""

    asked: list[tuple[str, int, str]] = dataclasses.field(default_factory=list)

    def __getattr__(self, what: str) -> object:
        async def ask(change_id: int, *, user: str) -> None:
            self.asked.append((what, change_id, user))

        return ask


@dataclasses.dataclass(frozen=True, kw_only=True)
class Served:
    """A running Cupel without an engine: what `control.context.Context` asks for."""

    state: Path
    store: MemoryStore
    clock: Clock
    logs: LogStore
    auth: Auth
    url: str = "http://127.0.0.1:8470"
    config: Settings = dataclasses.field(default_factory=Settings)
    feed: Feed = dataclasses.field(default_factory=Feed)
    commands: Asked = dataclasses.field(default_factory=Asked)


def served(store: MemoryStore, state: Path, clock: Clock, **given: Any) -> Served:
    logs, auth = LogStore(state / "logs"), Auth(store, clock)
    return Served(state=state, store=store, clock=clock, logs=logs, auth=auth, **given)
