"""A world in a few lines: push, approve, let time pass, and see what became of it.

world = World(slots=4)
a, b, c = world.push("A"), world.push("B", breaks={"tests"}), world.push("C")
world.approve(a, b, c)
world.settle()
assert world.landed() == [a, c]
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cupel.control import engine as engines
from cupel.core import events, invariants
from cupel.core.draft import Draft
from cupel.core.model import (
    Change,
    ChangeState,
    Event,
    Job,
    PatchSet,
    Pipeline,
    Policy,
    Project,
    Step,
)
from cupel.errors import UserError
from cupel.simulate import faults as faulty
from cupel.simulate import truth
from cupel.simulate.faults import Faults
from cupel.simulate.findings import Findings, Ref
from cupel.simulate.git import Commit, Git, Patch
from cupel.simulate.host import FakeHost
from cupel.simulate.server import PULSE, Server
from cupel.simulate.timeline import Timeline, at_once
from cupel.store.memory import Disk, MemoryStore

RETRY = 1.0
"""Seconds after which a person tries again whose request was not answered."""


class Broken(AssertionError):
    """An invariant does not hold."""


def job(name: str, *, needs: Sequence[str] = (), voting: bool = True) -> Job:
    return Job(
        name=name,
        base=name,
        label="debian-12",
        steps=(Step(name=name, run=name),),
        needs=tuple(needs),
        voting=voting,
    )


def _jobs(given: Iterable[Job | str]) -> tuple[Job, ...]:
    return tuple(job(each) if isinstance(each, str) else each for each in given)


class World(Findings):
    """Everything there is, from a seed. Time passes in `settle`, `until` and `run_for` alone."""

    def __init__(
        self,
        *,
        seed: int = 0,
        slots: int = 8,
        hosts: Sequence[str] = ("host",),
        gate: Iterable[Job | str] = ("tests",),
        check: Iterable[Job | str] = (),
        post: Iterable[Job | str] = (),
        projects: Sequence[str] = ("project",),
        approvals: int = 1,
        attempts: int = 3,
        born: bool = True,
        faults: Faults = faulty.NONE,
        make_server: type[Server] = Server,
    ) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - nothing is secret here
        self.faults = faults
        self.jobs: dict[Pipeline, tuple[Job, ...]] = {
            Pipeline.GATE: _jobs(gate),
            Pipeline.CHECK: _jobs(check),
            Pipeline.POST: _jobs(post),
        }
        self.durations: dict[str, float] = {}
        """Seconds that builds of a job take, where it is not their change that says so."""
        self.timeline = Timeline()
        self.git = Git()
        self.trace: list[str] = []
        self.events: list[Event] = []
        self.rows = Draft((), now=0.0, ids=iter(()))
        """Every row as committed."""
        self._disk = Disk()
        self._told: list[events.Fact] = []
        self._telling = False
        self._names: dict[int, str] = {}
        self._projects: dict[str, int] = {}
        self.hosts = {name: self._host(name, slots) for name in hosts}
        self.server = self._server(make_server)
        self._pulse()
        self.run_for(3.0)  # The hosts say hello.
        policy = Policy(approvals=approvals, attempts=attempts)
        for name in projects:
            self._add_project(name, policy, born)

    def _host(self, name: str, slots: int) -> FakeHost:
        return FakeHost(
            name,
            slots,
            timeline=self.timeline,
            repositories=self.git,
            report=self._report,
            chance=self.chance,
            faults=self.faults,
            durations=self.durations,
        )

    def _report(self, host: FakeHost, fact: events.Fact) -> None:
        self.server.hear(host, fact)

    def _server(self, make_server: type[Server]) -> Server:
        return make_server(
            self._disk,
            timeline=self.timeline,
            git=self.git,
            hosts=self.hosts,
            jobs=lambda project_id, pipeline: self.jobs[pipeline],
            chance=self.chance,
            faults=self.faults,
            observe=self._observe,
            tell=self.note,
        )

    def _add_project(self, name: str, policy: Policy, born: bool) -> None:
        first = self.git.commit([Patch(name=f"{name}-first")]) if born else None
        head = first.id if first is not None else None
        self.say(events.ProjectAdded(name=name, branches=("main",), heads=(head,), policy=policy))
        while not any(project.name == name for project in self.rows.all(Project)):
            self._next()
        project = next(p for p in self.rows.all(Project) if p.name == name)
        self._projects[name] = project.id
        self.git.heads[project.id, "main"] = head

    # What people do.

    def push(
        self,
        name: str,
        *,
        on: Ref | None = None,
        project: str | None = None,
        land: bool = False,
        breaks: Iterable[str] = (),
        clashes: Iterable[str] = (),
        conflicts: Iterable[str] = (),
        flaky: float = 0.0,
        takes: float = 10.0,
        misconfigured: bool = False,
    ) -> Ref:
        """A new change of one commit, on the branch head or on top of another change."""
        patch = Patch(
            name=name,
            breaks=frozenset(breaks),
            clashes=frozenset(clashes),
            conflicts=frozenset(conflicts),
            flaky=flaky,
            takes=takes,
            misconfigured=misconfigured,
        )
        ref = Ref(name, self._new_ids(1))
        self._names[ref.id] = name
        project_id = (
            next(iter(self._projects.values())) if project is None else (self._projects[project])
        )
        if on is not None:
            project_id = self.change(on).project_id
        self._push(ref, project_id, patch, on, land)
        return ref

    def amend(self, ref: Ref, *, land: bool = False, **differently: Any) -> None:
        """A new patch set of the change, in the same place of its stack."""
        patch_set = self.patch_set(ref)
        was = self.git.own_patch(patch_set.commit)
        patch = dataclasses.replace(was, number=was.number + 1, **differently)
        below = patch_set.needs_change
        on = None if below is None else Ref(self._names[below], below)
        self._push(ref, self.change(ref).project_id, patch, on, land)

    def _push(self, ref: Ref, project_id: int, patch: Patch, on: Ref | None, land: bool) -> None:
        parent = self.git.heads[project_id, "main"] if on is None else self.patch_set(on).commit
        commit = self.git.on(parent, patch)
        old = self.rows.find(Change, ref.id)
        now = self.timeline.now
        change = Change(
            id=ref.id,
            project_id=project_id,
            branch="main",
            key=ref.name,
            topic=None,
            title=ref.name,
            description="",
            author="ada",
            owner="ada",
            state=ChangeState.OPEN,
            patch_set=patch.number,
            wants_land=False,
            land_asked_at=None,
            landed_commit=None,
            created_at=now if old is None else old.created_at,
            updated_at=now,
        )
        patch_set = self._patch_set(ref, commit, parent, patch, on)
        approved_by = "bob" if land else None
        self.say(events.ChangePushed(change=change, patch_set=patch_set, approved_by=approved_by))

    def _patch_set(
        self, ref: Ref, commit: Commit, parent: str | None, patch: Patch, on: Ref | None
    ) -> PatchSet:
        return PatchSet(
            id=self._new_ids(1),
            change_id=ref.id,
            number=patch.number,
            commit=commit.id,
            tree=commit.tree,
            parent=parent,
            needs_change=None if on is None else on.id,
            pushed_by="ada",
            created_at=self.timeline.now,
        )

    def approve(self, *refs: Ref, user: str = "bob") -> None:
        for ref in refs:
            patch_set = self.change(ref).patch_set
            self.say(events.Approved(change_id=ref.id, patch_set=patch_set, user=user))

    def withdraw(self, ref: Ref, user: str = "bob") -> None:
        self.say(events.ApprovalWithdrawn(change_id=ref.id, user=user))

    def land(self, ref: Ref) -> None:
        self.say(events.LandAsked(change_id=ref.id, user="bob"))

    def dequeue(self, ref: Ref) -> None:
        self.say(events.DequeueAsked(change_id=ref.id, user="bob"))

    def abandon(self, ref: Ref) -> None:
        self.say(events.Abandoned(change_id=ref.id, user="ada"))

    def push_around(self, name: str, *, seen: bool = True, conflicts: Iterable[str] = ()) -> None:
        """Somebody moves the branch of the first project without the gate."""
        project_id = next(iter(self._projects.values()))
        patch = Patch(name=name, conflicts=frozenset(conflicts))
        commit = self.git.on(self.git.heads[project_id, "main"], patch)
        self.git.move((project_id, "main"), commit.id, by_gate=False)
        if seen:
            self.say(events.HeadSeen(project_id=project_id, branch="main", head=commit.id))

    def say(self, fact: events.Fact) -> None:
        """A request to the server, made again until it is answered; requests keep their order."""
        self._told.append(fact)
        if not self._telling:
            self._tell()

    def _tell(self) -> None:
        self._telling = bool(self._told)
        while self._told:
            try:
                answered = self.server.record(self._told[0])
            except UserError as refused:
                self.note(f"refused: {refused}")
                answered = True
            if not answered:
                self.timeline.after(RETRY, self._tell)
                return
            self._told.pop(0)
        self._telling = False

    def _new_ids(self, count: int) -> int:
        async def reserve() -> int:
            async with MemoryStore(self._disk).write() as tx:
                return await tx.reserve(engines.ID_COUNTER, count)

        return at_once(reserve())

    # What befalls hosts.

    def lose(self, host: str, *, keeping_machines: bool = False, after: float = 0.0) -> None:
        """The host goes away; the server notices when heartbeats are missing."""

        def gone() -> None:
            self.hosts[host].crash(keeping_machines=keeping_machines)
            self.timeline.after(15.0, lambda: self.server.miss(self.hosts[host]))

        self.timeline.after(after, gone)

    def restore(self, host: str, *, after: float = 0.0) -> None:
        def back() -> None:
            self.hosts[host].start()
            if self.server.up:
                self.hosts[host].say_hello()

        self.timeline.after(after, back)

    def die_at(self, moment: int) -> None:
        """Kill the server at the so-manieth point at which it could die, counted from 1."""
        self.server.doomed = moment

    def kill_server(self) -> None:
        if self.server.up:
            self.server.die("by a signal")

    def calm(self) -> None:
        """From now on nothing fails, and every host comes back."""
        self.faults = self.server.faults = faulty.NONE
        for host in self.hosts.values():
            host.faults = faulty.NONE
            host.start()
            if self.server.up and not host.connected:
                host.say_hello()

    # Time.

    def settle(self, *, limit: float = 5e4) -> None:
        """Let time pass until nothing is under way any more; then nothing may be stuck."""
        end = self.timeline.now + limit
        quiet = 0
        while quiet < 3:
            before = len(self.events)
            self.run_for(PULSE * 1.1)  # Not on the pulse itself, whose plan would be under way.
            busy = len(self.timeline) > 1 or len(self.events) > before or not self.server.up
            quiet = 0 if busy else quiet + 1
            if self.timeline.now > end:
                raise Broken("the world does not come to rest")
        self._require(invariants.rest(self.rows) + truth.rest(self))

    def run_for(self, seconds: float) -> None:
        reached = False

        def reach() -> None:
            nonlocal reached
            reached = True

        self.timeline.after(seconds, reach)
        while not reached:
            self._next()

    def until(self, happened: Callable[[], object], *, limit: float = 1e5) -> None:
        """Stop at the first moment at which something is so."""
        end = self.timeline.now + limit
        while not happened():
            if self.timeline.now > end:
                raise Broken("what was waited for does not happen")
            self._next()

    def _next(self) -> None:
        self.timeline.next()

    def _pulse(self) -> None:
        """The engine plans now and then even when nothing wakes it."""
        if self.server.up:
            self.server.wake(certainly=True)
        self.timeline.after(PULSE, self._pulse)

    def note(self, text: str) -> None:
        self.trace.append(f"{self.timeline.now:10.2f}  {text}")

    def _observe(self, made: list[faulty.Change], planned: bool) -> None:
        for _, row in made:
            if isinstance(row, Event):
                self.events.append(row)
                name = self._names.get(row.change_id or 0, "")
                self.note(f"{name:>6} {row.kind} {row.text}")
            else:
                self.rows.put(row)
        kept = [(old, row) for old, row in made if not isinstance(row, Event)]
        wrong = invariants.changes(kept, self.rows) + truth.changes(self, kept)
        if planned:
            wrong += invariants.plan(self.rows)
        self._require(wrong)

    def _require(self, wrong: Sequence[str]) -> None:
        if wrong:
            for each in wrong:
                self.note(f"BROKEN {each}")
            raise Broken("; ".join(wrong))
