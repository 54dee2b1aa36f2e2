"""Which machines are made and deleted, and which queued build gets which. Decides only; hosts do.

A build waits for *a* machine of its label: it takes one that is ready at once, and whichever is
ready first otherwise. One that needs several takes all of them, on one host, or none (see
`together`). So many machines of a label are wanted as builds wait for, and on top of
that those that its pool keeps ready (`demand.target`), as far as ceilings and slots allow. A ready
machine that nobody waits for gives way to a build of another label. `Room` says what there is
room for.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from cupel.core import demand, evidence, lifecycle, together
from cupel.core import host as hosts
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
    Pool,
)
from cupel.core.room import Room

SURPLUS = 60.0
"""Seconds that a ready machine beyond what is to be ready is kept: demand comes in waves."""

_RANK = {Pipeline.GATE: 0, Pipeline.CHECK: 1, Pipeline.POST: 2, Pipeline.PERIODIC: 3}

_Order = tuple[float, int, int]


def plan(draft: Draft) -> None:
    """Hand ready machines to queued builds, order what is missing, and let go of what is not
    wanted."""
    demand.count(draft)
    _clear(draft)
    room = Room(draft)
    fleet = _Fleet(draft, room)
    if any(room.slots.values()) or any(fleet.ready.values()) or fleet.pinned:
        queued = [build for build in draft.all(Build) if build.state is BuildState.QUEUED]
        waiting = _hand_over(fleet, queued)
        _make_for(fleet, waiting)
    for machine in fleet.pinned:
        _delete(draft, machine, "nobody waits for it")
    _keep_ready(fleet)


def is_current(draft: Draft, pool: Pool | None, machine: Machine) -> bool:
    """Whether the machine is what would be made if one were made now."""
    if pool is not None and machine.definition != pool.definition:
        return False
    host = draft.get(Host, machine.host_id)
    newest = dict(host.images).get(machine.label)
    return newest is None or machine.image is None or machine.image == newest


def in_turn(draft: Draft, room: Room, builds: Iterable[Build]) -> Iterator[Build]:
    """The builds in the order in which they should get machines.

    Pipelines one after the other; in one, the project that uses the fewest machines, which whoever
    asks tells by `Room.use`; in a project, the planner's urgency, then the place in the queue.
    """
    lines: dict[int, dict[int, deque[tuple[_Order, Build]]]] = {}
    for order, build in sorted((_order(draft, build), build) for build in builds):
        rank = lines.setdefault(_RANK[build.pipeline], {})
        rank.setdefault(build.project_id, deque()).append((order, build))
    for _, projects in sorted(lines.items()):
        while projects:
            first = min(projects, key=lambda each: (room.in_use[each], projects[each][0][0]))
            yield projects[first].popleft()[1]
            if not projects[first]:
                del projects[first]


def _order(draft: Draft, build: Build) -> _Order:
    entry = draft.find(Item, build.item_id)
    position = 0 if entry is None else entry.position
    return (-draft.urgency.get(build.id, 0.0), position, build.id)


class _Fleet:
    """The machines that nobody uses, by label: `ready` ones, best first, and those being made."""

    def __init__(self, draft: Draft, room: Room) -> None:
        self.draft = draft
        self.room = room
        self.ready: defaultdict[str, list[Machine]] = defaultdict(list)
        self.building: defaultdict[str, list[Machine]] = defaultdict(list)
        self.pinned: list[Machine] = []
        """Ready machines of images that their labels may not have any more, for who asked so."""
        self.pinned_coming: list[Machine] = []
        self.place: dict[int, Host] = {}
        """The host of each build that needs several machines."""
        self.kept: dict[int, list[Machine]] = {}
        """Ready machines that are kept for such a build until it has all, by build."""
        self.held: set[int] = set()
        """The hosts on which some are kept: for one build on each."""
        for machine in room.there:
            if hosts.takes_more(draft.get(Host, machine.host_id), draft.now):
                if machine.pinned:
                    self._keep_pinned(machine)
                elif machine.state is MachineState.READY:
                    self.ready[machine.label].append(machine)
                elif machine.state is MachineState.BUILDING and self.is_current(machine):
                    self.building[machine.label].append(machine)
        for machines in self.ready.values():
            machines.sort(key=lambda each: (not self.is_current(each), each.ready_at, each.id))

    def _keep_pinned(self, machine: Machine) -> None:
        if machine.state is MachineState.READY:
            self.pinned.append(machine)
        elif machine.state is MachineState.BUILDING:
            self.pinned_coming.append(machine)

    def is_current(self, machine: Machine) -> bool:
        return is_current(self.draft, self.room.pools.get(machine.label), machine)

    def is_fresh(self, machine: Machine) -> bool:
        """Whether the machine counts as one that is kept, or is to be replaced."""
        pool = self.room.pools.get(machine.label)
        age = self.draft.now - (machine.ready_at or machine.created_at)
        return self.is_current(machine) and (pool is None or age < pool.idle)

    def target(self, label: str) -> int:
        pool = self.room.pools.get(label)
        return 0 if pool is None else demand.target(pool, self.draft.now)

    def host(self, machine: Machine) -> Host:
        return self.draft.get(Host, machine.host_id)

    def order(self, label: str, host: Host, *, pinned: str = "") -> None:
        """Have a machine made, of the image that its label has or of the one that is `pinned`."""
        pool = self.room.pools.get(label)
        self.room.make(host, label)
        machine = self.draft.put(
            Machine(
                id=self.draft.new_id(),
                label=label,
                image=None,
                host_id=host.id,
                build_id=None,
                state=lifecycle.step(lifecycle.MACHINE, MachineState.NEW, "build"),
                detail=None,
                created_at=self.draft.now,
                definition="" if pool is None else pool.definition,
                pinned=pinned,
            )
        )
        self.draft.tell("machine.building", f"{label} on {host.name}", machine_id=machine.id)

    def release(self, machine: Machine, why: str) -> None:
        """Delete a ready machine; its slot is free once it is gone."""
        self.ready[machine.label].remove(machine)
        _delete(self.draft, machine, why)


def _delete(draft: Draft, machine: Machine, why: str) -> None:
    state = lifecycle.step(lifecycle.MACHINE, machine.state, "delete")
    draft.put(replace(machine, state=state, detail=why))
    draft.tell("machine.deleting", why, machine_id=machine.id)


def _clear(draft: Draft) -> None:
    """Delete what could not be made, and the idle machines of hosts that are not to have any."""
    for host in draft.all(Host):
        if host.state is not HostState.CONNECTED:
            continue
        mine = [machine for machine in draft.all(Machine) if machine.host_id == host.id]
        for machine in mine:
            if machine.state is MachineState.ERROR:
                _delete(draft, machine, machine.detail or "")
            elif machine.part and _is_left(draft, machine):
                _delete(draft, machine, "its build has ended")
        idle = [m for m in mine if m.state in (MachineState.READY, MachineState.BUILDING)]
        if host.draining:
            for machine in idle:
                _delete(draft, machine, f"host {host.name} is being drained")
        elif hosts.is_suspect(host):
            used = any(machine.state is MachineState.USED for machine in mine)
            for machine in idle if used else idle[1:]:
                _delete(draft, machine, f"host {host.name} may have one machine, as a probe")


def _is_left(draft: Draft, machine: Machine) -> bool:
    """Whether a machine of several is used, but the build that it is for has ended."""
    build = draft.find(Build, machine.build_id)
    ended = build is None or build.state is BuildState.FINISHED
    return ended and machine.state is MachineState.USED


# What builds wait for.


def _hand_over(fleet: _Fleet, queued: Sequence[Build]) -> list[Build]:
    """Give ready machines to builds; those that got none.

    A host on probation gets a job that it has failed only when no other build wants the machine.
    """
    draft, room = fleet.draft, fleet.room
    waiting: list[Build] = []
    put_off: list[Build] = []
    for build in in_turn(draft, room, queued):
        if build.parts:
            if not _take_all(fleet, build):
                waiting.append(build)
            continue
        machine = _pick(fleet, build)
        if machine is None:
            waiting.append(build)
        elif _is_last_resort(room, fleet.host(machine), build):
            put_off.append(build)
        else:
            _use(fleet, machine, build)
    for build in put_off:
        machine = _pick(fleet, build)
        if machine is None:
            waiting.append(build)
        else:
            _use(fleet, machine, build)
    return waiting


def _pick(fleet: _Fleet, build: Build) -> Machine | None:
    """The ready machine for the build, if it may have one now."""
    room, machines = fleet.room, _fitting(fleet, build)
    if not machines or room.in_the_way(build) is not None:
        return None
    if not room.has_been_lost(build):
        return machines[0]
    fit = [machine for machine in machines if room.may_go(fleet.host(machine), build)]
    return min(fit, key=lambda each: room.has_failed(fleet.host(each), build), default=None)


def _fitting(fleet: _Fleet, build: Build) -> list[Machine]:
    """The ready machines of the build's label, best first, and of its image if it asks for one."""
    ready = fleet.ready.get(build.label, [])
    if not build.image:
        return ready
    pinned = [machine for machine in fleet.pinned if machine.label == build.label]
    return [machine for machine in [*pinned, *ready] if machine.image == build.image]


