"""What there is room for: slots of hosts, ceilings of labels, quotas of projects, and losses."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable

from cupel.core import host as hosts
from cupel.core.draft import Draft
from cupel.core.model import (
    Build,
    Host,
    HostState,
    Machine,
    MachineState,
    Pool,
    Verdict,
)
from cupel.core.semaphore import HOLDING, Held

PAUSES = (5.0, 30.0)
"""Seconds that a job waits for the host that failed it, after the first time and after others.

An outage of seconds must not use up a build's attempts; another host is asked without waiting.
"""

_WORKING = frozenset(
    {MachineState.BUILDING, MachineState.READY, MachineState.USED, MachineState.HELD}
)
"""The states of a machine whose slot does not become free by itself soon."""


def makes(host: Host, label: str) -> bool:
    return not host.labels or label in host.labels


class Room:
    """The room that is left. What is taken here is taken in mind only."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.now = draft.now
        builds = draft.all(Build)
        self.held = Held(draft, builds)
        self.pools = {pool.label: pool for pool in draft.all(Pool)}
        self.hosts = [each for each in draft.all(Host) if each.state is HostState.CONNECTED]
        self.there = [m for m in draft.all(Machine) if m.state is not MachineState.GONE]
        connected = {host.id for host in self.hosts}
        # A lost host deletes its machines by itself, and may never come back to say so.
        self.of_label = Counter(m.label for m in self.there if m.host_id in connected)
        self.slots: dict[int, int] = {}
        """How many machines may be made on which host."""
        self.coming: dict[int, int] = {}
        """How many more may be made there when what is being deleted is gone."""
        self._count_slots()
        self._used: Counter[tuple[int, str]] = Counter()
        self.in_use: Counter[int] = Counter()
        """How many machines each project uses, of any label."""
        for build in builds:
            if build.state in HOLDING:
                self._count(build)
        self._lost = _losses(draft, builds)
        self._by_label: dict[str, list[tuple[int, int, Host]]] = {}

    def _count_slots(self) -> None:
        there = Counter(machine.host_id for machine in self.there)
        working = Counter(m.host_id for m in self.there if m.state in _WORKING)
        for host in self.hosts:
            slots = host.slots - there[host.id]
            most = host.slots - working[host.id]
            if not hosts.takes_more(host, self.now):
                slots = most = 0
            elif hosts.is_suspect(host):  # one at a time, as a probe
                most = min(most, 1 - working[host.id])
                slots = min(slots, most)
            self.slots[host.id] = max(slots, 0)
            self.coming[host.id] = max(most, 0) - self.slots[host.id]

    # Builds.

    def in_the_way(self, build: Build) -> str | None:
        """What of its own project the build waits for, for people."""
        taken = self.held.in_the_way(build)
        if taken is not None:
            return taken
        if not build.parts:
            return self._over_quota(build, build.label, 1)
        wanted = Counter(build.labels)
        reasons = (self._over_quota(build, label, count) for label, count in wanted.items())
        return next((reason for reason in reasons if reason is not None), None)

    def _over_quota(self, build: Build, label: str, count: int) -> str | None:
        pool = self.pools.get(label)
        if pool is None or pool.quota is None:
            return None
        used = self._used[build.project_id, label]
        if used + count <= pool.quota:
            return None
        machines = "machine" if used == 1 else "machines"
        if used == 0 or used < pool.quota:
            return (
                f"it needs {count} machines of {label} at a time, and its project uses {used} "
                f"of the {pool.quota} that are its quota"
            )
        return f"its project uses {used} {machines} of {label} already, its quota"

    def use(self, build: Build) -> None:
        """The build gets a machine, or will."""
        self.held.take(build)
        self._count(build)

    def _count(self, build: Build) -> None:
        for label in build.labels:
            self._used[build.project_id, label] += 1
        self.in_use[build.project_id] += len(build.labels)

    def has_failed(self, host: Host, build: Build) -> bool:
        return host.id in self._lost.get((build.buildset_id, build.job), ())

    def has_been_lost(self, build: Build) -> bool:
        """Whether any host has failed the job on this state, restarts aside."""
        return (build.buildset_id, build.job) in self._lost

    def asked_again_at(self, build: Build) -> float:
        """When the build may go to a host that has failed its job."""
        failed = self._lost[build.buildset_id, build.job]
        return build.queued_at + PAUSES[min(failed.total(), len(PAUSES)) - 1]

    def may_go(self, host: Host, build: Build) -> bool:
        """Whether the host may be asked for the build, as far as earlier losses go."""
        return not self.has_failed(host, build) or self.now >= self.asked_again_at(build)

    # Machines.

    def is_known(self, label: str) -> bool:
        """Whether the configuration has the label."""
        pool = self.pools.get(label)
        return not self.pools or (pool is not None and bool(pool.definition))

    def is_full(self, label: str) -> bool:
        """Whether there are as many machines of the label as there may be."""
        pool = self.pools.get(label)
        ceiling = pool.ceiling if pool is not None else None
        return ceiling is not None and self.of_label[label] >= ceiling

    def why_full(self, label: str) -> str:
        return f"there are {self.of_label[label]} machines of {label} already, its ceiling"

    def is_asked(self, host: Host, label: str, *, wanted: bool = True) -> bool:
        """Whether the host may be asked for machines of the label now."""
        again = hosts.makes_again_at(host, label, wanted=wanted)
        return makes(host, label) and self.now >= again and hosts.takes_more(host, self.now)

    def make(self, host: Host, label: str) -> None:
        """A machine of the label is made on the host."""
        self.slots[host.id] -= 1
        self.of_label[label] += 1

    def most(self, label: str) -> Host | None:
        """The host with most free slots, of those that may be asked for the label.

        The heap's counts are those of when they were pushed. Slots only get fewer, so a head that
        still is right is the best.
        """
        heap = self._by_label.get(label)
        if heap is None:
            heap = [(-self.slots[h.id], h.id, h) for h in self.hosts if self.is_asked(h, label)]
            heapq.heapify(heap)
            self._by_label[label] = heap
        while heap:
            count, _, host = heap[0]
            if count == -self.slots[host.id]:
                return host if count < 0 else None
            heapq.heapreplace(heap, (-self.slots[host.id], host.id, host))
        return None

    def freest(self, fit: Iterable[Host]) -> Host | None:
        """Of these hosts, the one with most free slots, if any has one."""
        free = [host for host in fit if self.slots[host.id] > 0]
        return min(free, key=lambda host: (-self.slots[host.id], host.id), default=None)


def _losses(draft: Draft, builds: list[Build]) -> dict[tuple[int, str], Counter[int]]:
    """By state and job, how often which host has failed it already, restarts aside."""
    lost: defaultdict[tuple[int, str], Counter[int]] = defaultdict(Counter)
    for build in builds:
        if build.verdict is Verdict.INFRA and not hosts.is_nobodys_fault(build):
            machine = draft.find(Machine, build.machine_id)
            if machine is not None:
                lost[build.buildset_id, build.job][machine.host_id] += 1
    return dict(lost)
