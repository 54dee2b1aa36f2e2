"""What always holds, whatever happened: checked after every transaction of every simulation.

Each check says in words what is wrong; nothing wrong is an empty list. `changes` looks at what one
transaction did, `plan` at the rows after planning, `rest` at the rows when nothing is under way.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cupel.core import actions, admission, attempts, caching, demand, intents, lifecycle, together
from cupel.core import host as hosts
from cupel.core.cache import Cache, CacheState
from cupel.core.draft import Draft
from cupel.core.hold import Hold, HoldState
from cupel.core.model import (
    LIVE_ITEMS,
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Change,
    ChangeState,
    Evidence,
    Host,
    HostState,
    Item,
    ItemState,
    Landing,
    Machine,
    MachineState,
    Pipeline,
    Pool,
    Purpose,
    Queue,
    Row,
    Verdict,
)
from cupel.core.room import Room

_TABLES: Mapping[type[Any], Mapping[tuple[Any, str], Any]] = {
    Change: lifecycle.CHANGE,
    Item: lifecycle.ITEM,
    Buildset: lifecycle.BUILDSET,
    Build: lifecycle.BUILD,
    Machine: lifecycle.MACHINE,
    Cache: lifecycle.CACHE,
    Hold: lifecycle.HOLD,
}
_BEGINNINGS = frozenset(
    {
        ChangeState.OPEN,
        ItemState.LIVE,
        BuildsetState.PREPARING,
        BuildState.QUEUED,
        MachineState.NEW,
        CacheState.CANDIDATE,
        CacheState.READY,
        CacheState.DROPPING,
        HoldState.OPEN,
    }
)
_ON_A_MACHINE = frozenset({BuildState.STARTING, BuildState.RUNNING, BuildState.CANCELLING})
_WANTED = frozenset({BuildState.QUEUED, BuildState.STARTING, BuildState.RUNNING})
_UNUSED = frozenset({MachineState.BUILDING, MachineState.READY, MachineState.ERROR})


def compare(before: Draft, after: Draft) -> Iterator[tuple[Row | None, Row]]:
    """Every row of `after` that `before` had not, or had in another version."""
    for row in after.changed:
        old = before.find(type(row), row.id)
        if old != row:
            yield old, row


def changes(made: Iterable[tuple[Row | None, Row]], after: Draft) -> list[str]:
    """What is wrong with the changes of one transaction that led to the rows of `after`."""
    return [wrong for old, new in made for wrong in _change(old, new, after)]


def plan(draft: Draft) -> list[str]:
    """What is wrong with the rows just after planning."""
    checks = (
        _queues,
        _items,
        _nothing_lost,
        _builds,
        _machines,
        _all_or_none,
        _none_waits_in_vain,
        _drained,
        _held,
    )
    return [wrong for check in checks for wrong in check(draft)]


def _held(draft: Draft) -> list[str]:
    """A held machine has an end and nothing to do; every hold ends."""
    wrong = []
    for machine in draft.all(Machine):
        if machine.state is not MachineState.HELD:
            continue
        hold = draft.find(Hold, machine.hold_id)
        build = draft.find(Build, machine.build_id)
        if hold is None or hold.state is HoldState.OVER:
            wrong.append(f"{_name(machine)} is held for nobody")
        if machine.held_until is None or machine.held_until <= draft.now:
            wrong.append(f"{_name(machine)} is held beyond its time")
        if build is not None and build.state is not BuildState.FINISHED:
            wrong.append(f"{_name(machine)} is held while build {build.id} is {build.state}")
    for hold in draft.all(Hold):
        mine = any(
            machine.hold_id == hold.id and machine.state is MachineState.HELD
            for machine in draft.all(Machine)
        )
        if hold.state is not HoldState.OVER and not mine and draft.now >= hold.expires_at:
            wrong.append(f"{_name(hold)} does not end")
    return wrong


def rest(draft: Draft) -> list[str]:
    """What is still there although nothing is under way: all of it is stuck."""
    stuck: list[Row] = [item for item in draft.all(Item) if item.state in LIVE_ITEMS]
    stuck += [build for build in draft.all(Build) if build.state is not BuildState.FINISHED]
    kept = Counter({pool.label: demand.target(pool, draft.now) for pool in draft.all(Pool)})
    for machine in draft.all(Machine):
        connected = draft.get(Host, machine.host_id).state is HostState.CONNECTED
        if machine.state is MachineState.GONE or not connected:
            continue
        if machine.state is MachineState.READY and kept[machine.label] > 0:
            kept[machine.label] -= 1
        else:
            stuck.append(machine)
    return [f"stuck: {_name(row)}" for row in stuck]


def _name(row: Row) -> str:
    state = getattr(row, "state", None)
    return f"{type(row).__name__} {row.id}" + (f" ({state})" if state is not None else "")


# One row's change.


def _change(old: Row | None, new: Row, after: Draft) -> Iterator[str]:
    yield from _by_the_table(old, new)
    match new:
        case Evidence():
            build = after.find(Build, new.build_id)
            if build is not None and (build.but_for or build.alone is not None):
                yield f"{_name(new)} is of {_name(build)}, which did not pass all its tests"
            if build is not None and new.offered != (build.offer is not None):
                yield f"{_name(new)} does not say whose word {_name(build)} is"
        case Item():
            yield from _item_changed(old, new, after)
        case Build():
            yield from _build_changed(old, new, after)
        case Machine():
            yield from _machine_changed(old, new, after)
        case Buildset() if isinstance(old, Buildset):
            yield from _buildset_changed(old, new)
        case Cache():
            yield from _cache_changed(old, new, after)
        case Buildset() if isinstance(old, Buildset) and old.onto != new.onto:
            yield f"{_name(new)} is proved on {new.onto}, which was {old.onto}"
        case _:
            pass


def _buildset_changed(old: Buildset, new: Buildset) -> Iterator[str]:
    """What is proved stays what it is, however often it is run."""
    if old.onto != new.onto:
        yield f"{_name(new)} is proved on {new.onto}, which was {old.onto}"
    if old.jobs and old.jobs != new.jobs:
        yield f"{_name(new)} has other jobs than were frozen"
    if old.tree not in (None, new.tree):
        yield f"{_name(new)} has tree {new.tree}, which was {old.tree}"


def _cache_changed(old: Row | None, new: Cache, after: Draft) -> Iterator[str]:
    """Nobody is given what a build saved whose change has not landed on the build's own state."""
    if new.state is not CacheState.READY or (isinstance(old, Cache) and old.state is new.state):
        return
    item, build = after.find(Item, new.item_id), after.find(Build, new.build_id)
    if build is not None and build.verdict is not Verdict.SUCCESS:
        yield f"{_name(new)} is of a build that did not pass"
    if item is None:
        yield f"{_name(new)} is of nothing that is known"
    elif item.pipeline not in caching.TRUSTED and not caching.has_landed(after, new, item):
        yield f"{_name(new)} is of a state that has not landed"


