"""Rows told like a story: a builder of what a server has in its store."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from typing import Any, TypeVar

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
    History,
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
    Queue,
    Reason,
    Row,
    Step,
    StepResult,
    Usage,
    Verdict,
)
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

    def row(self, kind: type[R], id: int) -> R:
        """The newest row of this id, which must be there."""
        row = self._rows[kind, id]
        assert isinstance(row, kind)
        return row

    @property
    def rows(self) -> list[Row]:
        return list(self._rows.values())

    def rows_of(self, kind: type[R]) -> dict[int, R]:
        """The rows of a class, by id."""
        return {row.id: row for row in self.rows if isinstance(row, kind)}

    async def store(self) -> MemoryStore:
        """A store that holds all of it."""
        store = MemoryStore()
        await store.open()
        async with store.write() as tx:
            await tx.put(self.rows)
        return store

    def queue(self, name: str, **rules: Any) -> Queue:
        number = self.id(Queue)
        return self.put(Queue(id=number, name=name, created_at=self.now - 30 * 86400, **rules))

    def project(
        self, name: str, *, head: str | None, approvals: int = 1, queue: Queue | None = None
    ) -> Project:
        """A project of a queue, by default of its own."""
        project = self.put(
            Project(
                id=self.id(Project),
                name=name,
                queue_id=(queue or self.queue(name)).id,
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
        depends_on: Sequence[Change] = (),
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
                    depends_on=tuple(other.id for other in depends_on),
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
        buildset = self.row(Buildset, item.buildset_id or 0)
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

    def record(
        self, project: Project, job: str, seconds: float, *, passes: float = 40.0
    ) -> History:
        """How long a job has taken, in so many passes that differed by a fifth."""
        log = math.log(seconds)
        return self.put(
            History(
                id=self.id(History),
                project_id=project.id,
                subject=f"job {job}",
                runs=passes,
                passes=passes,
                log_seconds=log,
                log_square=log * log + 0.04,
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
