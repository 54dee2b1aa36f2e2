"""Which rows a decision reads: those that a fact concerns, and those that planning looks at."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from typing import assert_never

from cupel.core import alone, events, evidence, history
from cupel.core.cache import Cache, CacheState
from cupel.core.draft import Draft
from cupel.core.flake import Flake
from cupel.core.hold import Hold, HoldState
from cupel.core.key import combine
from cupel.core.model import (
    LIVE_ITEMS,
    Approval,
    Branch,
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Change,
    ChangeState,
    Evidence,
    History,
    Host,
    Item,
    ItemState,
    Machine,
    MachineState,
    PatchSet,
    Pipeline,
    Pool,
    Project,
    Queue,
    Row,
    Verdict,
)
from cupel.core.quarantine import Quarantine
from cupel.core.results import FailedTest, Results
from cupel.store.interface import Transaction

_LIVE = tuple(LIVE_ITEMS)
_UNFINISHED = tuple(state for state in BuildState if state is not BuildState.FINISHED)
_USEFUL = tuple(state for state in BuildsetState if state is not BuildsetState.SUPERSEDED)
_THERE_STILL = tuple(state for state in CacheState if state is not CacheState.GONE)
_THERE = tuple(state for state in MachineState if state is not MachineState.GONE)


async def everything_live(tx: Transaction) -> list[Row]:
    """All that planning looks at: what has not come to its end, and what that refers to."""
    items = await tx.select(Item, {"state": _LIVE})
    builds = await tx.select(Build, {"state": _UNFINISHED})
    where = {"item_id": {item.id for item in items}, "state": _USEFUL}
    buildsets = await tx.select(Buildset, where)
    present = {buildset.id for buildset in buildsets}
    present |= {item.buildset_id for item in items if item.buildset_id is not None}
    builds += await tx.select(Build, {"buildset_id": present, "state": (BuildState.FINISHED,)})
    present |= {build.buildset_id for build in builds}
    missing = present - {buildset.id for buildset in buildsets}
    buildsets += await tx.select(Buildset, {"id": missing}) if missing else []
    known = {item.id for item in items}
    items += await tx.select(Item, {"id": {b.item_id for b in buildsets} - known})
    machines = await tx.select(Machine, {"state": _THERE})
    past = {b.machine_id for b in builds if b.machine_id is not None} - {m.id for m in machines}
    machines += await tx.select(Machine, {"id": past})
    builds += await _failed_before(tx, items, builds)
    hosts = await tx.select(Host)
    failed = {build.id for build in _failed_where_tests_run_alone(builds, buildsets)}
    return [
        *(await tx.select(Results, {"id": failed}) if failed else ()),
        *(await tx.select(FailedTest, {"build_id": failed}) if failed else ()),
        *await _evidence(tx, [*items, *buildsets, *builds, *hosts]),
        *items,
        *buildsets,
        *builds,
        *machines,
        *hosts,
        *await _caches(tx),
        *await tx.select(Pool),
        *await tx.select(Quarantine, {"ended_at": None}),
        *await tx.select(Hold, {"state": (HoldState.OPEN, HoldState.FULL)}),
        *await tx.select(Hold, {"id": {m.hold_id for m in machines} - {None}}),
        *await tx.select(Queue),
        *await tx.select(Project),
        *await tx.select(Branch),
        *await _changes_of(tx, items),
        *await _past(tx, items),
    ]


async def _caches(tx: Transaction) -> list[Row]:
    """All caches that there are; of those that nobody may have yet, what decides on them."""
    caches = await tx.select(Cache, {"state": _THERE_STILL})
    candidates = [each for each in caches if each.state is CacheState.CANDIDATE]
    if not candidates:
        return list(caches)
    items = await tx.select(Item, {"id": {each.item_id for each in candidates}})
    changes = {item.change_id for item in items}
    landed = await tx.select(Item, {"change_id": changes, "state": (ItemState.LANDED,)})
    states = {each.buildset_id for each in candidates} | {each.buildset_id for each in landed}
    return [
        *caches,
        *items,
        *landed,
        *await tx.select(Buildset, {"id": states}),
        *await tx.select(Change, {"id": changes}),
    ]


def _failed_where_tests_run_alone(
    builds: Iterable[Build], buildsets: Iterable[Buildset]
) -> Iterable[Build]:
    """The failures of which the failed tests may be run again alone, or are."""
    offering = {(b.id, job.name) for b in buildsets for job in b.jobs if alone.offers(job)}
    for build in builds:
        if build.verdict is Verdict.FAILURE and (build.buildset_id, build.job) in offering:
            yield build


async def _failed_before(
    tx: Transaction, items: Sequence[Item], known: Sequence[Build]
) -> list[Build]:
    """Failures in the gate in states that were given up, which are not looked at themselves."""
    gated = {i.id for i in items if i.pipeline is Pipeline.GATE and i.state in LIVE_ITEMS}
    there = {build.id for build in known}
    found = await tx.select(Build, {"item_id": gated, "verdict": (Verdict.FAILURE,)})
    return [build for build in found if build.id not in there]


async def _past(tx: Transaction, items: Sequence[Item]) -> list[Row]:
    """What was seen of the projects of live items, and earlier items of the changes in the gate."""
    live = [item for item in items if item.state in LIVE_ITEMS]
    gated = {item.change_id for item in live if item.pipeline is Pipeline.GATE}
    return [
        *await tx.select(History, {"project_id": {item.project_id for item in live}}),
        *await tx.select(Item, {"change_id": gated - {None}}),
    ]


async def _evidence(tx: Transaction, live: Sequence[Row]) -> list[Row]:
    """The passes that a job which has not begun would reuse, and those that an audit may refute."""
    audited = [row for row in live if isinstance(row, Build) and row.pipeline is Pipeline.PERIODIC]
    found = await _passes(tx, {build.key for build in audited if build.key is not None})
    past = {row.buildset_id for row in found if isinstance(row, Build)}
    found += await tx.select(Buildset, {"id": past}) if past else []
    scratch = Draft(evidence.undecided(live), now=0.0, ids=itertools.count())
    known: set[str] = set()
    while keys := evidence.sought(scratch) - known:
        known |= keys
        passes = await _passes(tx, keys)
        found += passes
        for row in passes:
            scratch.put(row)
    return found


async def _passes(tx: Transaction, keys: Collection[str]) -> list[Row]:
    """The evidence with these keys, with the builds that passed and their items."""
    passes = await tx.select(Evidence, {"key": keys}) if keys else []
    if not passes:
        return []
    builds = await tx.select(Build, {"id": {each.build_id for each in passes}})
    items = await tx.select(Item, {"id": {build.item_id for build in builds}})
    return [*passes, *builds, *items]


async def _changes_of(tx: Transaction, items: Sequence[Item]) -> list[Row]:
    """The changes of items, those that want to land, and what open ones of them need, downwards.

    Below a change that has ended nothing is looked at: history is not walked.
    """
    found = await tx.select(Change, {"wants_land": True, "state": (ChangeState.OPEN,)})
    known = {change.id: change for change in found}
    missing = {item.change_id for item in items if item.change_id is not None} - set(known)
    known |= {change.id: change for change in await tx.select(Change, {"id": missing})}
    patch_sets = await _with_needs(tx, known)
    approvals = await tx.select(Approval, {"change_id": set(known), "withdrawn_at": None})
    return [*known.values(), *patch_sets, *approvals]


def _needed(versions: Iterable[PatchSet]) -> set[int]:
    """The changes that any of these patch sets needs."""
    named = (number for v in versions for number in (v.needs_change, *v.depends_on))
    return {number for number in named if number is not None}


async def concerning(tx: Transaction, facts: Iterable[events.Fact]) -> list[Row]:
    """The rows that recording these facts reads."""
    rows: dict[tuple[type[Row], int], Row] = {}
    for fact in facts:
        for row in await _concerning(tx, fact):
            rows[type(row), row.id] = row
    return list(rows.values())


async def _concerning(  # noqa: C901 - one match over the union
    tx: Transaction, fact: events.Fact
) -> Sequence[Row]:
    match fact:
        case events.ProjectAdded() | events.QueueSet():
            return await tx.select(Queue)
        case events.PolicySet():
            return await tx.select(Project, {"id": [fact.project_id]})
        case events.ChangePushed():
            needed = _needed([fact.patch_set])
            return await _in_line(tx, [fact.change.project_id], {fact.change.id, *needed})
        case events.PromoteAsked():
            changes = await tx.select(Change, {"id": fact.change_ids})
            projects = {change.project_id for change in changes}
            return await _in_line(tx, projects, {change.id for change in changes})
        case (
            events.Approved()
            | events.ApprovalWithdrawn()
            | events.LandAsked()
            | events.DequeueAsked()
            | events.UrgencySet()
            | events.Abandoned()
        ):
            change = await tx.get(Change, fact.change_id)
            if change is None:
                return ()
            return await _in_line(tx, [change.project_id], {change.id})
        case events.QuarantineAdded():
            return await tx.select(Quarantine, {"project_id": fact.project_id, "ended_at": None})
        case events.QuarantineRemoved():
            return await tx.select(Quarantine, {"id": [fact.quarantine_id]})
        case events.RetryAsked():
            return await _to_retry(tx, fact.item_id)
        case events.HeadSeen():
            where = {"project_id": fact.project_id, "name": fact.branch}
            return await tx.select(Branch, where)
        case events.StatePrepared() | events.StateConflicted() | events.StateMisconfigured():
            buildset = await tx.get(Buildset, fact.buildset_id)
            if buildset is None:
                return ()
            return [buildset, *await tx.select(Item, {"id": [buildset.item_id]})]
        case events.Landed() | events.LandingRefused():
            return await _landing(tx, fact.item_ids)
        case events.HostConnected():
            return [
                *await _on_host(tx, fact.name),
                *await tx.select(Machine, {"id": fact.machines}),
            ]
        case events.HostLost() | events.HostForgotten():
            return await _on_host(tx, fact.name)
        case events.HostSeen() | events.HostDrainSet() | events.HostReleased():
            return await tx.select(Host, {"name": fact.name})
        case events.PoolsSet():
            return await tx.select(Pool)
        case events.BuildFinished():
            rows = await _on_machines(tx, [fact.machine_id])
            caches = await _caches_on(tx, rows) if fact.caches else []
            known = [*await _proof(tx, rows), *await _attempts(tx, rows)]
            return [
                *caches,
                *known,
                *await _holds(tx, rows),
                *(await _tests(tx, known) if fact.findings is not None else ()),
            ]
        case events.PassOffered():
            return await offered_rows(tx, fact)
        case events.CachesGone():
            hosts = await tx.select(Host, {"name": fact.host})
            return [*hosts, *await _caches_on(tx, hosts)]
        case events.CachesClearAsked():
            where = {"project_id": fact.project_id, "state": _THERE_STILL}
            return await tx.select(Cache, where)
        case events.HoldAsked():
            return await tx.select(Machine, {"state": (MachineState.HELD,)})
        case events.HoldReleased():
            return await tx.select(Hold, {"id": [fact.hold_id]})
        case events.VisitBegan() | events.VisitEnded():
            rows = await _on_machines(tx, [fact.machine_id])
            is_held = any(isinstance(row, Hold) for row in rows)
            where = {"state": (MachineState.HELD,)}
            return [*rows, *await tx.select(Machine, where)] if is_held else rows
        case events.MachineGone():
            rows = await _on_machines(tx, [fact.machine_id])
            return [*rows, *await _attempts(tx, rows), *await _whose_fault(tx, rows)]
        case events.MachineFailed():
            rows = await _on_machines(tx, [fact.machine_id])
            return [*rows, *await _whose_fault(tx, rows)]
        case events.MachineReady():
            return [*await _on_machines(tx, [fact.machine_id]), *await tx.select(Pool)]
        case events.StepsChanged() | events.MachineTold() | events.MachineDeleteAsked():
            return await _on_machines(tx, [fact.machine_id])
        case _:
            assert_never(fact)


async def offered_rows(tx: Transaction, fact: events.PassOffered) -> list[Row]:
    """What decides on a pass that is offered: images, passes of its key, and who waits for one."""
    key = combine(fact.key, fact.image, ())
    waiting = await tx.select(Build, {"key": [key], "state": (BuildState.QUEUED,)})
    return [
        *await tx.select(Host),
        *await tx.select(Evidence, {"key": [key]}),
        *waiting,
        *await tx.select(Buildset, {"id": {build.buildset_id for build in waiting}}),
        *await tx.select(Item, {"id": {build.item_id for build in waiting}}),
    ]


async def last_run(tx: Transaction, change_id: int) -> Item | None:
    """What a retry of the change is about: where it was last put, audits aside."""
    items = await tx.select(Item, {"change_id": change_id}, descending=True)
    return next((each for each in items if each.pipeline is not Pipeline.PERIODIC), None)


async def to_retry(tx: Transaction, item_id: int) -> Draft:
    """What says whether an item may be run again (`retry.refusal`)."""
    return Draft(await _to_retry(tx, item_id), now=0.0, ids=iter(()))


async def _to_retry(tx: Transaction, item_id: int) -> list[Row]:
    items = await tx.select(Item, {"id": [item_id]})
    changes = {item.change_id for item in items if item.change_id is not None}
    state = {item.buildset_id for item in items}
    builds = await tx.select(Build, {"buildset_id": state})
    machines = {build.machine_id for build in builds} - {None}
    return [
        *items,
        *builds,
        *await tx.select(Machine, {"id": machines}),
        *await tx.select(Host),
        *await _in_line(tx, {item.project_id for item in items}, changes),
        *await tx.select(Buildset, {"id": state}),
    ]


async def _in_line(tx: Transaction, project_ids: Iterable[int], ids: set[int]) -> list[Row]:
    """These changes and all open ones of the queues of these projects, with what decides on their
    way into the gate.
    """
    projects = await tx.select(Project)
    queues = {project.queue_id for project in projects if project.id in set(project_ids)}
    where = {
        "project_id": {project.id for project in projects if project.queue_id in queues},
        "state": (ChangeState.OPEN,),
    }
    found = {change.id: change for change in await tx.select(Change, where)}
    found |= {change.id: change for change in await tx.select(Change, {"id": ids - set(found)})}
    patch_sets = await _with_needs(tx, found)
    return [
        *found.values(),
        *patch_sets,
        *await tx.select(Approval, {"change_id": set(found)}),
        *await tx.select(Item, {"change_id": set(found), "state": _LIVE}),
        *projects,
        *await tx.select(Queue),
    ]


async def with_needs(tx: Transaction, changes: Iterable[Change]) -> Draft:
    """These changes and all that they need, with what decides on their way into the gate."""
    found = {change.id: change for change in changes}
    patch_sets = await _with_needs(tx, found)
    rows: list[Row] = [
        *found.values(),
        *patch_sets,
        *await tx.select(Approval, {"change_id": set(found)}),
        *await tx.select(Item, {"change_id": set(found), "state": _LIVE}),
        *await tx.select(Project),
        *await tx.select(Queue),
    ]
    return Draft(rows, now=0.0, ids=iter(()))


async def _with_needs(tx: Transaction, found: dict[int, Change]) -> list[PatchSet]:
    """The patch sets of these changes and of what open ones need, which joins `found`."""
    patch_sets: list[PatchSet] = []
    newest = list(found.values())
    while newest:
        versions = await tx.select(PatchSet, {"change_id": {change.id for change in newest}})
        patch_sets += versions
        open_ones = {change.id for change in newest if change.state is ChangeState.OPEN}
        missing = _needed(v for v in versions if v.change_id in open_ones) - set(found)
        newest = await tx.select(Change, {"id": missing}) if missing else []
        found |= {change.id: change for change in newest}
    return patch_sets


async def _landing(tx: Transaction, item_ids: Sequence[int]) -> list[Row]:
    items = [each for each in await tx.select(Item, {"id": item_ids}) if each.buildset_id]
    buildsets = await tx.select(Buildset, {"item_id": item_ids})
    buildset_ids = {buildset.id for buildset in buildsets}
    projects = {item.project_id for item in items}
    branches = {item.branch for item in items}
    builds = await tx.select(Build, {"buildset_id": buildset_ids})
    ran = {build.reused_from or build.alone or build.id for build in builds}
    return [
        *await tx.select(Results, {"id": ran}),
        *items,
        *await tx.select(Queue),
        *await tx.select(Project, {"id": projects}),
        *await tx.select(Branch, {"project_id": projects, "name": branches}),
        *await tx.select(Change, {"id": {item.change_id for item in items}}),
        *buildsets,
        *builds,
        *await tx.select(Item, {"change_id": {item.change_id for item in items}}),
        *await tx.select(History, {"project_id": projects}),
    ]


async def _on_host(tx: Transaction, name: str) -> list[Row]:
    hosts = await tx.select(Host, {"name": name})
    where = {"host_id": [host.id for host in hosts], "state": _THERE}
    machines = await tx.select(Machine, where)
    found = await _on_machines(tx, [machine.id for machine in machines])
    return [*hosts, *found, *await _caches_on(tx, hosts)]


async def _caches_on(tx: Transaction, rows: Iterable[Row]) -> list[Cache]:
    """The caches that there are on these hosts."""
    hosts = {row.id for row in rows if isinstance(row, Host)}
    return await tx.select(Cache, {"host_id": hosts, "state": _THERE_STILL})


async def _on_machines(tx: Transaction, ids: Sequence[int]) -> list[Row]:
    machines = await tx.select(Machine, {"id": ids})
    builds = await tx.select(Build, {"machine_id": ids, "state": _UNFINISHED})
    builds += await _of_parts(tx, machines)
    several = {build.id for build in builds if build.parts}
    if several:
        where = {"state": (MachineState.USED,), "build_id": several}
        machines = [*machines, *await tx.select(Machine, where)]
    holds = {machine.hold_id for machine in machines} - {None}
    return [
        *machines,
        *await tx.select(Host, {"id": {machine.host_id for machine in machines}}),
        *builds,
        *(await tx.select(Hold, {"id": holds}) if holds else ()),
    ]


async def _holds(tx: Transaction, rows: Iterable[Row]) -> list[Row]:
    """Of builds that have ended: who wants their machines kept, and what is held already."""
    builds = [row for row in rows if isinstance(row, Build)]
    if not builds:
        return []
    items = await tx.select(Item, {"id": {build.item_id for build in builds}})
    changes = {item.change_id for item in items} - {None}
    return [
        *items,
        *await tx.select(Change, {"id": changes}),
        *await tx.select(Hold, {"state": (HoldState.OPEN,)}),
        *await tx.select(Machine, {"state": (MachineState.HELD,)}),
        *await tx.select(Pool),
    ]


async def _of_parts(tx: Transaction, machines: Iterable[Machine]) -> list[Build]:
    """The builds that have these machines beside their own ones."""
    ids = {machine.build_id for machine in machines if machine.part}
    return await tx.select(Build, {"id": ids, "state": _UNFINISHED}) if ids else []


async def _tests(tx: Transaction, known: Sequence[Row]) -> list[Row]:
    """What the tests said of builds that have asked the same as those which end now."""
    ending = [r for r in known if isinstance(r, Build) and r.state is not BuildState.FINISHED]
    scratch = Draft(known, now=0.0, ids=itertools.count())
    keys = {evidence.proved_key(scratch, build) for build in ending} - {None}
    jobs = {build.job for build in ending}
    same = await tx.select(Build, {"key": keys, "job": jobs}) if keys else []
    where = {"buildset_id": {build.buildset_id for build in ending}, "job": jobs}
    same += await tx.select(Build, where)
    done = [build for build in same if build.state is BuildState.FINISHED]
    left = {build.id for build in done}
    projects = {build.project_id for build in ending}
    return [
        *done,
        *await tx.select(Results, {"id": left}),
        *await tx.select(FailedTest, {"build_id": left}),
        *await tx.select(Flake, {"project_id": projects, "job": jobs}),
        *await tx.select(Quarantine, {"project_id": projects, "ended_at": None}),
    ]


async def _whose_fault(tx: Transaction, rows: Iterable[Row]) -> list[Row]:
    """Of machines that could not be made: who waits for such, and how other hosts fare."""
    made = (MachineState.NEW, MachineState.BUILDING)
    labels = {row.label for row in rows if isinstance(row, Machine) and row.state in made}
    if not labels:
        return []
    queued = await tx.select(Build, {"state": (BuildState.QUEUED,)})
    return [
        *await tx.select(Host),
        *(build for build in queued if labels.intersection(build.labels)),
    ]


async def _attempts(tx: Transaction, rows: Iterable[Row]) -> list[Row]:
    """How the jobs of these builds fared before: on the same states, and all in all."""
    builds = [row for row in rows if isinstance(row, Build)]
    if not builds:
        return []
    jobs = {build.job for build in builds}
    where = {"buildset_id": {build.buildset_id for build in builds}, "job": jobs}
    earlier = await tx.select(Build, where)
    items = {build.item_id for build in builds}
    keys = {build.key for build in builds if build.key is not None}
    if keys:
        earlier += await tx.select(Build, {"key": keys, "item_id": items, "job": jobs})
    machines = await tx.select(Machine, {"id": {build.machine_id for build in earlier}})
    subjects = {
        "project_id": {build.project_id for build in builds},
        "subject": {history.of_job(job) for job in jobs},
    }
    return [
        *earlier,
        *machines,
        *(await tx.select(Buildset, {"item_id": items}) if keys else ()),
        *await tx.select(Host, {"id": {machine.host_id for machine in machines}}),
        *await tx.select(History, subjects),
    ]


async def _proof(tx: Transaction, rows: list[Row]) -> list[Row]:
    """These rows of a build that has ended, with what its verdict depended on, and what waits
    for a machine to ask the same."""
    builds = [row for row in rows if isinstance(row, Build)]
    states = {build.buildset_id for build in builds}
    if not states:
        return rows
    rows = [
        *await tx.select(Build, {"buildset_id": states, "verdict": Verdict.SUCCESS}),
        *await tx.select(Buildset, {"id": states}),
        *rows,
    ]
    scratch = Draft(rows, now=0.0, ids=itertools.count())
    keys = {evidence.proved_key(scratch, build) for build in builds} - {None}
    if not keys:
        return rows
    waiting = await tx.select(Build, {"key": keys, "state": (BuildState.QUEUED,)})
    return [
        *await tx.select(Item, {"id": {build.item_id for build in [*builds, *waiting]}}),
        *await tx.select(Evidence, {"key": keys}),
        *waiting,
        *rows,
    ]