def _by_the_table(old: Row | None, new: Row) -> Iterator[str]:
    """A row goes from state to state by its table, perhaps several steps in one transaction."""
    table = _TABLES.get(type(new))
    if table is None:
        return
    state: enum.StrEnum = getattr(new, "state")  # noqa: B009 - not every row has one
    came_from = {getattr(old, "state")} if old is not None else _BEGINNINGS  # noqa: B009
    if state not in _reachable(table, came_from):
        yield f"{_name(new)} came from {_name(old) if old is not None else 'nothing'}"


def _reachable(table: Mapping[tuple[Any, str], Any], start: Iterable[Any]) -> set[Any]:
    found = set(start)
    while more := {to for (at, _), to in table.items() if at in found} - found:
        found |= more
    return found


def _item_changed(old: Row | None, new: Item, after: Draft) -> Iterator[str]:
    was = old.state if isinstance(old, Item) else None
    if new.state is was:
        return
    if new.state is ItemState.LANDING:
        yield from _may_land(new, after)
    if new.state is ItemState.LANDED:
        yield from _has_landed(old, new, after)


def _may_land(item: Item, after: Draft) -> Iterator[str]:
    """The decision to land: approved, fit, and proved on the heads as last seen."""
    change = after.get(Change, item.change_id)
    if not admission.is_approved(after, change) or change.patch_set != item.patch_set:
        yield f"{_name(item)} lands without its approvals"
    if change.state is not ChangeState.OPEN:
        yield f"{_name(item)} lands although its {_name(change)}"
    if item.lands_with in (None, item.id):
        yield from _group_may_land(item, after)