def _is_last_resort(room: Room, host: Host, build: Build) -> bool:
    return hosts.is_suspect(host) and room.has_failed(host, build)


def _take_all(fleet: _Fleet, build: Build) -> bool:
    """Give the build all its machines if they are ready on one host; if not, keep those that are
    ready there from builds that are behind it."""
    room = fleet.room
    if room.in_the_way(build) is not None:
        return False
    host = together.choose(room, build, fleet.ready, fleet.building)
    if host is None:
        return False
    fleet.place[build.id] = host
    found = together.pick(build.labels, fleet.ready, host)
    there = [machine for machine in found if machine is not None]
    is_whole = len(there) == len(build.parts)
    if not is_whole and host.id in fleet.held:
        return False  # each would wait for the slots that the other's machines take
    for machine in there:
        fleet.ready[machine.label].remove(machine)
    if not is_whole:
        fleet.held.add(host.id)
        fleet.kept[build.id] = there
        return False
    for part, machine in zip(build.parts[1:], there[1:], strict=True):
        _mark_used(fleet, machine, build, part.name)
    _begin(fleet, there[0], build, build.parts[0].name)
    return True


def _make_all(fleet: _Fleet, build: Build) -> None:
    """See to it that the machines come that the build still lacks, all on its host."""
    room, host = fleet.room, fleet.place.get(build.id)
    if host is None or room.in_the_way(build) is not None:
        return
    missing = Counter(build.labels)
    missing.subtract(machine.label for machine in fleet.kept.get(build.id, ()))
    room.use(build)
    for label, count in sorted(missing.items()):
        for _ in range(count):
            _claim(fleet, label, [host])


