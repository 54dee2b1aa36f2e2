"""What a fact means for the rows that it concerns. Planning, which comes after, does the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from cupel.core import (
    admission,
    buildset,
    demand,
    events,
    evidence,
    history,
    item,
    lifecycle,
    ranks,
)
from cupel.core import host as hosts
from cupel.core.draft import Draft
from cupel.core.model import (
    Approval,
    Branch,
    Build,
    Buildset,
    BuildState,
    Change,
    ChangeState,
    Host,
    HostState,
    Item,
    ItemState,
    Machine,
    MachineState,
    PatchSet,
    Pipeline,
    Pool,
    Project,
    Queue,
    Verdict,
)
from cupel.errors import Conflict

UNDELETED = frozenset(MachineState) - {MachineState.DELETING, MachineState.GONE}


def apply(draft: Draft, fact: events.Fact) -> None:  # noqa: C901 - one match over the union
    """Put the rows that the fact changes. A fact that comes twice or too late changes nothing."""
    match fact:
        case events.ProjectAdded():
            _project_added(draft, fact)
        case events.ChangePushed():
            _change_pushed(draft, fact)
        case events.Approved():
            _approved(draft, fact.change_id, fact.patch_set, fact.user)
        case events.ApprovalWithdrawn():
            _approval_withdrawn(draft, fact)
        case events.LandAsked():
            _land_asked(draft, fact)
        case events.DequeueAsked():
            _dequeue_asked(draft, fact)
        case events.PromoteAsked():
            _promote_asked(draft, fact)
        case events.UrgencySet():
            _urgency_set(draft, fact)
        case events.QueueSet():
            _queue_set(draft, fact)
        case events.PolicySet():
            _policy_set(draft, fact)
        case events.Abandoned():
            _abandoned(draft, fact)
        case events.HeadSeen():
            item.head_seen(draft, draft.branch(fact.project_id, fact.branch), fact.head)
        case events.StatePrepared() | events.StateConflicted() | events.StateMisconfigured():
            _state_made(draft, fact)
        case events.Landed():
            _landed(draft, fact)
        case events.LandingRefused():
            _landing_refused(draft, fact)
        case events.HostConnected():
            _host_connected(draft, fact)
        case events.HostSeen():
            _host_seen(draft, fact)
        case events.HostLost():
            _host_lost(draft, fact)
        case events.HostDrainSet():
            _host_drain_set(draft, fact)
        case events.PoolsSet():
            _pools_set(draft, fact)
        case events.MachineReady():
            _machine_ready(draft, fact)
        case events.MachineFailed():
            _machine_failed(draft, fact)
        case events.MachineTold():
            machine = draft.find(Machine, fact.machine_id)
            if machine is not None and machine.state is MachineState.BUILDING:
                draft.put(replace(machine, detail=fact.text))
        case events.MachineDeleteAsked():
            _machine_delete_asked(draft, fact)
        case events.StepsChanged():
            _steps_changed(draft, fact)
        case events.BuildFinished():
            _build_finished(draft, fact)
        case events.MachineGone():
            _machine_gone(draft, fact.machine_id, "its machine vanished")
        case _:
            assert_never(fact)


def _project_added(draft: Draft, fact: events.ProjectAdded) -> None:
    project = draft.put(
        Project(
            id=draft.new_id(),
            name=fact.name,
            queue_id=_queue_named(draft, fact.queue or fact.name).id,
            branches=fact.branches,
            policy=fact.policy,
            created_at=draft.now,
        )
    )
    for name, head in zip(fact.branches, fact.heads, strict=True):
        draft.put(Branch(id=draft.new_id(), project_id=project.id, name=name, head=head))
    draft.tell("project.added", fact.name, project_id=project.id)


def _queue_named(draft: Draft, name: str) -> Queue:
    """The queue of this name, made if there is none."""
    found = next((queue for queue in draft.all(Queue) if queue.name == name), None)
    return found or draft.put(Queue(id=draft.new_id(), name=name, created_at=draft.now))


def _change_pushed(draft: Draft, fact: events.ChangePushed) -> None:
    if draft.find(PatchSet, fact.patch_set.id) is not None:
        return
    old = draft.find(Change, fact.change.id)
    if old is not None and (old.state, "push") not in lifecycle.CHANGE:
        raise Conflict(
            f"change {old.id} has landed already",
            hint="push the commit as a new change: give it another Change-Id",
        )
    change = draft.put(replace(fact.change, wants_land=False))
    draft.put(fact.patch_set)
    draft.tell(
        "change.pushed",
        f"patch set {fact.patch_set.number}: {change.title}",
        project_id=change.project_id,
        change_id=change.id,
        user=fact.patch_set.pushed_by,
    )
    if fact.approved_by is not None:
        _approved(draft, change.id, fact.patch_set.number, fact.approved_by)
        change = draft.get(Change, change.id)
    if not admission.enters(draft, change):
        item.enqueue(draft, Pipeline.CHECK, change, fact.patch_set)


def _approved(draft: Draft, change_id: int, patch_set: int, user: str) -> None:
    change = draft.get(Change, change_id)
    if change.state is not ChangeState.OPEN or change.patch_set != patch_set:
        return
    given = any(
        a.user == user and a.patch_set == patch_set and a.withdrawn_at is None
        for a in draft.approvals(change_id)
    )
    if not given:
        draft.put(
            Approval(
                id=draft.new_id(),
                change_id=change_id,
                patch_set=patch_set,
                user=user,
                created_at=draft.now,
            )
        )
        draft.tell("change.approved", **_concerning(change), user=user)
    if admission.is_approved(draft, change):
        _want(draft, change)


def _want(draft: Draft, change: Change) -> None:
    if not change.wants_land:
        draft.put(replace(change, wants_land=True, land_asked_at=draft.now, updated_at=draft.now))


def _approval_withdrawn(draft: Draft, fact: events.ApprovalWithdrawn) -> None:
    change = draft.get(Change, fact.change_id)
    if change.state is not ChangeState.OPEN:
        return
    for approval in draft.approvals(change.id):
        if approval.user == fact.user and approval.withdrawn_at is None:
            draft.put(replace(approval, withdrawn_at=draft.now))
            draft.tell("change.unapproved", **_concerning(change), user=fact.user)


def _land_asked(draft: Draft, fact: events.LandAsked) -> None:
    change = draft.get(Change, fact.change_id)
    if change.state is not ChangeState.OPEN:
        return
    draft.tell("change.land-asked", **_concerning(change), user=fact.user)
    for member in admission.up_and_down(draft, change):
        if member.state is ChangeState.OPEN and admission.is_approved(draft, member):
            _want(draft, member)


def _dequeue_asked(draft: Draft, fact: events.DequeueAsked) -> None:
    change = draft.get(Change, fact.change_id)
    if not change.wants_land:
        return
    draft.put(replace(change, wants_land=False, updated_at=draft.now))
    draft.tell("change.dequeue-asked", **_concerning(change), user=fact.user)


def _promote_asked(draft: Draft, fact: events.PromoteAsked) -> None:
    """Of several queues each has its own first ones."""
    first: dict[ranks.Lane, list[int]] = {}
    for number in fact.change_ids:
        change = draft.get(Change, number)
        if draft.gate_item(number) is not None:
            draft.tell("change.promoted", **_concerning(change), user=fact.user)
            first.setdefault(admission.lane(draft, change), []).extend(
                admission.within(draft, change)
            )
    for lane, numbers in first.items():
        ranks.promote(draft, lane, numbers)


def _urgency_set(draft: Draft, fact: events.UrgencySet) -> None:
    change = draft.get(Change, fact.change_id)
    if change.state is not ChangeState.OPEN or change.urgent == fact.urgent:
        return
    draft.put(replace(change, urgent=fact.urgent, updated_at=draft.now))
    word = "urgent" if fact.urgent else "not-urgent"
    draft.tell(f"change.{word}", **_concerning(change), user=fact.user)
    if fact.urgent and draft.gate_item(change.id) is not None:
        numbers = admission.within(draft, change)
        ranks.expedite(draft, admission.lane(draft, change), numbers)


def _queue_set(draft: Draft, fact: events.QueueSet) -> None:
    present = _queue_named(draft, fact.name)
    wanted = replace(
        present,
        landing=fact.landing,
        planner=fact.planner,
        window=fact.window,
        window_floor=fact.window_floor,
        window_ceiling=fact.window_ceiling,
        cycles=fact.cycles,
        closed=fact.closed,
        closed_by=present.closed_by if fact.closed == present.closed else fact.user,
    )
    if fact.closed is None:
        wanted = replace(wanted, closed_by=None)
    draft.put(wanted)
    if fact.closed == present.closed:
        draft.tell("queue.set", fact.name, user=fact.user)
    elif fact.closed is None:
        draft.tell("queue.opened", fact.name, user=fact.user)
    else:
        draft.tell("queue.closed", f"{fact.name}: {fact.closed}", user=fact.user)


def _policy_set(draft: Draft, fact: events.PolicySet) -> None:
    project = draft.get(Project, fact.project_id)
    draft.put(replace(project, policy=fact.policy))
    draft.tell("project.policy-set", project.name, project_id=project.id, user=fact.user)


def _abandoned(draft: Draft, fact: events.Abandoned) -> None:
    change = draft.get(Change, fact.change_id)
    if change.state is not ChangeState.OPEN:
        return
    state = lifecycle.step(lifecycle.CHANGE, change.state, "abandon")
    draft.put(replace(change, state=state, wants_land=False, updated_at=draft.now))
    draft.tell("change.abandoned", **_concerning(change), user=fact.user)


def _concerning(change: Change) -> dict[str, int]:
    return {"project_id": change.project_id, "change_id": change.id}


def _state_made(
    draft: Draft,
    fact: events.StatePrepared | events.StateConflicted | events.StateMisconfigured,
) -> None:
    present = draft.get(Buildset, fact.buildset_id)
    if (present.state, "prepared") not in lifecycle.BUILDSET:
        return
    match fact:
        case events.StatePrepared():
            event = "prepared"
            made = replace(present, commit=fact.commit, tree=fact.tree, notice=fact.notice)
            if not present.jobs:  # an audit's were chosen when it began
                made = replace(made, jobs=fact.jobs, keys=fact.keys)
        case events.StateConflicted():
            event = "conflict"
            made = replace(present, detail="conflicts in " + ", ".join(fact.paths))
        case events.StateMisconfigured():
            event = "misconfigured"
            made = replace(present, detail=fact.error)
    draft.put(replace(made, state=lifecycle.step(lifecycle.BUILDSET, present.state, event)))
    draft.tell(f"state.{event}", made.detail or "", **item.about(draft.get(Item, made.item_id)))


def _landed(draft: Draft, fact: events.Landed) -> None:
    for number in fact.item_ids:
        entry = draft.get(Item, number)
        if entry.state is ItemState.LANDING:
            item.land(draft, entry)


def _landing_refused(draft: Draft, fact: events.LandingRefused) -> None:
    for number in fact.item_ids:
        entry = draft.get(Item, number)
        if entry.state is ItemState.LANDING:
            state = lifecycle.step(lifecycle.ITEM, entry.state, "refused")
            draft.put(replace(entry, state=state, lands_with=None))
            draft.tell("item.landing-refused", f"the branch is at {fact.head}", **item.about(entry))
            if number == fact.item_ids[0]:
                branch = draft.branch(entry.project_id, entry.branch)
                item.head_seen(draft, branch, fact.head)


def _host(draft: Draft, name: str) -> Host | None:
    return next((host for host in draft.all(Host) if host.name == name), None)


def _host_seen(draft: Draft, fact: events.HostSeen) -> None:
    host = _host(draft, fact.name)
    if host is None:
        return
    images = host.images if fact.images is None else tuple(sorted(fact.images))
    draft.put(replace(host, last_seen=draft.now, refuses=fact.refuses, images=images))
    if fact.refuses is not None and host.refuses is None:
        draft.tell("host.refuses", f"{host.name}: {fact.refuses}")
    elif fact.refuses is None and host.refuses is not None:
        draft.tell("host.accepts", host.name)


def _host_drain_set(draft: Draft, fact: events.HostDrainSet) -> None:
    host = _host(draft, fact.name)
    if host is not None and host.draining != fact.draining:
        draft.put(replace(host, draining=fact.draining))
        word = "draining" if fact.draining else "undrained"
        draft.tell(f"host.{word}", host.name, user=fact.user)


def _pools_set(draft: Draft, fact: events.PoolsSet) -> None:
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
            definition=spec.definition,
        )
        draft.put(wanted)
    for gone in known.values():
        if gone.definition:
            draft.put(replace(gone, ready=0, definition=""))
            draft.tell("pool.removed", gone.label)


def _host_connected(draft: Draft, fact: events.HostConnected) -> None:
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
    )
    host = draft.put(host if known is None else hosts.came_back(known, host))
    draft.tell("host.connected", fact.name)
    for machine in draft.all(Machine):
        if machine.host_id == host.id and machine.state is not MachineState.GONE:
            if machine.id not in fact.machines:
                _machine_gone(draft, machine.id, hosts.RESTARTED)
            else:
                _fail_machine(draft, machine, hosts.RESTARTED)
    for machine_id in fact.machines:
        _found(draft, machine_id, host)


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


def _host_lost(draft: Draft, fact: events.HostLost) -> None:
    host = _host(draft, fact.name)
    if host is None or host.state is HostState.LOST:
        return
    draft.put(replace(host, state=HostState.LOST, detail=fact.reason))
    draft.tell("host.lost", f"{host.name}: {fact.reason}")
    for machine in draft.all(Machine):
        if machine.host_id == host.id and machine.state in UNDELETED:
            _fail_machine(draft, machine, f"host {host.name} was lost: {fact.reason}")


def _fail_machine(draft: Draft, machine: Machine, why: str) -> None:
    """What ran on the machine is lost; the machine itself is still to be deleted."""
    _lose_build(draft, machine, why)
    if machine.state in UNDELETED:
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


def _machine_ready(draft: Draft, fact: events.MachineReady) -> None:
    machine = draft.find(Machine, fact.machine_id)
    if machine is not None and machine.state is MachineState.GONE:
        _found(draft, machine.id, draft.get(Host, machine.host_id))
        return
    if machine is None or machine.state is not MachineState.BUILDING:
        return
    state = lifecycle.step(lifecycle.MACHINE, machine.state, "ready")
    draft.put(replace(machine, state=state, image=fact.image, detail=None, ready_at=draft.now))
    hosts.made(draft, draft.get(Host, machine.host_id), machine.label)
    _image_seen(draft, draft.get(Host, machine.host_id), machine.label, fact.image)
    demand.booted(draft, machine.label, fact.seconds)
    draft.tell("machine.ready", machine.label, machine_id=machine.id)


def _machine_failed(draft: Draft, fact: events.MachineFailed) -> None:
    machine = draft.find(Machine, fact.machine_id)
    if machine is None or machine.state is not MachineState.BUILDING:
        return
    state = lifecycle.step(lifecycle.MACHINE, machine.state, "fail")
    draft.put(replace(machine, state=state, detail=fact.reason))
    host = draft.get(Host, machine.host_id)
    text = f"{machine.label} on {host.name}: {fact.reason}"
    draft.tell("machine.failed", text, machine_id=machine.id)
    hosts.could_not_make(draft, host, machine.label, fact.reason)


def _machine_delete_asked(draft: Draft, fact: events.MachineDeleteAsked) -> None:
    machine = draft.find(Machine, fact.machine_id)
    if machine is None or machine.state not in UNDELETED:
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


def _steps_changed(draft: Draft, fact: events.StepsChanged) -> None:
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


def _build_finished(draft: Draft, fact: events.BuildFinished) -> None:
    build = draft.unfinished_build_on(fact.machine_id)
    if build is not None:
        full = replace(build, steps=fact.steps, usage=fact.usage)
        if build.state is BuildState.CANCELLING:
            buildset.finish(draft, full, Verdict.CANCELLED, build.reason)
        elif fact.verdict is Verdict.CANCELLED:
            # Nobody asked for that: the host gave up, as it does when it is being stopped.
            buildset.finish(draft, full, Verdict.INFRA, fact.reason or "stopped by its host")
        else:
            reason = hosts.ended(draft, full, fact.verdict, fact.reason)
            done = buildset.finish(draft, full, fact.verdict, reason)
            history.build_ended(draft, done)
            evidence.record(draft, done, fact.artefacts)
        for artefact in fact.artefacts:
            draft.put(replace(artefact, id=draft.new_id()))
    machine = draft.find(Machine, fact.machine_id)
    if machine is not None and machine.state in UNDELETED:
        state = lifecycle.step(lifecycle.MACHINE, machine.state, "delete")
        draft.put(replace(machine, state=state))
    elif machine is not None and machine.state is MachineState.GONE:
        _found(draft, machine.id, draft.get(Host, machine.host_id))


def _machine_gone(draft: Draft, machine_id: int, why: str) -> None:
    machine = draft.find(Machine, machine_id)
    if machine is None or machine.state is MachineState.GONE:
        return
    if machine.state is MachineState.BUILDING and why != hosts.RESTARTED:
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