def _group_may_land(last: Item, after: Draft) -> Iterator[str]:
    """Items that land together rest on each other, and hold what each of them needs."""
    [action] = [
        action
        for action in intents.outstanding(after)
        if isinstance(action, actions.Land) and action.steps[-1][1].id == last.id
    ]
    queue = after.queue(last.project_id)
    if queue.closed is not None:
        yield f"{_name(last)} lands although {queue.name} is closed"
    heads: dict[int, str | None] = {}
    numbers = {item.change_id for _, item, _ in action.steps}
    for project, item, present in action.steps:
        beneath = heads.get(project.id, after.branch(project.id, item.branch).head)
        if present.onto != beneath:
            yield f"{_name(item)} lands on {beneath} although it was proved on {present.onto}"
        if present.state is not BuildsetState.READY or present.tree is None:
            yield f"{_name(item)} lands unproved: {_name(present)}"
        heads[project.id] = present.commit
        for below in admission.needed(after, after.get(Change, item.change_id)):
            if below.id not in numbers:
                yield f"{_name(item)} lands before {_name(below)}, which it needs"
    yield from _group_is_proved(action, after, queue)


def _group_is_proved(action: actions.Land, after: Draft, queue: Queue) -> Iterator[str]:
    """Each item by itself, unless the queue lands sets or they need each other in a circle: then
    the last of each project."""
    change = after.get(Change, action.steps[0][1].change_id)
    together = admission.bundle(after, change) == {i.change_id for _, i, _ in action.steps}
    if queue.landing is Landing.SET or together:
        proved = {project.id: (item, state) for project, item, state in action.steps}
        checked = list(proved.values())
    else:
        checked = [(item, state) for _, item, state in action.steps]
    for item, state in checked:
        alike = [s for s in after.buildsets(item.id) if s.commit == state.commit]
        if not any(_has_passed(after, each) for each in alike):
            yield f"{_name(item)} lands although its jobs have not passed"


def _has_passed(after: Draft, state: Buildset) -> bool:
    return state.state is BuildsetState.READY and all(
        any(build.verdict is Verdict.SUCCESS for build in after.builds_of(state.id, job.name))
        for job in state.jobs
        if job.voting
    )


def _has_landed(old: Row | None, item: Item, after: Draft) -> Iterator[str]:
    present = after.get(Buildset, item.buildset_id)
    change = after.get(Change, item.change_id)
    if isinstance(old, Item) and old.buildset_id != item.buildset_id:
        yield f"{_name(item)} landed with another buildset than it was to land with"
    if change.state is not ChangeState.LANDED or change.landed_commit != present.commit:
        yield f"{_name(item)} landed, but its change says {change.landed_commit}"
    twins = [
        other
        for other in after.all(Item)
        if other.state is ItemState.LANDED and other.change_id == item.change_id
    ]
    if len(twins) > 1:
        yield f"{_name(change)} landed {len(twins)} times"