def _use(fleet: _Fleet, machine: Machine, build: Build) -> None:
    (fleet.pinned if machine.pinned else fleet.ready[machine.label]).remove(machine)
    _begin(fleet, machine, build, "")


def _mark_used(fleet: _Fleet, machine: Machine, build: Build, part: str) -> None:
    state = lifecycle.step(lifecycle.MACHINE, machine.state, "use")
    now = fleet.draft.now
    fleet.draft.put(replace(machine, state=state, build_id=build.id, used_at=now, part=part))


def _begin(fleet: _Fleet, machine: Machine, build: Build, part: str) -> None:
    """The build starts on its own machine."""
    draft = fleet.draft
    fleet.room.use(build)
    _mark_used(fleet, machine, build, part)
    started = lifecycle.step(lifecycle.BUILD, build.state, "assign")
    draft.put(replace(build, state=started, machine_id=machine.id))
    draft.tell(
        "machine.used",
        f"by {build.job} on {fleet.host(machine).name}",
        project_id=build.project_id,
        item_id=build.item_id,
        build_id=build.id,
        machine_id=machine.id,
    )


def _make_for(fleet: _Fleet, waiting: Iterable[Build]) -> None:
    """See to it that a machine comes for each build, as far as there may be one."""
    draft, room = fleet.draft, fleet.room
    hopeless: set[str] = set()
    put_off: list[Build] = []
    for build in in_turn(draft, room, waiting):
        if build.parts:
            _make_all(fleet, build)
            continue
        if build.label in hopeless or not room.is_known(build.label):
            continue
        if room.in_the_way(build) is not None:
            continue
        if build.image and build.image != evidence.image_of(draft, build.label):
            if _claim_pinned(fleet, build):
                room.use(build)
            continue
        if not room.has_been_lost(build):
            if _claim(fleet, build.label, None):
                room.use(build)
            else:
                hopeless.add(build.label)
        elif not _claim_elsewhere(fleet, build):
            put_off.append(build)
    for build in put_off:
        fit = [h for h in room.hosts if room.has_failed(h, build) and room.may_go(h, build)]
        if room.in_the_way(build) is None and _claim(fleet, build.label, fit):
            room.use(build)


