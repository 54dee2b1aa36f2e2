"""What hosts tell of themselves, of their machines and of the builds on these."""

from __future__ import annotations

from dataclasses import replace

from cupel.core import (
    alone,
    buildset,
    caching,
    demand,
    events,
    evidence,
    flaking,
    history,
    holding,
    lenience,
    lifecycle,
    results,
    visit,
)
from cupel.core import host as hosts
from cupel.core.draft import Draft
from cupel.core.model import (
    Build,
    BuildState,
    Host,
    HostState,
    Machine,
    MachineState,
    Pool,
    Verdict,
)
from cupel.core.results import Findings, Results

_UNDELETED = frozenset(MachineState) - {MachineState.DELETING, MachineState.GONE}


def _host(draft: Draft, name: str) -> Host | None:
    return next((host for host in draft.all(Host) if host.name == name), None)


def host_seen(draft: Draft, fact: events.HostSeen) -> None:
    host = _host(draft, fact.name)
    if host is None:
        return
    images = host.images if fact.images is None else tuple(sorted(fact.images))
    draft.put(replace(host, last_seen=draft.now, refuses=fact.refuses, images=images))
    if fact.refuses is not None and host.refuses is None:
        draft.tell("host.refuses", f"{host.name}: {fact.refuses}", host_id=host.id)
    elif fact.refuses is None and host.refuses is not None:
        draft.tell("host.accepts", host.name, host_id=host.id)


def host_drain_set(draft: Draft, fact: events.HostDrainSet) -> None:
    host = _host(draft, fact.name)
    if host is not None and host.draining != fact.draining:
        draft.put(replace(host, draining=fact.draining))
        word = "draining" if fact.draining else "undrained"
        draft.tell(f"host.{word}", host.name, host_id=host.id, user=fact.user)


def host_released(draft: Draft, fact: events.HostReleased) -> None:
    host = _host(draft, fact.name)
    if host is not None and host.strikes:
        draft.put(replace(host, strikes=0, quarantined_until=None))
        draft.tell("host.released", host.name, host_id=host.id, user=fact.user)


def host_forgotten(draft: Draft, fact: events.HostForgotten) -> None:
    """Its machines count as gone: it has deleted them itself, or they ended with it."""
    host = _host(draft, fact.name)
    if host is None or host.state is not HostState.LOST:
        return
    draft.put(replace(host, state=HostState.FORGOTTEN, draining=False))
    draft.tell("host.forgotten", host.name, host_id=host.id, user=fact.user)
    for machine in draft.all(Machine):
        if machine.host_id == host.id:
            machine_gone(draft, machine.id, hosts.RESTARTED)
    caching.host_forgotten(draft, host)


def pools_set(draft: Draft, fact: events.PoolsSet) -> None:
    known = {pool.label: pool for pool in draft.all(Pool)}
    for spec in fact.pools:
        present = known.pop(spec.label, None)
        if present is None:
            present = Pool(id=draft.new_id(), label=spec.label)
            draft.tell("pool.added", spec.label)
        elif present.definition != spec.definition:
            draft.tell("pool.redefined", spec.label)
        wanted = replace(
            present,
            ready=spec.ready,
            ceiling=spec.ceiling,
            quota=spec.quota,
            idle=spec.idle,
            holds=spec.holds,
            definition=spec.definition,
        )
        draft.put(wanted)
    for gone in known.values():
        if gone.definition:
            draft.put(replace(gone, ready=0, definition=""))
            draft.tell("pool.removed", gone.label)


def host_connected(draft: Draft, fact: events.HostConnected) -> None:
    known = _host(draft, fact.name)
    host = Host(
        id=draft.new_id() if known is None else known.id,
        name=fact.name,
        slots=fact.slots,
        labels=fact.labels,
        state=HostState.CONNECTED,
        detail=fact.detail,
        last_seen=draft.now,
        images=fact.images,
        cache_room=fact.cache_room,
        cache_share=fact.cache_share,
        cpu=fact.cpu,
        system=fact.system,
    )
    host = draft.put(host if known is None else hosts.came_back(known, host))
    draft.tell("host.connected", fact.name, host_id=host.id)
    for machine in draft.all(Machine):
        if machine.host_id == host.id and machine.state is not MachineState.GONE:
            if machine.id not in fact.machines:
                machine_gone(draft, machine.id, hosts.RESTARTED)
            elif machine.state is MachineState.HELD and machine.id in fact.held:
                draft.put(replace(machine, visitors=0))
            else:
                _fail_machine(draft, machine, hosts.RESTARTED)
    for machine_id in fact.machines:
        _found(draft, machine_id, host)
    caching.host_connected(draft, host, fact.caches)


