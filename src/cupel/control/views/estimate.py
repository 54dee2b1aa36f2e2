"""When the items of gates are expected to land, by how long their jobs took before."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence

from cupel.control.views.nouns.estimate import (
    ItemEstimateView,
    JobEstimateView,
    QueueEstimateView,
)
from cupel.core import forecast, history
from cupel.core import host as hosts
from cupel.core.history import Duration
from cupel.core.model import (
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    History,
    Host,
    Item,
    ItemState,
    Job,
    Landing,
    Machine,
    MachineState,
    Project,
    Queue,
    Verdict,
)
from cupel.core.semaphore import HOLDING
from cupel.report import messages
from cupel.store.interface import Transaction

GUESS = 600.0
"""Seconds that a job of which nothing is known keeps a machine busy, at most, for the sake of those
behind it; what is told of the job itself is that nobody knows."""

BROKEN = frozenset({BuildsetState.CONFLICT, BuildsetState.MISCONFIGURED})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """What is known of durations, and by item and queue what follows from it."""

    usual: Mapping[tuple[int, str], JobEstimateView]
    durations: Mapping[tuple[int, str], Duration]
    items: Mapping[int, ItemEstimateView]
    queues: Mapping[tuple[int, str], QueueEstimateView]
    now: float

    def job(self, project: int, name: str, build: Build | None) -> JobEstimateView | None:
        """Of a job that has not ended; None where it has, and where nothing is known of it."""
        usual = self.usual.get((project, name))
        if build is None or build.state is BuildState.QUEUED or usual is None:
            return usual
        if build.state is BuildState.FINISHED or build.alone is not None:
            return None
        duration = self.durations[project, name]
        elapsed = max(0.0, self.now - (build.started_at or self.now))
        left = duration.left(elapsed)
        return JobEstimateView(
            usual=usual.usual,
            passes=usual.passes,
            left=left,
            share=elapsed / max(elapsed + left, 1e-9),
            late=elapsed > duration.p90,
        )


NOTHING = Estimates(usual={}, durations={}, items={}, queues={}, now=0.0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the estimates are made of: rows, by what they are looked up by."""

    projects: Mapping[int, Project]
    buildsets: Mapping[int, Buildset]
    builds: Mapping[int, Mapping[str, Build]]


async def estimates(
    tx: Transaction,
    queues: Iterable[Queue],
    gates: Mapping[tuple[int, str], Sequence[Item]],
    known: Known,
    now: float,
) -> Estimates:
    """`gates` are the live items of each queue's branch in landing order, by its id and name."""
    running = await tx.select(Build, {"state": HOLDING})
    names = {job.name for buildset in known.buildsets.values() for job in buildset.jobs}
    subjects = {history.of_job(name) for name in names | {build.job for build in running}}
    projects = {*known.projects, *(build.project_id for build in running)}
    seen = await tx.select(History, {"project_id": projects, "subject": subjects})
    held = await tx.select(Machine, {"state": MachineState.HELD})
    slots = sum(h.slots for h in await tx.select(Host) if hosts.takes_more(h, now))
    durations: dict[tuple[int, str], Duration] = {}
    usual: dict[tuple[int, str], JobEstimateView] = {}
    for row in seen:
        told = _usual(row)
        if told is not None:
            subject = (row.project_id, row.subject.removeprefix("job "))
            durations[subject], usual[subject] = told
    outlook = _Outlook(known, durations, running, max(0, slots - len(held)), now)
    rules = {row.id: row for row in queues}
    items: dict[int, ItemEstimateView] = {}
    ends: dict[tuple[int, str], QueueEstimateView] = {}
    for lane, gate in gates.items():
        of_items, ends[lane] = outlook.of_queue(rules[lane[0]], gate)
        items |= of_items
    return Estimates(usual=usual, durations=durations, items=items, queues=ends, now=now)


@functools.lru_cache(4096)
def _usual(row: History) -> tuple[Duration, JobEstimateView] | None:
    """What is known of a job: of a row that has not changed, the very same as before."""
    duration = history.usual(row)
    if duration is None:
        return None
    return duration, JobEstimateView(usual=duration.p50, passes=max(1, round(row.passes)))


@dataclasses.dataclass(slots=True)
class _Entry:
    """What an item has yet to run: places among the tasks; `unknown` is why nobody knows."""

    item: Item
    tasks: list[int] = dataclasses.field(default_factory=list)
    began: float | None = None
    out: bool = False
    behind: bool = False
    unknown: str | None = None