def _claim_pinned(fleet: _Fleet, build: Build) -> bool:
    """Whether a machine will come of an image that the label has not, or not any more."""
    room = fleet.room
    for machine in fleet.pinned_coming:
        if (machine.label, machine.pinned) == (build.label, build.image):
            fleet.pinned_coming.remove(machine)
            return True
    if room.is_full(build.label):
        return _make_way_elsewhere(fleet, build.label, set())
    host = room.most(build.label)
    if host is not None:
        fleet.order(build.label, host, pinned=build.image)
        return True
    asked = [host for host in room.hosts if room.is_asked(host, build.label)]
    return _make_way(fleet, build.label, asked)


def _claim_elsewhere(fleet: _Fleet, build: Build) -> bool:
    """Claim a machine for a build that a host has failed: on another, else on that one."""
    room = fleet.room
    others = [host for host in room.hosts if not room.has_failed(host, build)]
    again = [
        host
        for host in room.hosts
        if room.has_failed(host, build) and room.may_go(host, build) and not hosts.is_suspect(host)
    ]
    found = _claim(fleet, build.label, others) or _claim(fleet, build.label, again)
    if found:
        room.use(build)
    return found


def _claim(fleet: _Fleet, label: str, fit: Sequence[Host] | None) -> bool:
    """Whether a machine of the label will come for one build more, on one of these hosts if given:
    one that is being made, a new one, or a new one as soon as another is gone."""
    room = fleet.room
    numbers = None if fit is None else {host.id for host in fit}
    for machine in fleet.building[label]:
        if numbers is None or machine.host_id in numbers:
            fleet.building[label].remove(machine)
            return True
    if room.is_full(label):
        return fit is not None and _make_way_elsewhere(fleet, label, numbers or set())
    asked = (
        [host for host in room.hosts if room.is_asked(host, label)]
        if fit is None
        else [host for host in fit if room.is_asked(host, label)]
    )
    host = room.most(label) if fit is None else room.freest(asked)
    if host is not None:
        fleet.order(label, host)
        return True
    return _make_way(fleet, label, asked)


def _make_way(fleet: _Fleet, label: str, asked: Sequence[Host]) -> bool:
    """Whether a slot becomes free for the label, perhaps by deleting an idle machine."""
    room = fleet.room
    for host in asked:
        if room.coming[host.id] > 0:
            room.coming[host.id] -= 1
            room.of_label[label] += 1
            return True
    numbers = {host.id for host in asked}
    idle = [
        machine
        for other, machines in fleet.ready.items()
        for machine in machines
        if other != label and machine.host_id in numbers
    ]
    if not idle:
        return False
    cheapest = min(idle, key=lambda each: _cost(fleet, each))
    fleet.release(cheapest, f"makes way for a machine of {label}")
    room.of_label[label] += 1
    return True