def _found(draft: Draft, machine_id: int, host: Host) -> None:
    """A machine is there that we think gone, or never knew: it is to be deleted."""
    machine = draft.find(Machine, machine_id)
    if machine is None:
        machine = Machine(
            id=machine_id,
            label="",
            image=None,
            host_id=host.id,
            build_id=None,
            state=MachineState.GONE,
            detail="not made by this server",
            created_at=draft.now,
        )
    if machine.state is MachineState.GONE:
        state = lifecycle.step(lifecycle.MACHINE, machine.state, "found")
        draft.put(replace(machine, state=state, gone_at=None))
        draft.tell("machine.found", f"on {host.name}", machine_id=machine.id)


def host_lost(draft: Draft, fact: events.HostLost) -> None:
    host = _host(draft, fact.name)
    if host is None or host.state is not HostState.CONNECTED:
        return
    draft.put(replace(host, state=HostState.LOST, detail=fact.reason))
    draft.tell("host.lost", f"{host.name}: {fact.reason}", host_id=host.id)
    for machine in draft.all(Machine):
        if machine.host_id == host.id and machine.state in _UNDELETED:
            _fail_machine(draft, machine, f"host {host.name} was lost: {fact.reason}")


def _fail_machine(draft: Draft, machine: Machine, why: str) -> None:
    """What ran on the machine is lost; the machine itself is still to be deleted."""
    _lose_build(draft, machine, why)
    holding.lost(draft, machine, why)
    if machine.state in _UNDELETED:
        state = lifecycle.step(lifecycle.MACHINE, machine.state, "delete")
        draft.put(replace(machine, state=state, detail=why))


def _unfinished_build(draft: Draft, machine: Machine) -> Build | None:
    """The build that the machine works for, as its own one or beside it."""
    if not machine.part:
        return draft.unfinished_build_on(machine.id)
    build = draft.find(Build, machine.build_id)
    return None if build is None or build.state is BuildState.FINISHED else build


def _lose_build(draft: Draft, machine: Machine, why: str) -> None:
    build = _unfinished_build(draft, machine)
    if build is not None:
        cancelled = build.state is BuildState.CANCELLING
        verdict = Verdict.CANCELLED if cancelled else Verdict.INFRA
        why = hosts.ended(draft, build, verdict, why) or why
        buildset.finish(draft, build, verdict, build.reason if cancelled else why)


def machine_ready(draft: Draft, fact: events.MachineReady) -> None:
    machine = draft.find(Machine, fact.machine_id)
    if machine is not None and machine.state is MachineState.GONE:
        _found(draft, machine.id, draft.get(Host, machine.host_id))
        return
    if machine is None or machine.state is not MachineState.BUILDING:
        return
    state = lifecycle.step(lifecycle.MACHINE, machine.state, "ready")
    draft.put(replace(machine, state=state, image=fact.image, detail=None, ready_at=draft.now))
    hosts.made(draft, draft.get(Host, machine.host_id), machine.label)
    if not machine.pinned:
        _image_seen(draft, draft.get(Host, machine.host_id), machine.label, fact.image)
    demand.booted(draft, machine.label, fact.seconds)
    draft.tell("machine.ready", machine.label, machine_id=machine.id)


def machine_failed(draft: Draft, fact: events.MachineFailed) -> None:
    machine = draft.find(Machine, fact.machine_id)
    if machine is None or machine.state is not MachineState.BUILDING:
        return
    state = lifecycle.step(lifecycle.MACHINE, machine.state, "fail")
    draft.put(replace(machine, state=state, detail=fact.reason))
    host = draft.get(Host, machine.host_id)
    text = f"{machine.label} on {host.name}: {fact.reason}"
    draft.tell("machine.failed", text, machine_id=machine.id)
    if machine.pinned:
        _lose_who_waits(draft, machine, fact.reason)
    else:
        hosts.could_not_make(draft, host, machine.label, fact.reason)


def _lose_who_waits(draft: Draft, machine: Machine, why: str) -> None:
    """An image that its label may not have any more is nothing that hosts are held to: the build
    that asks for it has lost an attempt, of which it has but a few."""
    for build in draft.all(Build):
        asks = (build.label, build.image) == (machine.label, machine.pinned)
        if asks and build.state is BuildState.QUEUED:
            text = f"no machine could be made of the image {machine.pinned}: {why}"
            buildset.finish(draft, build, Verdict.INFRA, text)
            return


