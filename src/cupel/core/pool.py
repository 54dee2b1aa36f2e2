"""Which queued build gets a machine, and on which host. Decides only; hosts do.

A semaphore is held by the builds that have a machine and have not ended. Nothing else says who
holds it, so however a build ends its semaphores are free, and none can leak. A build takes all of
its semaphores at once or waits without any, so builds cannot wait for each other in a circle.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from cupel.core import host as hosts
from cupel.core import lifecycle
from cupel.core.draft import Draft
from cupel.core.model import (
    Build,
    Buildset,
    BuildState,
    Host,
    HostState,
    Item,
    Machine,
    MachineState,
    Pipeline,
    Verdict,
)

_RANK = {Pipeline.GATE: 0, Pipeline.CHECK: 1, Pipeline.POST: 2, Pipeline.PERIODIC: 3}

_HOLDING = frozenset({BuildState.STARTING, BuildState.RUNNING, BuildState.CANCELLING})
_WORKING = frozenset({MachineState.BUILDING, MachineState.READY, MachineState.USED})

_Semaphores = tuple[tuple[str, int], ...]
_Order = tuple[int, float, int, int]
_Losses = Mapping[tuple[int, str], Counter[int]]

PAUSES = (5.0, 30.0)
"""Seconds that a job waits for the host that failed it, after the first time and after others.