def _make_way_elsewhere(fleet: _Fleet, label: str, here: set[int]) -> bool:
    """Whether an idle machine of the label on another host gives way to one on these hosts."""
    idle = [machine for machine in fleet.ready[label] if machine.host_id not in here]
    if idle:
        cheapest = min(idle, key=lambda each: _cost(fleet, each))
        fleet.release(cheapest, f"makes way for a machine of {label} on another host")
    return bool(idle)


def _cost(fleet: _Fleet, machine: Machine) -> tuple[bool, float, float]:
    """What it costs to do without a ready machine: whether its pool wants it, and a boot."""
    label = machine.label
    pool = fleet.room.pools.get(label)
    wanted = fleet.is_fresh(machine) and len(fleet.ready[label]) <= fleet.target(label)
    boot = 0.0 if pool is None or pool.boot is None else pool.boot
    return (wanted, boot, machine.ready_at or 0.0)


# What is kept ready.


def _keep_ready(fleet: _Fleet) -> None:
    """Fill every pool up to its target, one machine each in turn, and let go of what is too old or
    too much. What is to be replaced goes when its replacement is ready."""
    labels = sorted({*fleet.room.pools, *fleet.ready})
    missing = {label: _missing(fleet, label) for label in labels}
    while sum(_refill(fleet, label, missing) for label in labels):
        pass
    for label in labels:
        _let_go(fleet, label, missing[label])


def _missing(fleet: _Fleet, label: str) -> int:
    fresh = sum(fleet.is_fresh(machine) for machine in fleet.ready[label])
    return fleet.target(label) - fresh - len(fleet.building[label])


def _refill(fleet: _Fleet, label: str, missing: dict[str, int]) -> bool:
    """Whether another machine of the label was ordered for later."""
    room = fleet.room
    if missing[label] <= 0 or room.is_full(label):
        return False
    host = room.freest(_trusted(fleet, label))
    if host is None:
        return False
    fleet.order(label, host)
    missing[label] -= 1
    return True


def _trusted(fleet: _Fleet, label: str) -> list[Host]:
    """The hosts that may be asked for a machine that nobody waits for."""
    return [
        host
        for host in fleet.room.hosts
        if not hosts.is_suspect(host) and fleet.room.is_asked(host, label, wanted=False)
    ]


def _let_go(fleet: _Fleet, label: str, missing: int) -> None:
    target = fleet.target(label)
    fresh = [machine for machine in fleet.ready[label] if fleet.is_fresh(machine)]
    stale = [machine for machine in fleet.ready[label] if not fleet.is_fresh(machine)]
    if len(fresh) >= target:
        for machine in stale:
            fleet.release(machine, _why_stale(fleet, machine))
    elif missing > 0 and stale and _is_stuck(fleet, label, stale[0]):
        fleet.release(stale[0], _why_stale(fleet, stale[0]))
    before = fleet.draft.now - SURPLUS
    surplus = [each for each in fresh if each.ready_at is None or each.ready_at <= before]
    for machine in surplus[: max(0, len(fresh) - target)]:
        fleet.release(machine, "nobody waits for it")


def _is_stuck(fleet: _Fleet, label: str, stale: Machine) -> bool:
    """Whether the replacement has no room but that of the machine itself."""
    room = fleet.room
    asked = _trusted(fleet, label)
    if room.is_full(label):
        return bool(asked)
    return any(host.id == stale.host_id for host in asked) and not any(
        room.slots[host.id] > 0 or room.coming[host.id] > 0 for host in asked
    )


def _why_stale(fleet: _Fleet, machine: Machine) -> str:
    if fleet.is_current(machine):
        return "was ready for too long"
    pool = fleet.room.pools.get(machine.label)
    if pool is not None and not pool.definition:
        return f"{machine.label} is not in the configuration any more"
    return f"{machine.label} is another now"
