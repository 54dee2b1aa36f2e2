"""Why a build has no machine yet, in words for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from cupel.core import host as hosts
from cupel.core import together
from cupel.core.draft import Draft
from cupel.core.model import Build, BuildState, Host, Machine, MachineState
from cupel.core.room import Room, makes


def of(draft: Draft, build: Build) -> str | None:
    """Why the build has no machine yet; see `reasons`."""
    return reasons(draft, [build]).get(build.id)


def reasons(draft: Draft, builds: Iterable[Build]) -> dict[int, str]:
    """By id, why which of the builds has no machine yet.

    Those that are not queued are left out, and those that the next planning may give one.
    """
    asked = _Asked(Room(draft))
    found = {build.id: asked.why(build) for build in builds if build.state is BuildState.QUEUED}
    return {number: why for number, why in found.items() if why is not None}


def served(draft: Draft) -> frozenset[int]:
    """The queued builds that the machines which are being made are for, oldest first: as good as
    begun for whoever plans what to run."""
    return draft.remember("served", Build, lambda: _served(draft))


def _served(draft: Draft) -> frozenset[int]:
    coming = Counter(m.label for m in draft.all(Machine) if m.state is MachineState.BUILDING)
    found: set[int] = set()
    if coming:
        queued = [build for build in draft.all(Build) if build.state is BuildState.QUEUED]
        for build in sorted(queued, key=lambda each: each.id):
            wanted = Counter(build.labels)
            if all(coming[label] >= count for label, count in wanted.items()):
                coming.subtract(wanted)
                found.add(build.id)
    return frozenset(found)


class _Asked:
    """The room as it is, and what was found out about each label: many builds ask for the same."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._fit: dict[str, list[Host]] = {}
        self._usable: dict[str, list[Host]] = {}
        self._told: dict[tuple[str, tuple[int, ...]], str | None] = {}

    def why(self, build: Build) -> str | None:
        room = self._room
        own = together.why_never(room, build) or room.in_the_way(build)
        if own is not None:
            return own
        if build.parts:
            return together.why_not_yet(room, build)
        if not room.is_known(build.label):
            return f"{build.label} is not in the server's configuration"
        usable = self._hosts(build.label)
        if not usable:
            return self._why_no_host(build.label)
        free = usable
        if room.has_been_lost(build):
            free = [host for host in usable if room.may_go(host, build)]
        if not free:
            seconds = room.asked_again_at(build) - room.now
            return f"its host failed it and is asked again in {seconds:.0f} s"
        key = (build.label, tuple(host.id for host in free))
        if key not in self._told:
            self._told[key] = _why_no_machine(room, build.label, free)
        return self._told[key]

    def _hosts(self, label: str) -> list[Host]:
        """Those that make the label and may be given builds."""
        if label not in self._usable:
            room = self._room
            self._fit[label] = [host for host in room.hosts if makes(host, label)]
            self._usable[label] = [h for h in self._fit[label] if hosts.takes_more(h, room.now)]
        return self._usable[label]

    def _why_no_host(self, label: str) -> str:
        room = self._room
        if not self._fit[label]:
            return f"no host makes {label}" if room.hosts else "no host is connected"
        return "; ".join(hosts.why_no_builds(host, room.now) or "" for host in self._fit[label])


def _why_no_machine(room: Room, label: str, usable: Sequence[Host]) -> str | None:
    """Of these hosts none has a machine for the label, or the next planning gives one."""
    names = {host.id: host.name for host in usable}
    mine = [m for m in room.there if m.label == label and m.host_id in names]
    if any(machine.state is MachineState.READY for machine in mine):
        return None
    for machine in mine:
        if machine.state is MachineState.BUILDING:
            told = f": {machine.detail}" if machine.detail else ""
            return f"a machine is being made on {names[machine.host_id]}{told}"
    asked = [host for host in usable if room.is_asked(host, label)]
    if not asked:
        return "; ".join(_why_not_asked(room, host, label) for host in usable)
    if room.is_full(label):
        return room.why_full(label)
    if any(room.slots[host.id] > 0 for host in asked):
        return None
    if any(room.coming[host.id] > 0 for host in asked):
        return "a machine is being deleted to make room"
    return _why_full(room, asked)


def _why_not_asked(room: Room, host: Host, label: str) -> str:
    failed = hosts.failure(host, label)
    seconds = hosts.makes_again_at(host, label, wanted=True) - room.now
    why = failed.reason if failed is not None else "it failed"
    return f"{host.name} could not make {label} and tries again in {seconds:.0f} s: {why}"


def _why_full(room: Room, fit: Sequence[Host]) -> str:
    if all(hosts.is_suspect(host) for host in fit):
        names = ", ".join(host.name for host in fit)
        return f"waits for the probe of {names}, which failed builds in a row within seconds"
    slots = sum(host.slots for host in fit)
    busy = f"all {slots} machines are busy" if slots != 1 else "the only machine is busy"
    numbers = {host.id for host in fit}
    held = sum(m.state is MachineState.HELD and m.host_id in numbers for m in room.there)
    return f"{busy}, {held} of them held by people: cupel hold list" if held else busy