def _build_changed(old: Row | None, new: Build, after: Draft) -> Iterator[str]:
    if not isinstance(old, Build):
        yield from _is_the_next_attempt(new, after)
        return
    if old.state is BuildState.QUEUED and new.state is BuildState.STARTING:
        yield from _within_quota(new, after)
    if old.state is BuildState.FINISHED and old != new:
        yield f"{_name(new)} changed after its end"
    if old.machine_id is not None and old.machine_id != new.machine_id:
        yield f"{_name(new)} went from machine {old.machine_id} to {new.machine_id}"


def _is_the_next_attempt(new: Build, after: Draft) -> Iterator[str]:
    """Attempts are counted from one on, and none hides another."""
    alike = [build.attempt for build in after.builds_of(new.buildset_id, new.job)]
    if alike.count(new.attempt) > 1:
        yield f"{_name(new)} is a second attempt {new.attempt} at {new.job}"
    if new.alone is not None:
        yield from _runs_tests_alone(new, after)
    asked = new.purpose is Purpose.ASKED
    if asked and not attempts.was_asked(after.get(Buildset, new.buildset_id), new.job):
        yield f"{_name(new)} runs as if somebody had asked for it"


def _runs_tests_alone(new: Build, after: Draft) -> Iterator[str]:
    """Tests are run alone once, on the very state on which a build of the gate failed them."""
    first = after.get(Build, new.alone)
    same = (first.buildset_id, first.job) == (new.buildset_id, new.job)
    if not same or first.verdict is not Verdict.FAILURE or first.alone is not None:
        yield f"{_name(new)} runs alone what {_name(first)} did not fail"
    state = after.get(Buildset, new.buildset_id)
    others = attempts.counting(state, after.builds_of(new.buildset_id, new.job))
    if sum(build.alone is not None for build in others) > 1:
        yield f"{_name(new)} runs failed tests alone once more"


def _within_quota(new: Build, after: Draft) -> Iterator[str]:
    for pool in after.all(Pool):
        used = sum(
            build.labels.count(pool.label)
            for build in after.all(Build)
            if build.state in _ON_A_MACHINE and build.project_id == new.project_id
        )
        if pool.label in new.labels and pool.quota is not None and used > pool.quota:
            yield f"project {new.project_id} uses {used} machines of {pool.label}"


def _machine_changed(old: Row | None, new: Machine, after: Draft) -> Iterator[str]:
    if isinstance(old, Machine):
        if old.host_id != new.host_id or old.build_id not in (None, new.build_id):
            yield f"{_name(new)} was given away twice"
        build = after.find(Build, new.build_id)
        if build is not None and build.image not in ("", new.image):
            yield f"{_name(new)} is made of {new.image}, but {_name(build)} asks for {build.image}"
        if old.build_id != new.build_id and old.state is not MachineState.READY:
            yield f"{_name(new)} was given to build {new.build_id} when it was {old.state}"
        return
    if new.state is MachineState.BUILDING:
        yield from _fits(new, after)


def _fits(new: Machine, after: Draft) -> Iterator[str]:
    host = after.get(Host, new.host_id)
    there = [
        machine
        for machine in after.all(Machine)
        if machine.host_id == host.id and machine.state is not MachineState.GONE
    ]
    if len(there) > host.slots:
        yield f"{host.name} was given {len(there)} machines for {host.slots} slots"
    if not hosts.takes_more(host, after.now):
        yield f"{_name(new)} was asked of a host that takes no more"
    alike = [
        machine
        for machine in after.all(Machine)
        if machine.label == new.label
        and machine.state is not MachineState.GONE
        and after.get(Host, machine.host_id).state is HostState.CONNECTED
    ]
    for pool in after.all(Pool):
        if pool.label == new.label and pool.ceiling is not None and len(alike) > pool.ceiling:
            yield f"there are {len(alike)} machines of {pool.label}"


# The rows after planning.


def _queues(draft: Draft) -> Iterator[str]:
    lanes: dict[tuple[int, str], list[Item]] = {}
    for entry in draft.live_items(Pipeline.GATE):
        lanes.setdefault((draft.queue(entry.project_id).id, entry.branch), []).append(entry)
    for entries in lanes.values():
        yield from _in_order(draft, entries)
        yield from _rest_on_each_other(draft, entries)


