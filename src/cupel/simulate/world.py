"""A world in a few lines: push, approve, let time pass, and see what became of it.

world = World(slots=4)
a, b, c = world.push("A"), world.push("B", breaks={"tests"}), world.push("C")
world.approve(a, b, c)
world.settle()
assert world.landed() == [a, c]
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cupel.control import engine as engines
from cupel.core import events, invariants
from cupel.core.draft import Draft
from cupel.core.model import Event, Job, Pipeline, Policy, Project, Queue, Step
from cupel.simulate import faults as faulty
from cupel.simulate import truth
from cupel.simulate.fate import Nature
from cupel.simulate.faults import Faults
from cupel.simulate.git import Git, Patch, Patches
from cupel.simulate.host import LABEL, FakeHost
from cupel.simulate.people import People
from cupel.simulate.server import PULSE, Server
from cupel.simulate.timeline import Timeline, at_once
from cupel.store.memory import Disk, MemoryStore

QUIET = 1500.0
"""Seconds without any event after which what is there is stuck: the gate's longest pause."""


class Broken(AssertionError):
    """An invariant does not hold."""


def job(name: str, *, run: str | None = None, **fields: Any) -> Job:
    """A job; `fields` are those of `Job`, `run` its script where that matters."""
    steps = (Step(name=name, run=run or name),)
    given: dict[str, Any] = {"base": name, "label": LABEL, "steps": steps, **fields}
    return Job(name=name, **given)


def pool(label: str = LABEL, **fields: Any) -> events.PoolSpec:
    """A pool that keeps one machine ready; `fields` are those of `PoolSpec`."""
    given: dict[str, Any] = {
        "ready": 1,
        "ceiling": None,
        "quota": None,
        "idle": 3600.0,
        "definition": "as it is",
        **fields,
    }
    return events.PoolSpec(label=label, **given)


def _jobs(given: Iterable[Job | str]) -> tuple[Job, ...]:
    return tuple(job(each) if isinstance(each, str) else each for each in given)


