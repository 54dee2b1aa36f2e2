"""Builds that need several machines: all of them on one host, taken at once or not at all.

No build holds some of its machines while it waits for others, so two cannot wait for each other.
Which ready machines are kept for which build is decided anew in each planning, in the order in
which builds get machines: the first in that order is kept all that it needs on its host, whoever
else waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from cupel.core import host as hosts
from cupel.core.model import Build, Host, Machine, MachineState
from cupel.core.room import Room, makes

_Idle = Mapping[str, Sequence[Machine]]


def choose(room: Room, build: Build, ready: _Idle, building: _Idle) -> Host | None:
    """The host on which the build's machines are, or will be, soonest; None if none may be asked.

    Least of all one that has failed it; then one that lacks the fewest slots, then the fewest
    machines.
    """
    wanted = Counter(build.labels)

    def key(host: Host) -> tuple[bool, int, int, int]:
        missing = 0
        for label, count in wanted.items():
            idle = (*ready.get(label, ()), *building.get(label, ()))
            missing += max(0, count - sum(machine.host_id == host.id for machine in idle))
        slots = room.slots[host.id] + room.coming[host.id]
        return (room.has_failed(host, build), max(0, missing - slots), missing, host.id)

    return min(usable(room, build), key=key, default=None)


def usable(room: Room, build: Build) -> list[Host]:
    """The hosts that the build may go to. One on probation has one machine at a time: too few."""
    return [
        host
        for host in room.hosts
        if _fits(host, build)
        and hosts.takes_more(host, room.now)
        and not hosts.is_suspect(host)
        and (not room.has_been_lost(build) or room.may_go(host, build))
    ]


def pick(labels: Sequence[str], ready: _Idle, host: Host) -> list[Machine | None]:
    """For each label a ready machine on the host, where there is one."""
    left = {
        label: [machine for machine in ready.get(label, ()) if machine.host_id == host.id]
        for label in set(labels)
    }
    return [left[label].pop(0) if left[label] else None for label in labels]


def _fits(host: Host, build: Build) -> bool:
    return len(build.labels) <= host.slots and all(makes(host, label) for label in build.labels)


def why_never(room: Room, build: Build) -> str | None:
    """Why the build's machines can't be there at once as things are set up; None if they can."""
    if not build.parts:
        return None
    for label, count in sorted(Counter(build.labels).items()):
        if not room.is_known(label):
            return f"{label} is not in the server's configuration"
        pool = room.pools.get(label)
        for limit, what in ((pool.ceiling, "ceiling"), (pool.quota, "quota")) if pool else ():
            if limit is not None and limit < count:
                machines = f"{count} machines of {label}"
                return f"it can never run: it needs {machines}, whose {what} is {limit}"
    if room.hosts and not any(_fits(host, build) for host in room.hosts):
        return (
            f"it can't run on any host that is connected: it needs {len(build.labels)} machines "
            "on one host that makes all of them"
        )
    return None


def why_not_yet(room: Room, build: Build) -> str | None:
    """Why the build has not got its machines; None if the next planning may give them."""
    if not room.hosts:
        return "no host is connected"
    fit = usable(room, build)
    if not fit:
        reasons = (hosts.why_no_builds(host, room.now) for host in room.hosts if _fits(host, build))
        return "; ".join(filter(None, reasons)) or "its host failed it and is asked again soon"
    idle: dict[str, list[Machine]] = {}
    for machine in room.there:
        if machine.state in (MachineState.READY, MachineState.BUILDING):
            idle.setdefault(machine.label, []).append(machine)
    host = choose(room, build, idle, {})
    assert host is not None
    picked = pick(build.labels, idle, host)
    for label, found in zip(build.labels, picked, strict=True):
        if found is None and room.is_full(label):
            return room.why_full(label)
    there = len([found for found in picked if found is not None])
    return (
        f"waits for {len(build.labels)} machines on {host.name} at once: {there} are there or made"
    )