def _in_order(draft: Draft, entries: list[Item]) -> Iterator[str]:
    """Nothing is ahead of what it needs, and one move of the branches is under way at a time."""
    behind = {entry.change_id for entry in entries}
    groups: set[int] = set()
    for entry in entries:
        behind.discard(entry.change_id)
        change = draft.get(Change, entry.change_id)
        circle = admission.bundle(draft, change)
        for below in admission.needed(draft, change):
            if below.id in behind and below.id not in circle:
                yield f"{_name(entry)} is ahead of what it needs"
        if entry.state is ItemState.LANDING:
            groups.add(entry.lands_with or entry.id)
    if len(groups) > 1:
        yield f"items land apart at the same time: {sorted(groups)}"


def _rest_on_each_other(draft: Draft, entries: list[Item]) -> Iterator[str]:
    """Each state that is there stands on the head, or on another that is there."""
    states = [
        (entry, state)
        for entry in entries
        for state in draft.buildsets(entry.id)
        if state.state is not BuildsetState.SUPERSEDED and entry.state is not ItemState.LANDING
    ]
    grounds: set[tuple[int, str | None]] = {
        (entry.project_id, draft.branch(entry.project_id, entry.branch).head) for entry in entries
    }
    grounds |= {(entry.project_id, state.commit) for entry, state in states}
    for entry in entries:
        if entry.state is ItemState.LANDING:
            grounds.add((entry.project_id, draft.get(Buildset, entry.buildset_id).commit))
    for entry, state in states:
        adrift = any(b.state in _ON_A_MACHINE and b.key for b in draft.builds(state.id))
        if (entry.project_id, state.onto) not in grounds and not adrift:
            yield f"{_name(entry)} is proved on {state.onto}, which will not come"


def _items(draft: Draft) -> Iterator[str]:
    live: Counter[tuple[Pipeline, int]] = Counter()
    for item in draft.all(Item):
        ended = item.state not in LIVE_ITEMS
        if ended != (item.finished_at is not None):
            yield f"{_name(item)} finished at {item.finished_at}"
        if item.state in (ItemState.REJECTED, ItemState.REMOVED) and item.reason is None:
            yield f"{_name(item)} left without a reason"
        if not ended and item.change_id is not None:
            live[item.pipeline, item.change_id] += 1
    for (pipeline, change_id), count in live.items():
        if count > 1:
            yield f"change {change_id} is in {pipeline} {count} times"


def _nothing_lost(draft: Draft) -> Iterator[str]:
    """Whoever may enter the gate is in it."""
    for change in draft.all(Change):
        if not admission.may_enter(draft, change):
            if draft.gate_item(change.id) is None:
                continue
            entry = draft.gate_item(change.id)
            if entry is not None and entry.state is not ItemState.LANDING:
                yield f"{_name(change)} is in the gate and may not be"
        elif draft.gate_item(change.id) is None and admission.way_in(draft, change) is not None:
            yield f"{_name(change)} waits at the gate and is not let in"


def _builds(draft: Draft) -> Iterator[str]:
    unfinished: Counter[tuple[int, str]] = Counter()
    for build in draft.all(Build):
        done = build.state is BuildState.FINISHED
        if done != (build.verdict is not None) or done != (build.finished_at is not None):
            yield f"{_name(build)} has verdict {build.verdict}, ended at {build.finished_at}"
        if not done:
            unfinished[build.buildset_id, build.job] += 1
            yield from _wanted(draft, build)
        if build.state in _ON_A_MACHINE and build.machine_id is None:
            yield f"{_name(build)} has no machine"
    for (buildset_id, job), count in unfinished.items():
        if count > 1:
            yield f"{job} of buildset {buildset_id} runs {count} times at once"


