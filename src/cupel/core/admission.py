"""Which changes may enter the gate, and in which order they do."""

from __future__ import annotations

from cupel.core import item as items
from cupel.core.draft import Draft
from cupel.core.model import Change, ChangeState, Pipeline, Project


def is_approved(draft: Draft, change: Change) -> bool:
    """Whether enough people approved the present patch set.

    The owner's own approval counts only where the project allows it.
    """
    policy = draft.get(Project, change.project_id).policy
    users = {
        approval.user
        for approval in draft.approvals(change.id)
        if approval.patch_set == change.patch_set and approval.withdrawn_at is None
    }
    if not policy.self_approval:
        users.discard(change.owner)
    return len(users) >= policy.approvals


def may_enter(draft: Draft, change: Change) -> bool:
    """Whether the change itself is fit for the gate, its needs aside."""
    return change.state is ChangeState.OPEN and change.wants_land and is_approved(draft, change)


def needed(draft: Draft, change: Change) -> Change | None:
    """The change just below in the stack, unless it has landed."""
    patch_set = draft.patch_set(change.id, change.patch_set)
    below = draft.find(Change, patch_set.needs_change)
    return None if below is None or below.state is ChangeState.LANDED else below


def is_outdated(draft: Draft, change: Change) -> bool:
    """Whether the change is built on another patch set of the one below than its present one.

    Merging it would bring in what was withdrawn from below, which nobody has approved.
    """
    own = draft.patch_set(change.id, change.patch_set)
    below = draft.find(Change, own.needs_change)
    return below is not None and own.parent != draft.patch_set(below.id, below.patch_set).commit


def plan(draft: Draft) -> None:
    """Enqueue every fit change whose needs are in the gate, dependencies first.

    Requests are honoured in the order in which they were made, which keeps the order stable.
    """
    waiting = [
        change
        for change in draft.changes()
        if draft.gate_item(change.id) is None and may_enter(draft, change)
    ]
    for change in sorted(waiting, key=lambda c: (c.land_asked_at or c.created_at, c.id)):
        _enter(draft, change)


def _enter(draft: Draft, change: Change) -> None:
    for member in reversed(way_in(draft, change) or ()):
        patch_set = draft.patch_set(member.id, member.patch_set)
        items.enqueue(draft, Pipeline.GATE, member, patch_set)


def way_in(draft: Draft, change: Change) -> list[Change] | None:
    """The change and what it needs that is not yet in the gate, top first.

    None when one of them is not fit, so that none may enter.
    """
    stack: list[Change] = []
    at: Change | None = change
    while at is not None and draft.gate_item(at.id) is None:
        if not may_enter(draft, at) or is_outdated(draft, at) or at in stack:
            return None
        stack.append(at)
        at = needed(draft, at)
    return stack


def enters(draft: Draft, change: Change) -> bool:
    """Whether the present patch set goes into the gate, where an older one may still be."""
    below = needed(draft, change)
    fit = may_enter(draft, change) and not is_outdated(draft, change)
    return fit and (below is None or way_in(draft, below) is not None)


def up_and_down(draft: Draft, change: Change) -> list[Change]:
    """The change, the open ones below it and all open ones above it in their stacks."""
    found = {change.id: change}
    below = needed(draft, change)
    while below is not None and below.id not in found:
        found[below.id] = below
        below = needed(draft, below)
    pending = [change]
    while pending:
        low = pending.pop()
        for high in draft.changes():
            if high.id not in found and high.state is ChangeState.OPEN:
                above = needed(draft, high)
                if above is not None and above.id == low.id:
                    found[high.id] = high
                    pending.append(high)
    return list(found.values())
