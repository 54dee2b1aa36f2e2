"""What the rows ask of the world. Derived, never stored: the rows are the outbox."""

from __future__ import annotations

from collections.abc import Iterator

from cupel.core.actions import (
    Action,
    CancelBuild,
    DestroyMachine,
    Land,
    PrepareState,
    RunBuild,
)
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
    return [*_of_items(draft), *_of_machines(draft)]


def _of_items(draft: Draft) -> Iterator[Action]:
    for item in draft.all(Item):
        buildset = draft.find(Buildset, item.buildset_id)
        if item.state not in LIVE_ITEMS or buildset is None:
            continue
        project = draft.get(Project, item.project_id)
        if item.state is ItemState.LANDING:
            yield Land(project=project, item=item, buildset=buildset)
        elif buildset.state is BuildsetState.PREPARING:
            yield PrepareState(project=project, item=item, buildset=buildset)


def _of_machines(draft: Draft) -> Iterator[Action]:
    for machine in draft.all(Machine):
        host = draft.get(Host, machine.host_id)
        if host.state is not HostState.CONNECTED:
            continue
        if machine.state is MachineState.DELETING:
            yield DestroyMachine(machine_id=machine.id, host=host.name)
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
        other.job: other.id
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
    )