An outage of seconds must not use up a build's attempts; another host is asked without waiting.
"""


def plan(draft: Draft) -> None:
    """Give free slots to queued builds: by pipeline, the planner's urgency, place in the queue.

    A build whose semaphores are taken, or that no host has room for, stands in nobody's way. A host
    on probation is asked for a job that it has failed only when no other build wants it.
    """
    free = _Free(draft)
    if not free.any():
        return
    builds = draft.all(Build)
    queued = [build for build in builds if build.state is BuildState.QUEUED]
    queued.sort(key=lambda build: _order(draft, build))
    held = _Held(draft, builds)
    lost = _lost(draft, builds)
    put_off = []
    for build in queued:
        host = _find(draft, build, free, held, lost)
        if host is not None and _has_failed(host, build, lost) and hosts.is_suspect(host):
            put_off.append(build)
        elif host is not None:
            _assign(draft, build, host, free, held)
    for build in put_off:
        host = _find(draft, build, free, held, lost)
        if host is not None:
            _assign(draft, build, host, free, held)


def waits(draft: Draft, build: Build) -> str | None:
    """Why the build has no machine yet, for people; see `waiting`."""
    return waiting(draft, [build]).get(build.id)


def waiting(draft: Draft, builds: Iterable[Build]) -> dict[int, str]:
    """By id, why which of the builds has no machine yet.

    Those that are not queued are left out, and those that the next planning may give one.
    """
    free = _Free(draft)
    held = _Held(draft, draft.all(Build))
    lost = _lost(draft, draft.all(Build))
    found = {
        build.id: _why(draft, build, free, held, lost)
        for build in builds
        if build.state is BuildState.QUEUED
    }
    return {number: why for number, why in found.items() if why is not None}


def _why(draft: Draft, build: Build, free: _Free, held: _Held, lost: _Losses) -> str | None:
    taken = held.in_the_way(build)
    if taken is not None:
        return taken
    fit = [host for host in free.hosts if _makes(host, build.label)]
    if not fit:
        return f"no host makes {build.label}" if free.hosts else "no host is connected"
    usable = [host for host in fit if not hosts.is_quarantined(host, draft.now)]
    if not usable:
        return "; ".join(hosts.why_quarantined(host) for host in fit)
    if not any(free.slots[host.id] > 0 for host in usable):
        return _why_full(usable)
    if _find(draft, build, free, held, lost) is None:
        seconds = _again_at(build, lost[build.buildset_id, build.job]) - draft.now
        return f"its host failed it and is asked again in {seconds:.0f} s"
    return None


def _why_full(fit: list[Host]) -> str:
    if all(hosts.is_suspect(host) for host in fit):
        names = ", ".join(host.name for host in fit)
        return f"waits for the probe of {names}, which failed builds in a row within seconds"
    slots = sum(host.slots for host in fit)
    return f"all {slots} machines are busy" if slots != 1 else "the only machine is busy"


def _connected(draft: Draft) -> list[Host]:
    return [host for host in draft.all(Host) if host.state is HostState.CONNECTED]


def _makes(host: Host, label: str) -> bool:
    return not host.labels or label in host.labels


def _order(draft: Draft, build: Build) -> _Order:
    entry = draft.find(Item, build.item_id)
    position = 0 if entry is None else entry.position
    return (_RANK[build.pipeline], -draft.urgency.get(build.id, 0.0), position, build.id)


# Hosts.


class _Free:
    """The slots that may be given away, by host. A suspect host has at most one, for a probe."""

    def __init__(self, draft: Draft) -> None:
        there = [m for m in draft.all(Machine) if m.state is not MachineState.GONE]
        used = Counter(machine.host_id for machine in there)
        working = Counter(m.host_id for m in there if m.state in _WORKING)
        self.hosts = _connected(draft)
        self.slots: dict[int, int] = {}
        for host in self.hosts:
            slots = host.slots - used[host.id]
            if hosts.is_quarantined(host, draft.now):
                slots = 0
            elif hosts.is_suspect(host):
                slots = min(slots, 1 - working[host.id])
            self.slots[host.id] = max(slots, 0)
        self._total = sum(self.slots.values())
        self._by_label: dict[str, list[tuple[int, int, Host]]] = {}

    def any(self) -> bool:
        return self._total > 0

    def take(self, host: Host) -> None:
        self.slots[host.id] -= 1
        self._total -= 1

    def most(self, label: str) -> Host | None:
        """The host that makes the label and has most free slots.

        The heap's counts are those of when they were pushed. Slots only get fewer, so a head that
        still is right is the best.
        """
        heap = self._by_label.get(label)
        if heap is None:
            heap = [(-self.slots[h.id], h.id, h) for h in self.hosts if _makes(h, label)]
            heapq.heapify(heap)
            self._by_label[label] = heap
        while heap:
            count, _, host = heap[0]
            if count == -self.slots[host.id]:
                return host if count < 0 else None
            heapq.heapreplace(heap, (-self.slots[host.id], host.id, host))
        return None


def _lost(draft: Draft, builds: list[Build]) -> _Losses:
    """By state and job, how often which host has failed it already, restarts aside."""
    lost: defaultdict[tuple[int, str], Counter[int]] = defaultdict(Counter)
    for build in builds:
        if build.verdict is Verdict.INFRA and build.reason != hosts.RESTARTED:
            machine = draft.find(Machine, build.machine_id)
            if machine is not None:
                lost[build.buildset_id, build.job][machine.host_id] += 1
    return lost


def _has_failed(host: Host, build: Build, lost: _Losses) -> bool:
    return host.id in lost.get((build.buildset_id, build.job), ())


def _find(draft: Draft, build: Build, free: _Free, held: _Held, lost: _Losses) -> Host | None:
    """The host for the build, if it may have one now: where most is free.

    A host that has failed the job comes after all others, and after a pause.
    """
    if not free.any() or held.in_the_way(build) is not None:
        return None
    failed = lost.get((build.buildset_id, build.job))
    if failed is None:
        return free.most(build.label)
    fit = [host for host in free.hosts if free.slots[host.id] > 0 and _makes(host, build.label)]
    best = min(fit, key=lambda h: (h.id in failed, -free.slots[h.id], h.id), default=None)
    paused = best is not None and best.id in failed and draft.now < _again_at(build, failed)
    return None if paused else best


def _again_at(build: Build, failed: Counter[int]) -> float:
    return build.queued_at + PAUSES[min(failed.total(), len(PAUSES)) - 1]


# Semaphores.


class _Held:
    """Who holds which semaphore of which project."""

    def __init__(self, draft: Draft, builds: list[Build]) -> None:
        self._draft = draft
        self._jobs: dict[int, dict[str, _Semaphores]] = {}
        self._holders: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
        for build in builds:
            if build.state in _HOLDING:
                self.take(build)

    def take(self, build: Build) -> None:
        for name, _ in self._wanted(build):
            self._holders[build.project_id, name].append(build.id)

    def in_the_way(self, build: Build) -> str | None:
        """Which semaphore the build would have to wait for, and who holds it."""
        for name, maximum in self._wanted(build):
            holders = self._holders[build.project_id, name]
            if len(holders) >= maximum:
                return f"waits for semaphore {name}, held by {_name_builds(holders)}"
        return None

    def _wanted(self, build: Build) -> _Semaphores:
        """What the build's job asks for, as it was frozen."""
        jobs = self._jobs.get(build.buildset_id)
        if jobs is None:
            buildset = self._draft.find(Buildset, build.buildset_id)
            frozen = buildset.jobs if buildset is not None else ()
            jobs = {job.name: job.semaphores for job in frozen if job.semaphores}
            self._jobs[build.buildset_id] = jobs
        return jobs.get(build.job, ())


def _name_builds(ids: list[int]) -> str:
    word = "build" if len(ids) == 1 else "builds"
    return f"{word} {', '.join(map(str, sorted(ids)))}"


def _assign(draft: Draft, build: Build, host: Host, free: _Free, held: _Held) -> None:
    free.take(host)
    held.take(build)
    machine = draft.put(
        Machine(
            id=draft.new_id(),
            label=build.label,
            image=None,
            host_id=host.id,
            build_id=build.id,
            state=lifecycle.step(lifecycle.MACHINE, MachineState.NEW, "build"),
            detail=None,
            created_at=draft.now,
        )
    )
    state = lifecycle.step(lifecycle.BUILD, build.state, "assign")
    draft.put(replace(build, state=state, machine_id=machine.id))
    draft.tell(
        "machine.building",
        f"for {build.job} on {host.name}",
        project_id=build.project_id,
        item_id=build.item_id,
        build_id=build.id,
        machine_id=machine.id,
    )
