"""What a fact means for the rows that it concerns. Planning, which comes after, does the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from cupel.core import (
    caching,
    change,
    events,
    fleet,
    holding,
    item,
    lenience,
    lifecycle,
    offering,
    retry,
    visit,
)
from cupel.core.draft import Draft
from cupel.core.model import (
    Branch,
    Buildset,
    Item,
    ItemState,
    Machine,
    MachineState,
    Project,
    Queue,
)


def apply(draft: Draft, fact: events.Fact) -> None:  # noqa: C901 - one match over the union
    """Put the rows that the fact changes. A fact that comes twice or too late changes nothing."""
    match fact:
        case events.ProjectAdded():
            _project_added(draft, fact)
        case events.ChangePushed():
            change.pushed(draft, fact)
        case events.Approved():
            change.approved(draft, fact.change_id, fact.patch_set, fact.user)
        case events.ApprovalWithdrawn():
            change.approval_withdrawn(draft, fact)
        case events.LandAsked():
            change.land_asked(draft, fact)
        case events.DequeueAsked():
            change.dequeue_asked(draft, fact)
        case events.RetryAsked():
            retry.asked(draft, fact)
        case events.QuarantineAdded():
            lenience.added(draft, fact)
        case events.QuarantineRemoved():
            lenience.removed(draft, fact)
        case events.PromoteAsked():
            change.promote_asked(draft, fact)
        case events.UrgencySet():
            change.urgency_set(draft, fact)
        case events.QueueSet():
            _queue_set(draft, fact)
        case events.PolicySet():
            _policy_set(draft, fact)
        case events.Abandoned():
            change.abandoned(draft, fact)
        case events.HeadSeen():
            item.head_seen(draft, draft.branch(fact.project_id, fact.branch), fact.head)
        case events.StatePrepared() | events.StateConflicted() | events.StateMisconfigured():
            _state_made(draft, fact)
        case events.Landed():
            _landed(draft, fact)
        case events.LandingRefused():
            _landing_refused(draft, fact)
        case events.HostConnected():
            fleet.host_connected(draft, fact)
        case events.HostSeen():
            fleet.host_seen(draft, fact)
        case events.HostLost():
            fleet.host_lost(draft, fact)
        case events.HostDrainSet():
            fleet.host_drain_set(draft, fact)
        case events.HostReleased():
            fleet.host_released(draft, fact)
        case events.HostForgotten():
            fleet.host_forgotten(draft, fact)
        case events.PoolsSet():
            fleet.pools_set(draft, fact)
        case events.MachineReady():
            fleet.machine_ready(draft, fact)
        case events.MachineFailed():
            fleet.machine_failed(draft, fact)
        case events.MachineTold():
            machine = draft.find(Machine, fact.machine_id)
            if machine is not None and machine.state is MachineState.BUILDING:
                draft.put(replace(machine, detail=fact.text))
        case events.MachineDeleteAsked():
            fleet.machine_delete_asked(draft, fact)
        case events.VisitBegan():
            visit.began(draft, fact)
        case events.VisitEnded():
            visit.ended(draft, fact)
        case events.HoldAsked():
            holding.asked(draft, fact)
        case events.HoldReleased():
            holding.released(draft, fact)
        case events.StepsChanged():
            fleet.steps_changed(draft, fact)
        case events.BuildFinished():
            fleet.build_finished(draft, fact)
        case events.PassOffered():
            offering.offered(draft, fact)
        case events.MachineGone():
            fleet.machine_gone(draft, fact.machine_id, "its machine vanished")
        case events.CachesGone():
            caching.gone(draft, fact)
        case events.CachesClearAsked():
            caching.clear_asked(draft, fact)
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
            if not present.jobs:  # an audit's were chosen when it began, a retry keeps what it had
                made = replace(made, jobs=fact.jobs, keys=fact.keys)
            elif present.tree not in (None, fact.tree):
                event = "misconfigured"
                made = replace(present, detail="the state cannot be made again as it was")
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
