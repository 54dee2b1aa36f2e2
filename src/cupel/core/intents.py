"""What the rows ask of the world. Derived, never stored: the rows are the outbox."""

from __future__ import annotations

from collections.abc import Iterator

from cupel.core import alone, caching
from cupel.core.actions import (
    Action,
    CancelBuild,
    DestroyMachine,
    DropCache,
    KeepMachine,
    Land,
    MakeMachine,
    PrepareState,
    RunBuild,
)
from cupel.core.cache import Cache, CacheState
from cupel.core.draft import Draft
from cupel.core.model import (
    LIVE_ITEMS,
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Host,
    HostState,
    Item,
    ItemState,
    Machine,
    MachineState,
    Project,
    Verdict,
)


def outstanding(draft: Draft) -> list[Action]:
    """Every action whose row still waits for it; each has a key that says so."""
    return [*_of_items(draft), *_of_machines(draft), *_of_caches(draft)]


def _of_items(draft: Draft) -> Iterator[Action]:
    landing: dict[int, list[Item]] = {}
    for item in draft.all(Item):
        if item.state is ItemState.LANDING:
            landing.setdefault(item.lands_with or item.id, []).append(item)
    for group in landing.values():
        yield Land(steps=tuple(_steps(draft, group)))
    for buildset in draft.all(Buildset):
        found = draft.find(Item, buildset.item_id)
        if buildset.state is not BuildsetState.PREPARING or found is None:
            continue
        if found.state in LIVE_ITEMS:
            yield PrepareState(
                project=draft.get(Project, found.project_id),
                item=found,
                buildset=buildset,
                beside=_beside(draft, buildset),
            )


def _beside(draft: Draft, buildset: Buildset) -> tuple[tuple[Project, str], ...]:
    return tuple((draft.get(Project, number), commit) for number, commit in buildset.beside)


def _steps(draft: Draft, group: list[Item]) -> Iterator[tuple[Project, Item, Buildset]]:
    """Items that land together, each on the one beneath it in its project; the one that they are
    named by is the last."""
    waiting = {item.id: draft.get(Buildset, item.buildset_id) for item in group}
    by_id = {item.id: item for item in group}
    while waiting:
        made = {(by_id[number].project_id, each.commit) for number, each in waiting.items()}
        free = [
            number
            for number, each in waiting.items()
            if (by_id[number].project_id, each.onto) not in made or each.onto == each.commit
        ]
        last = group[0].lands_with
        number = min(free, key=lambda n: (n == last, by_id[n].position))
        item, buildset = by_id[number], waiting.pop(number)
        yield draft.get(Project, item.project_id), item, buildset


def _of_machines(draft: Draft) -> Iterator[Action]:
    for machine in draft.all(Machine):
        host = draft.get(Host, machine.host_id)
        if host.state is not HostState.CONNECTED:
            continue
        if machine.state is MachineState.DELETING:
            yield DestroyMachine(machine_id=machine.id, host=host.name, why=machine.detail or "")
            continue
        if machine.state is MachineState.HELD:
            yield KeepMachine(machine_id=machine.id, host=host.name)
            continue
        if machine.state is MachineState.BUILDING:
            yield MakeMachine(machine=machine, host=host.name)
            continue
        build = draft.find(Build, machine.build_id)
        if build is None or build.machine_id != machine.id:
            continue
        if build.state is BuildState.CANCELLING:
            yield CancelBuild(machine_id=machine.id, host=host.name)
        elif build.state is BuildState.STARTING:
            yield from _run(draft, build, machine, host)


def _run(draft: Draft, build: Build, machine: Machine, host: Host) -> Iterator[RunBuild]:
    item = draft.find(Item, build.item_id)
    buildset = draft.find(Buildset, build.buildset_id)
    if item is None or buildset is None:
        return
    job = next(job for job in buildset.jobs if job.name == build.job)
    passed = {
        other.job: other.reused_from or other.id
        for other in draft.builds(buildset.id)
        if other.verdict is Verdict.SUCCESS
    }
    yield RunBuild(
        project=draft.get(Project, item.project_id),
        item=item,
        buildset=buildset,
        build=build,
        job=job,
        machine=machine,
        host=host.name,
        needed=tuple((name, passed[name]) for name in job.needs if name in passed),
        beside=tuple(each for each in _beside(draft, buildset) if each[0].name in job.projects),
        others=_others(draft, build),
        failed=tuple(alone.failed(draft, build.alone)) if build.alone is not None else (),
        caches=tuple(caching.wanted(draft, build, buildset, job, host)),
    )


def _of_caches(draft: Draft) -> Iterator[Action]:
    for cache in draft.all(Cache):
        if cache.state is CacheState.DROPPING:
            host = draft.get(Host, cache.host_id)
            if host.state is HostState.CONNECTED:
                yield DropCache(cache_id=cache.id, file=cache.file, host=host.name)


def _others(draft: Draft, build: Build) -> tuple[Machine, ...]:
    """The machines of the build beside its own one, in the order of its parts."""
    if not build.parts:
        return ()
    mine = {m.part: m for m in draft.all(Machine) if m.build_id == build.id}
    return tuple(mine[part.name] for part in build.parts[1:])