class World(People):
    """Everything there is, from a seed. Time passes in `settle`, `until` and `run_for` alone.

    The projects share `queue` if it is given, and `rules` are fields of every queue. `gates` are
    gate jobs by project, where not all have the same. Builds of a job fail as often as `flaky`
    says, and read other paths than their `inputs` as `true_inputs` says.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        slots: int = 8,
        hosts: Sequence[str] = ("host",),
        gate: Iterable[Job | str] = ("tests",),
        check: Iterable[Job | str] = (),
        post: Iterable[Job | str] = (),
        gates: Mapping[str, Iterable[Job | str]] | None = None,
        projects: Sequence[str] = ("project",),
        queue: str | None = None,
        rules: Mapping[str, Any] | None = None,
        approvals: int = 1,
        attempts: int = 3,
        keep_check: bool = False,
        born: bool = True,
        pools: Sequence[events.PoolSpec] = (),
        flaky: Mapping[str, float] | None = None,
        true_inputs: Mapping[str, tuple[str, ...]] | None = None,
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
        self.gates = {name: _jobs(given) for name, given in (gates or {}).items()}
        self.timeline = Timeline()
        self.git = Git()
        self.nature = Nature(
            repositories=self.git,
            chance=self.chance,
            flaky=flaky or {},
            true_inputs=true_inputs or {},
        )
        self.durations = self.nature.durations
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
        policy = Policy(approvals=approvals, attempts=attempts, keep_check=keep_check)
        if pools:
            self.say(events.PoolsSet(pools=tuple(pools)))
        for name in projects:
            self._add_project(name, queue, policy, born)
        for row in self.rows.all(Queue) if rules else ():
            self.set_queue(row.name, **(rules or {}))

    def _host(self, name: str, slots: int) -> FakeHost:
        return FakeHost(
            name,
            slots,
            timeline=self.timeline,
            nature=self.nature,
            report=self._report,
            faults=self.faults,
        )

    def _report(self, host: FakeHost, fact: events.Fact) -> None:
        self.server.hear(host, fact)

    def _server(self, make_server: type[Server]) -> Server:
        return make_server(
            self._disk,
            timeline=self.timeline,
            git=self.git,
            hosts=self.hosts,
            jobs=self.jobs_of,
            chance=self.chance,
            faults=self.faults,
            observe=self._observe,
            tell=self.note,
        )

    def jobs_of(self, project_id: int, pipeline: Pipeline, patches: Patches) -> tuple[Job, ...]:
        """The jobs of a project's pipeline where these patches are."""
        if pipeline is not Pipeline.GATE:
            return self.jobs.get(pipeline, ())
        changed = [patch for patch in patches if patch.jobs is not None]
        if changed:
            return max(changed, key=str).jobs or ()
        name = self.rows.get(Project, project_id).name
        return self.gates.get(name, self.jobs[pipeline])

    def _add_project(self, name: str, queue: str | None, policy: Policy, born: bool) -> None:
        first = self.git.commit([Patch(name=f"{name}-first")]) if born else None
        head = first.id if first is not None else None
        self.say(
            events.ProjectAdded(
                name=name, queue=queue, branches=("main",), heads=(head,), policy=policy
            )
        )
        while not any(project.name == name for project in self.rows.all(Project)):
            self._next()
        project = next(p for p in self.rows.all(Project) if p.name == name)
        self._projects[name] = project.id
        self.git.heads[project.id, "main"] = head

    def _new_ids(self, count: int) -> int:
        async def reserve() -> int:
            async with MemoryStore(self._disk).write() as tx:
                return await tx.reserve(engines.ID_COUNTER, count)

        return at_once(reserve())

    # What befalls branches and hosts.

    def break_main(self, job: str, *, until: float | None = None) -> None:
        """From now on the job fails on every state, as when its image or a network is broken."""
        self.nature.failing.add(job)
        if until is not None:
            self.timeline.at(until, lambda: self.nature.failing.discard(job))

    def mend_main(self) -> None:
        self.nature.failing.clear()

    def flake(self, job: str, times: int = 1) -> None:
        """The next runs of the job fail for no reason, wherever they are."""
        self.nature.flakes[job] += times

    def roll_image(self, image: str) -> None:
        """Machines are made of another image from now on."""
        self.nature.image = image

    def drain(self, host: str, *, draining: bool = True) -> None:
        self.say(events.HostDrainSet(name=host, draining=draining, user="operator"))

    def forget(self, host: str) -> None:
        self.say(events.HostForgotten(name=host, user="operator"))

    def sicken(self, host: str) -> None:
        """The host fails every build in its first second."""
        self.hosts[host].sick = True

    def heal(self, host: str) -> None:
        self.hosts[host].sick = False

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
        self.mend_main()
        for queue in self.rows.all(Queue):
            self.open(queue.name)
        for host in self.hosts.values():
            self.drain(host.name, draining=False)
            host.faults = faulty.NONE
            host.sick = host.cannot_make = False
            host.start()
            if self.server.up and not host.connected:
                host.say_hello()

    # Time.

    def settle(self, *, limit: float = 5e4, repairing: bool = False) -> None:
        """Let time pass until nothing is under way any more; then nothing may be stuck.

        With `repairing`, somebody repairs branches that are broken around the gate. One project
        may break another in a shared queue: its own jobs do not look at the other.
        """
        end = self.timeline.now + limit
        quiet = 0.0
        while quiet < QUIET and (quiet < 3 * PULSE or invariants.rest(self.rows)):
            before, since = len(self.events), self.timeline.now
            self.run_for(PULSE * 1.1)  # Not on the pulse itself, whose plan would be under way.
            if repairing:
                self._repair()
            self.rows.now = self.timeline.now
            busy = len(self.timeline) > 1 or len(self.events) > before or not self.server.up
            quiet = 0.0 if busy else quiet + self.timeline.now - since
            if self.timeline.now > end:
                raise Broken("the world does not come to rest")
        self._require(invariants.rest(self.rows) + truth.rest(self))

    def _repair(self) -> None:
        names = self.project_names()
        heads = {names[number]: head for (number, _), head in self.git.heads.items() if head}
        for project, head in heads.items():
            patches = self.git.commits[head].patches
            jobs = self.jobs_of(self._projects[project], Pipeline.GATE, patches)
            bad = [job for job in jobs if self.nature.is_broken(job, head, heads)]
            if bad:
                seen = {patch.name for job in bad for patch in self.nature.sees(job, head, heads)}
                self.push_around(f"repair-{head}", project=project, repairs=frozenset(seen))

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
        self.rows.now = self.timeline.now
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