class _Outlook:
    def __init__(
        self,
        known: Known,
        durations: Mapping[tuple[int, str], Duration],
        running: Sequence[Build],
        machines: int,
        now: float,
    ) -> None:
        self.known = known
        self.durations = durations
        self.running = running
        self.machines = machines
        self.now = now
        self._queued: dict[tuple[int, str], forecast.Task] = {}
        """By project and job: a task that needs nothing but a machine is like any other."""

    def of_queue(
        self, queue: Queue, gate: Sequence[Item]
    ) -> tuple[dict[int, ItemEstimateView], QueueEstimateView]:
        tasks: list[forecast.Task] = []
        entries = self._entries(queue, gate, tasks)
        ours = {build.id for item in gate for build in self._builds(item).values()}
        tasks += [self._going_on(build) for build in self.running if build.id not in ours]
        if not self.machines:
            ends = [0.0] * len(tasks)
            for entry in entries:
                if entry.tasks:
                    entry.unknown = messages.NO_MACHINES
        else:
            ends = forecast.ends(tasks, self.machines)
        proved = [self._proved(entry, ends) for entry in entries]
        lands = forecast.landings(
            [
                forecast.Place(proved=when, out=entry.out, behind=entry.behind)
                for entry, when in zip(entries, proved, strict=True)
            ]
        )
        return self._told(queue, entries, proved, lands)

    def _told(
        self,
        queue: Queue,
        entries: Sequence[_Entry],
        proved: Sequence[float | None],
        lands: Sequence[float | None],
    ) -> tuple[dict[int, ItemEstimateView], QueueEstimateView]:
        items: dict[int, ItemEstimateView] = {}
        provers = _provers(entries)
        why: str | None = None
        for entry, when, landing in zip(entries, proved, lands, strict=True):
            if landing is None and not entry.out:
                why = why or entry.unknown or messages.UNKNOWN_BEHIND
            closed = queue.closed is not None and entry.item.state is not ItemState.LANDING
            items[entry.item.id] = ItemEstimateView(
                proved=when,
                lands=None if closed else landing,
                share=self._share(entry, when),
                proved_by=provers.get(entry.item.id),
                unknown=messages.TREE_CLOSED if closed else None if landing is not None
                else entry.unknown or (messages.IN_DOUBT if entry.out else why),
            )  # fmt: skip
        staying = [when for when, entry in zip(lands, entries, strict=True) if not entry.out]
        if queue.closed is not None:
            why = messages.TREE_CLOSED
        elif entries and not staying:
            why = messages.IN_DOUBT
        last = staying[-1] if staying and why is None else None
        return items, QueueEstimateView(empties=last, machines=self.machines, unknown=why)

    def _builds(self, item: Item) -> Mapping[str, Build]:
        return self.known.builds.get(item.buildset_id or 0, {})

    def _entries(
        self, queue: Queue, gate: Sequence[Item], tasks: list[forecast.Task]
    ) -> list[_Entry]:
        alike = self._newest_jobs(gate)
        by_key: dict[str, int] = {}
        entries = []
        for item in gate:
            entry = _Entry(item=item)
            buildset = self.known.buildsets.get(item.buildset_id or 0)
            if item.state is ItemState.LANDING:
                pass
            elif buildset is not None and buildset.state in BROKEN:
                entry.out = True
            elif buildset is not None and buildset.state is BuildsetState.READY:
                self._add(entry, buildset, by_key, tasks)
                started = any(
                    build.state is not BuildState.QUEUED for build in self._builds(item).values()
                )
                entry.behind = queue.landing is Landing.SET and not started and bool(entry.tasks)
            elif item.project_id in alike:
                self._run(entry, alike[item.project_id], {}, {}, by_key, tasks)
            else:
                entry.unknown = messages.JOBS_UNKNOWN
            entries.append(entry)
        return entries

    def _newest_jobs(self, gate: Sequence[Item]) -> dict[int, tuple[Job, ...]]:
        """By project the jobs of its last item whose state is made: those behind run the like."""
        found: dict[int, tuple[Job, ...]] = {}
        for item in gate:
            buildset = self.known.buildsets.get(item.buildset_id or 0)
            if buildset is not None and buildset.state is BuildsetState.READY:
                found[item.project_id] = buildset.jobs
        return found

    def _add(
        self,
        entry: _Entry,
        buildset: Buildset,
        by_key: dict[str, int],
        tasks: list[forecast.Task],
    ) -> None:
        builds = self._builds(entry.item)
        voting = {job.name for job in buildset.jobs if job.voting}
        ended = [b for b in builds.values() if b.verdict is not None and b.job in voting]
        entry.out = any(b.verdict in _BAD for b in ended)
        began = [b.started_at for b in builds.values() if b.started_at and not b.reused_from]
        entry.began = min(began, default=None)
        if not entry.out:
            self._run(entry, buildset.jobs, builds, dict(buildset.keys), by_key, tasks)

    def _run(
        self,
        entry: _Entry,
        jobs: Sequence[Job],
        builds: Mapping[str, Build],
        keys: Mapping[str, str],
        by_key: dict[str, int],
        tasks: list[forecast.Task],
    ) -> None:
        """Add what is left to run of these jobs."""
        places: dict[str, int] = {}
        for job in _in_order(jobs):
            build = builds.get(job.name)
            if build is not None and build.state is BuildState.FINISHED:
                continue
            key = keys.get(job.name, "")
            known = self.durations.get((entry.item.project_id, job.name))
            running = build is not None and build.state in HOLDING
            if not running and key in by_key:
                task = forecast.Task(seconds=0.0, machines=0, needs=(by_key[key],))
            elif not running and not job.needs:
                task = self._waits(entry.item.project_id, job, known)
            else:
                task = forecast.Task(
                    seconds=self._seconds(known, job.timeout, build if running else None),
                    running=running,
                    machines=len(job.labels),
                    needs=tuple(places[need] for need in job.needs if need in places),
                )
            if known is None and job.voting:
                entry.unknown = entry.unknown or messages.never_passed(job.name)
            places[job.name] = len(tasks)
            if key:
                by_key.setdefault(key, len(tasks))
            if job.voting:
                entry.tasks.append(len(tasks))
            tasks.append(task)

    def _waits(self, project: int, job: Job, known: Duration | None) -> forecast.Task:
        found = self._queued.get((project, job.name))
        if found is None or found.machines != len(job.labels):
            seconds = self._seconds(known, job.timeout, None)
            found = forecast.Task(seconds=seconds, machines=len(job.labels))
            self._queued[project, job.name] = found
        return found

    def _seconds(self, known: Duration | None, timeout: float, build: Build | None) -> float:
        if known is None:
            return min(timeout, GUESS)
        if build is None or build.started_at is None:
            return known.p50
        return known.left(self.now - build.started_at)

    def _going_on(self, build: Build) -> forecast.Task:
        """A build that is not of this gate's states, but has its machines."""
        known = self.durations.get((build.project_id, build.job))
        seconds = self._seconds(known, GUESS, build)
        return forecast.Task(seconds=seconds, running=True, machines=len(build.labels))

    @staticmethod
    def _proved(entry: _Entry, ends: Sequence[float]) -> float | None:
        if entry.out or entry.unknown is not None:
            return None
        return max((ends[place] for place in entry.tasks), default=0.0)

    def _share(self, entry: _Entry, proved: float | None) -> float | None:
        if proved is None:
            return None
        if not entry.tasks:
            return 1.0
        passed = 0.0 if entry.began is None else max(0.0, self.now - entry.began)
        return passed / max(passed + proved, 1e-9)


def _provers(entries: Sequence[_Entry]) -> dict[int, int | None]:
    """By the items that those behind them prove, the change of the nearest of these."""
    found: dict[int, int | None] = {}
    nearest: int | None = None
    for entry in reversed(entries):
        if entry.behind:
            found[entry.item.id] = nearest
        elif not entry.out:
            nearest = entry.item.change_id
    return found


_BAD = frozenset({Verdict.FAILURE, Verdict.TIMEOUT, Verdict.INFRA, Verdict.SKIPPED})


def _in_order(jobs: Sequence[Job]) -> Sequence[Job]:
    """Each job after those that it needs."""
    if not any(job.needs for job in jobs):
        return jobs
    found: dict[str, Job] = {}
    waiting = list(jobs)
    while waiting:
        ready = [job for job in waiting if not {o.name for o in waiting} & set(job.needs)]
        found |= {job.name: job for job in ready or waiting}
        waiting = [job for job in waiting if job.name not in found]
    return list(found.values())