def _wanted(draft: Draft, build: Build) -> Iterator[str]:
    """What runs on is of use to somebody."""
    if build.state not in _WANTED:
        return
    item = draft.get(Item, build.item_id)
    if draft.get(Buildset, build.buildset_id).state is not BuildsetState.READY:
        yield f"{_name(build)} is of a buildset that is not ready"
    elif item.state not in LIVE_ITEMS and (item.state is not ItemState.LANDED or build.voting):
        yield f"{_name(build)} runs for {_name(item)}"


def _machines(draft: Draft) -> Iterator[str]:
    builds = Counter(b.machine_id for b in draft.all(Build) if b.machine_id is not None)
    for machine_id, count in builds.items():
        if count > 1:
            yield f"machine {machine_id} was used by {count} builds"
    for machine in draft.all(Machine):
        if machine.state in _UNUSED and machine.build_id is not None:
            yield f"{_name(machine)} is build {machine.build_id}'s already"
        if machine.state is MachineState.USED:
            yield from _is_in_use(draft, machine)


def _is_in_use(draft: Draft, machine: Machine) -> Iterator[str]:
    build = draft.find(Build, machine.build_id)
    if build is None:
        yield f"{_name(machine)} is used by nobody"
    elif build.state is BuildState.FINISHED or (
        build.machine_id != machine.id and machine.part not in _names_beside(build)
    ):
        yield f"{_name(machine)} is kept for nothing: {_name(build)}"


def _names_beside(build: Build) -> set[str]:
    return {part.name for part in build.parts[1:]}


def _all_or_none(draft: Draft) -> Iterator[str]:
    """A build that has a machine has all of its machines, on one host."""
    for build in draft.all(Build):
        if not build.parts or build.state not in _ON_A_MACHINE:
            continue
        mine = [m for m in draft.all(Machine) if m.build_id == build.id]
        had = sorted((m.part, m.label) for m in mine if m.state is MachineState.USED)
        if had != sorted((part.name, part.label) for part in build.parts):
            yield f"{_name(build)} has the machines {had}"
        if len({machine.host_id for machine in mine}) > 1:
            yield f"{_name(build)} has machines on several hosts"


def _none_waits_in_vain(draft: Draft) -> Iterator[str]:
    """After planning, no machine stands ready that a queued build may use."""
    room = Room(draft)
    queued = [build for build in draft.all(Build) if build.state is BuildState.QUEUED]
    several = [b for b in queued if b.parts and room.in_the_way(b) is None]
    yield from _waits_beside_all(room, several)
    for machine in draft.all(Machine):
        host = draft.get(Host, machine.host_id)
        if machine.state is not MachineState.READY or not hosts.takes_more(host, draft.now):
            continue
        if any(machine.label in build.labels for build in several):
            continue  # it may be kept for one of these
        for build in draft.all(Build):
            if build.state is not BuildState.QUEUED or build.label != machine.label:
                continue
            if machine.image != build.image if build.image else machine.pinned:
                continue  # it asks for another image, or the machine is for who asks for that
            if room.may_go(host, build) and room.in_the_way(build) is None:
                yield f"{_name(build)} waits beside {_name(machine)}"


def _waits_beside_all(room: Room, several: list[Build]) -> Iterator[str]:
    """The only build that needs several machines does not wait where all of them are ready."""
    ready: dict[str, list[Machine]] = {}
    for machine in room.there:
        if machine.state is MachineState.READY and not machine.pinned:
            ready.setdefault(machine.label, []).append(machine)
    for build in several if len(several) == 1 else ():
        for host in together.usable(room, build):
            if all(together.pick(build.labels, ready, host)):
                yield f"{_name(build)} waits beside all its machines on {host.name}"


def _drained(draft: Draft) -> Iterator[str]:
    for machine in draft.all(Machine):
        host = draft.get(Host, machine.host_id)
        idle = machine.state in (MachineState.BUILDING, MachineState.READY)
        if host.draining and host.state is HostState.CONNECTED and idle:
            yield f"{_name(machine)} is kept on {host.name}, which is being drained"
