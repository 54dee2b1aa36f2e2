"""What becomes of a change when somebody pushes it, approves it, or says when it is to land."""

from __future__ import annotations

from dataclasses import replace

from cupel.core import admission, events, item, lifecycle, ranks
from cupel.core.draft import Draft
from cupel.core.model import Approval, Change, ChangeState, PatchSet, Pipeline
from cupel.errors import Conflict


def pushed(draft: Draft, fact: events.ChangePushed) -> None:
    if draft.find(PatchSet, fact.patch_set.id) is not None:
        return
    old = draft.find(Change, fact.change.id)
    if old is not None and (old.state, "push") not in lifecycle.CHANGE:
        raise Conflict(
            f"change {old.id} has landed already",
            hint="push the commit as a new change: give it another Change-Id",
        )
    change = draft.put(replace(fact.change, wants_land=False, anew=False))
    draft.put(fact.patch_set)
    draft.tell(
        "change.pushed",
        f"patch set {fact.patch_set.number}: {change.title}",
        project_id=change.project_id,
        change_id=change.id,
        user=fact.patch_set.pushed_by,
    )
    if fact.approved_by is not None:
        approved(draft, change.id, fact.patch_set.number, fact.approved_by)
        change = draft.get(Change, change.id)
    if not admission.enters(draft, change):
        item.enqueue(draft, Pipeline.CHECK, change, fact.patch_set)


def approved(draft: Draft, change_id: int, patch_set: int, user: str) -> None:
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


def approval_withdrawn(draft: Draft, fact: events.ApprovalWithdrawn) -> None:
    change = draft.get(Change, fact.change_id)
    if change.state is not ChangeState.OPEN:
        return
    for approval in draft.approvals(change.id):
        if approval.user == fact.user and approval.withdrawn_at is None:
            draft.put(replace(approval, withdrawn_at=draft.now))
            draft.tell("change.unapproved", **_concerning(change), user=fact.user)


def land_asked(draft: Draft, fact: events.LandAsked) -> None:
    change = draft.get(Change, fact.change_id)
    if change.state is not ChangeState.OPEN:
        return
    draft.tell("change.land-asked", **_concerning(change), user=fact.user)
    want_to_land(draft, change)


def want_to_land(draft: Draft, change: Change) -> None:
    """Have the change enter the gate, with those that it needs or that need it, if approved."""
    for member in admission.up_and_down(draft, change):
        if member.state is ChangeState.OPEN and admission.is_approved(draft, member):
            _want(draft, member)


def dequeue_asked(draft: Draft, fact: events.DequeueAsked) -> None:
    change = draft.get(Change, fact.change_id)
    if not change.wants_land:
        return
    draft.put(replace(change, wants_land=False, updated_at=draft.now))
    draft.tell("change.dequeue-asked", **_concerning(change), user=fact.user)


def promote_asked(draft: Draft, fact: events.PromoteAsked) -> None:
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


def urgency_set(draft: Draft, fact: events.UrgencySet) -> None:
    change = draft.get(Change, fact.change_id)
    if change.state is not ChangeState.OPEN or change.urgent == fact.urgent:
        return
    draft.put(replace(change, urgent=fact.urgent, updated_at=draft.now))
    word = "urgent" if fact.urgent else "not-urgent"
    draft.tell(f"change.{word}", **_concerning(change), user=fact.user)
    if fact.urgent and draft.gate_item(change.id) is not None:
        numbers = admission.within(draft, change)
        ranks.expedite(draft, admission.lane(draft, change), numbers)


def abandoned(draft: Draft, fact: events.Abandoned) -> None:
    change = draft.get(Change, fact.change_id)
    if change.state is not ChangeState.OPEN:
        return
    state = lifecycle.step(lifecycle.CHANGE, change.state, "abandon")
    draft.put(replace(change, state=state, wants_land=False, updated_at=draft.now))
    draft.tell("change.abandoned", **_concerning(change), user=fact.user)


def _concerning(change: Change) -> dict[str, int]:
    return {"project_id": change.project_id, "change_id": change.id}
