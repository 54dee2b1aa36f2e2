"""Which queued build gets a machine, and on which host. Decides only; hosts do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from cupel.core import lifecycle
from cupel.core.buildset import RESTARTED
from cupel.core.draft import Draft
from cupel.core.model import (
    Build,
    BuildState,
    Host,
    HostState,
    Item,
    Machine,
    MachineState,
    Pipeline,
    Verdict,
)

_RANK = {Pipeline.GATE: 0, Pipeline.CHECK: 1, Pipeline.POST: 2}


PAUSES = (5.0, 30.0)
"""Seconds that a job waits for the host that failed it, after the first time and after others.

An outage of seconds must not use up a build's attempts; another host is asked without waiting.
"""


def plan(draft: Draft) -> None:
    """Give free slots to queued builds: the gate first, then by place in the queue."""
    free = _free_slots(draft)
    if not any(slots > 0 for slots in free.values()):
        return
    for build in sorted(_queued(draft), key=lambda b: _order(draft, b)):
        failed = _failed_on(draft, build)
        host = _choose(draft, build, free, failed)
        if host is not None and not (host.id in failed and draft.now < _again_at(build, failed)):
            free[host.id] -= 1
            _assign(draft, build, host)


def _free_slots(draft: Draft) -> dict[int, int]:
    used = Counter(
        machine.host_id for machine in draft.all(Machine) if machine.state is not MachineState.GONE
    )
    return {
        host.id: host.slots - used[host.id]
        for host in draft.all(Host)
        if host.state is HostState.CONNECTED
    }


def _queued(draft: Draft) -> list[Build]:
    return [build for build in draft.all(Build) if build.state is BuildState.QUEUED]


def _order(draft: Draft, build: Build) -> tuple[int, int, int]:
    entry = draft.find(Item, build.item_id)
    return (_RANK[build.pipeline], 0 if entry is None else entry.position, build.id)


def _failed_on(draft: Draft, build: Build) -> Counter[int]:
    """How often which host has failed this job on this state already, restarts aside."""
    return Counter(
        draft.get(Machine, other.machine_id).host_id
        for other in draft.builds(build.buildset_id)
        if other.job == build.job
        and other.verdict is Verdict.INFRA
        and other.reason != RESTARTED
        and draft.find(Machine, other.machine_id) is not None
    )


def _again_at(build: Build, failed: Counter[int]) -> float:
    return build.queued_at + PAUSES[min(failed.total(), len(PAUSES)) - 1]


def _choose(draft: Draft, build: Build, free: dict[int, int], failed: Counter[int]) -> Host | None:
    """The host with most free slots, preferring one that has not failed this job already."""
    fit = [
        draft.get(Host, host_id)
        for host_id, slots in free.items()
        if slots > 0 and _makes(draft.get(Host, host_id), build.label)
    ]
    return min(fit, key=lambda h: (h.id in failed, -free[h.id], h.id), default=None)


def _makes(host: Host, label: str) -> bool:
    return not host.labels or label in host.labels


def _assign(draft: Draft, build: Build, host: Host) -> None:
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