def machine_delete_asked(draft: Draft, fact: events.MachineDeleteAsked) -> None:
    machine = draft.find(Machine, fact.machine_id)
    if machine is None or machine.state not in _UNDELETED:
        return
    why = f"{hosts.DELETED} by {fact.user}"
    build = _unfinished_build(draft, machine)
    if build is not None:
        cancelled = build.state is BuildState.CANCELLING
        verdict = Verdict.CANCELLED if cancelled else Verdict.INFRA
        buildset.finish(draft, build, verdict, build.reason if cancelled else why)
    state = lifecycle.step(lifecycle.MACHINE, machine.state, "delete")
    draft.put(replace(machine, state=state, detail=f"deleted by {fact.user}"))
    draft.tell("machine.delete-asked", machine.label, machine_id=machine.id, user=fact.user)


def steps_changed(draft: Draft, fact: events.StepsChanged) -> None:
    build = draft.unfinished_build_on(fact.machine_id)
    if build is None or not fact.steps or build.steps == fact.steps:
        return
    if build.started_at is None:
        started = lifecycle.step(lifecycle.BUILD, build.state, "start")
        build = replace(build, state=started, started_at=draft.now)
        draft.tell("build.started", build.job, **_on(build))
    draft.put(replace(build, steps=fact.steps))
    draft.tell("build.step", fact.steps[-1].name, **_on(build))


def _image_seen(draft: Draft, host: Host, label: str, image: str) -> None:
    """A host tells its images when it connects; those it makes later are known by their use."""
    images = {**dict(host.images), label: image}
    draft.put(replace(host, images=tuple(sorted(images.items()))))


def build_finished(draft: Draft, fact: events.BuildFinished) -> None:
    build = draft.unfinished_build_on(fact.machine_id)
    if build is not None:
        full = replace(build, steps=fact.steps, usage=fact.usage, caches=fact.caches)
        if build.state is BuildState.CANCELLING:
            buildset.finish(draft, full, Verdict.CANCELLED, build.reason)
        elif fact.verdict is Verdict.CANCELLED:
            # Nobody asked for that: the host gave up, as it does when it is being stopped.
            buildset.finish(draft, full, Verdict.INFRA, fact.reason or "stopped by its host")
        else:
            reason = hosts.ended(draft, full, fact.verdict, fact.reason)
            judge = lenience.judged if full.alone is None else alone.judged
            judged = judge(draft, full, fact, reason)
            ending = visit.judged(full, judged.verdict, judged.reason)
            if ending[0] is Verdict.SUCCESS:
                full = replace(full, but_for=judged.but_for)
            done = buildset.finish(draft, full, *ending)
            if done.visited_by is None:
                history.build_ended(draft, done)
            evidence.record(draft, done, fact.artefacts)
        for artefact in fact.artefacts:
            draft.put(replace(artefact, id=draft.new_id()))
        if fact.findings is not None:
            _found_by_tests(draft, draft.get(Build, build.id), fact.findings)
            flaking.learn(draft, draft.get(Build, build.id))
    machine = draft.find(Machine, fact.machine_id)
    if build is not None and fact.caches:
        caching.build_finished(draft, draft.get(Build, build.id), machine, fact.caches)
    if build is not None and holding.keep(draft, draft.get(Build, build.id), fact.verdict):
        return
    if machine is not None and machine.state in _UNDELETED - {MachineState.HELD}:
        state = lifecycle.step(lifecycle.MACHINE, machine.state, "delete")
        draft.put(replace(machine, state=state))
    elif machine is not None and machine.state is MachineState.GONE:
        _found(draft, machine.id, draft.get(Host, machine.host_id))


def _found_by_tests(draft: Draft, build: Build, findings: Findings) -> None:
    """What its tests said, under the key that the build has now that it has ended."""
    summary = Results(
        id=build.id,
        project_id=build.project_id,
        job=build.job,
        key=build.key,
        tally=findings.tally,
        notices=findings.notices,
        at=draft.now,
    )
    draft.put(summary)
    for result in findings.failing[: results.MOST_FAILED]:
        draft.put(results.failed_test(summary, results.excerpt(result), id=draft.new_id()))


def machine_gone(draft: Draft, machine_id: int, why: str) -> None:
    machine = draft.find(Machine, machine_id)
    if machine is None or machine.state is MachineState.GONE:
        return
    if machine.state is MachineState.BUILDING and why != hosts.RESTARTED and not machine.pinned:
        host = draft.get(Host, machine.host_id)
        hosts.could_not_make(draft, host, machine.label, why)
    _fail_machine(draft, machine, why)
    machine = draft.get(Machine, machine_id)
    state = lifecycle.step(lifecycle.MACHINE, machine.state, "gone")
    draft.put(replace(machine, state=state, gone_at=draft.now))
    draft.tell("machine.gone", machine_id=machine_id)


def _on(build: Build) -> dict[str, int | None]:
    return {
        "project_id": build.project_id,
        "item_id": build.item_id,
        "build_id": build.id,
        "machine_id": build.machine_id,
    }
