"""Which changes may enter the gate, and in which order they do.

A change needs the one below it in its stack and those that its `Depends-On` trailers name, until
they have landed. What is in the same queue, for the same branch, enters ahead of it; what is in
another must have landed before.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

from cupel.core import graph, ranks
from cupel.core import item as items
from cupel.core.draft import Draft
from cupel.core.model import Change, ChangeState, Item, ItemState, Pipeline, Project
from cupel.core.ranks import Lane


def is_approved(draft: Draft, change: Change) -> bool:
    """Whether enough people approved the present patch set."""
    policy = draft.get(Project, change.project_id).policy
    return len(approving(draft, change)) >= policy.approvals


def approving(draft: Draft, change: Change) -> set[str]:
    """Who has approved the present patch set.

    The owner's own approval counts only where the project allows it.
    """
    policy = draft.get(Project, change.project_id).policy
    users = {
        approval.user
        for approval in draft.approvals(change.id)
        if approval.patch_set == change.patch_set and approval.withdrawn_at is None
    }
    return users if policy.self_approval else users - {change.owner}


def may_enter(draft: Draft, change: Change) -> bool:
    """Whether the change itself is fit for the gate, its needs aside."""
    return change.state is ChangeState.OPEN and change.wants_land and is_approved(draft, change)


def lane(draft: Draft, change: Change) -> Lane:
    """The queue and the branch that the change goes through."""
    return draft.queue(change.project_id).id, change.branch


def needed(draft: Draft, change: Change) -> list[Change]:
    """What the present patch set needs and has not landed: the change below it, then others.

    Of these one may be in another queue, and one may be abandoned: then the change has to wait.
    """
    patch_set = draft.patch_set(change.id, change.patch_set)
    if patch_set.needs_change is None and not patch_set.depends_on:
        return []
    named = dict.fromkeys((patch_set.needs_change, *patch_set.depends_on))
    found = [draft.find(Change, number) for number in named if number != change.id]
    return [each for each in found if each is not None and each.state is not ChangeState.LANDED]


def is_outdated(draft: Draft, change: Change) -> bool:
    """Whether the change is built on another patch set of the one below than its present one.

    Merging it would bring in what was withdrawn from below, which nobody has approved.
    """
    own = draft.patch_set(change.id, change.patch_set)
    below = draft.find(Change, own.needs_change)
    return below is not None and own.parent != draft.patch_set(below.id, below.patch_set).commit


def cycle(draft: Draft, change: Change) -> list[Change] | None:
    """The changes that need each other in a circle with this one, in landing order; None: none."""
    group = graph.components(change.id, _edges(draft))[-1]
    return _in_order(draft, group) if len(group) > 1 else None


def bundle(draft: Draft, change: Change) -> frozenset[int]:
    """The ids of the changes that are proved and land as one with this one, itself included.

    More than one only where changes need each other in a circle and their queue allows that.
    """
    if draft.queue(change.project_id).cycles:
        circle = cycle(draft, change) or [change]
        if all(lane(draft, each) == lane(draft, change) for each in circle):
            return frozenset(each.id for each in circle)
    return frozenset((change.id,))


def plan(draft: Draft) -> None:
    """Enqueue every fit change whose needs are in the gate, dependencies first.

    Requests are honoured in the order in which they were made, which keeps the order stable; those
    of urgent changes before others, so that these bring nothing to the front that they don't need.
    """
    waiting = [
        change
        for change in draft.changes()
        if draft.gate_item(change.id) is None and may_enter(draft, change)
    ]
    for change in sorted(waiting, key=lambda change: (not change.urgent, *_asked(change))):
        _enter(draft, change)


def _asked(change: Change) -> tuple[float, int]:
    return (change.created_at if change.land_asked_at is None else change.land_asked_at, change.id)


def _enter(draft: Draft, change: Change) -> None:
    """At the end of the queue; an urgent change at its front, with what it needs."""
    entering = way_in(draft, change) or []
    ahead: Sequence[int | None] = [None] * len(entering)
    if entering and change.urgent:
        ahead = ranks.make_way(draft, lane(draft, change), within(draft, change), len(entering))
    for member, position in zip(entering, ahead, strict=True):
        patch_set = draft.patch_set(member.id, member.patch_set)
        items.enqueue(draft, Pipeline.GATE, member, patch_set, position=position)


def way_in(draft: Draft, change: Change) -> list[Change] | None:
    """The change and what it needs that is not in the gate yet, dependencies first.

    They enter together. None when one of them may not, so that none may; empty when the change
    is in the gate.
    """
    if draft.gate_item(change.id) is not None:
        return []
    return _way_in(draft, change)


def enters(draft: Draft, change: Change) -> bool:
    """Whether the present patch set goes into the gate, where an older one may still be."""
    return _way_in(draft, change) is not None


def _way_in(draft: Draft, change: Change) -> list[Change] | None:
    edges = _edges(draft)

    def present(number: int) -> Item | None:
        return None if number == change.id else draft.gate_item(number)

    entering: list[Change] = []
    for group in graph.components(change.id, lambda id: () if present(id) else edges(id)):
        if len(group) > 1 and not draft.queue(change.project_id).cycles:
            return None
        for member in _in_order(draft, group):
            item = present(member.id)
            if lane(draft, member) != lane(draft, change) or not _fit(draft, member, item):
                return None
            if item is None:
                entering.append(member)
    return entering


def _fit(draft: Draft, change: Change, item: Item | None) -> bool:
    """Whether the change may enter, or stays where it is in the gate."""
    if item is None:
        return may_enter(draft, change) and not is_outdated(draft, change)
    return _stays(draft, change, item)


def _stays(draft: Draft, change: Change, item: Item) -> bool:
    """Whether an item of the gate is not about to leave: a newer patch set, say, takes it out."""
    if item.state is ItemState.LANDING:
        return True
    return item.patch_set == change.patch_set and may_enter(draft, change)


def _edges(draft: Draft) -> graph.Edges:
    """From a change to what it needs; below one that has ended nothing is looked at."""

    def edges(number: int) -> list[int]:
        change = draft.get(Change, number)
        if change.state is not ChangeState.OPEN:
            return []
        return [each.id for each in needed(draft, change)]

    return edges


def _in_order(draft: Draft, group: Sequence[int]) -> list[Change]:
    """Changes that may need each other in the order in which they land: stacks from below."""
    left = sorted((draft.get(Change, number) for number in group), key=_asked)
    order: list[Change] = []
    while left:
        numbers = {each.id for each in left}
        free = (
            each
            for each in left
            if draft.patch_set(each.id, each.patch_set).needs_change not in numbers
        )
        order.append(next(free, left[0]))
        left.remove(order[-1])
    return order


def within(draft: Draft, change: Change) -> list[int]:
    """The change and all of its queue that it needs, in landing order."""
    own, edges = lane(draft, change), _edges(draft)
    groups = graph.components(change.id, edges)
    members = (each for group in groups for each in _in_order(draft, group))
    return [each.id for each in members if lane(draft, each) == own]


def up_and_down(draft: Draft, change: Change) -> list[Change]:
    """The change, what of its queue it needs, and all open ones of its queue that need it."""
    own = lane(draft, change)
    needing: dict[int, list[int]] = {}
    for high in draft.changes():
        if high.state is ChangeState.OPEN and lane(draft, high) == own:
            for low in needed(draft, high):
                needing.setdefault(low.id, []).append(high.id)
    up = graph.components(change.id, lambda number: needing.get(number, []))
    found = dict.fromkeys((*within(draft, change), *(each for group in up[::-1] for each in group)))
    return [draft.get(Change, number) for number in found]


class Cause(enum.StrEnum):
    """What kind of a thing keeps a change out of the gate."""

    CIRCLE = "circle"
    OUTDATED = "outdated"
    """It is made on a patch set that another one has replaced."""
    ABANDONED = "abandoned"
    """What it needs was abandoned."""
    ELSEWHERE = "elsewhere"
    """What it needs goes through another queue, and has to land first."""
    UNAPPROVED = "unapproved"
    UNASKED = "unasked"
    """Nobody has asked to land what it needs."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """A thing that keeps a change out of the gate, in words; `change` is the one to do with it.

    It is `lasting` where nothing but another patch set, or other rules, takes it away.
    """

    text: str
    cause: Cause
    change: int
    lasting: bool = False


def why_not(draft: Draft, change: Change) -> str | None:
    """What keeps the change out of the gate apart from itself, in words; None if nothing does."""
    return "; ".join(each.text for each in obstacles(draft, change)) or None


def never(draft: Draft, change: Change) -> str | None:
    """What would keep the change out for ever, in words; None if waiting may help."""
    return "; ".join(each.text for each in obstacles(draft, change) if each.lasting) or None


def obstacles(draft: Draft, change: Change) -> list[Obstacle]:
    """Each thing that keeps the change out of the gate apart from itself.

    Something among what it needs, at any depth, or the patch set that it is built on.
    """
    if draft.gate_item(change.id) is not None:
        return []
    found: list[Obstacle] = []
    edges = _edges(draft)
    for group in reversed(graph.components(change.id, edges)):
        first = change.id if change.id in group else group[0]
        if len(group) > 1 and bundle(draft, draft.get(Change, first)) != frozenset(group):
            way = " → ".join(map(str, graph.loop(first, edges) or ()))
            text = f"{_whose(first, change)}needs itself, which is not allowed: {way}"
            circle = Obstacle(text=text, cause=Cause.CIRCLE, change=first, lasting=True)
            found.append(circle)
        for member in _in_order(draft, group):
            if member.state is ChangeState.OPEN and draft.gate_item(member.id) is None:
                found += _own_obstacles(draft, member, change)
    return found


def _whose(number: int, change: Change) -> str:
    return "" if number == change.id else f"#{number} "


def _own_obstacles(draft: Draft, change: Change, asked: Change) -> list[Obstacle]:
    """What keeps the change out by itself, as said to who asked about `asked`."""
    found, whose = [], _whose(change.id, asked)
    below = draft.patch_set(change.id, change.patch_set).needs_change
    if below is not None and is_outdated(draft, change):
        verb = whose and f"{whose}is "
        text = f"{verb}built on an outdated patch set of #{below}: rebase onto its newest"
        text = f"{text} and push again"
        found.append(Obstacle(text=text, cause=Cause.OUTDATED, change=below, lasting=True))
    for other in needed(draft, change):
        if (why := _why_wait(draft, change, other)) is not None:
            cause, words = why
            text = f"{whose}needs #{other.id}, which {words}"
            lasting = cause is Cause.ABANDONED
            found.append(Obstacle(text=text, cause=cause, change=other.id, lasting=lasting))
    return found


def _why_wait(draft: Draft, change: Change, other: Change) -> tuple[Cause, str] | None:
    """Why `change` cannot enter together with or behind `other`, which it needs."""
    if other.state is ChangeState.ABANDONED:
        return Cause.ABANDONED, "was abandoned"
    if lane(draft, other) != lane(draft, change):
        queue = draft.queue(other.project_id).name
        where = f"branch {other.branch}" if _same_queue(draft, change, other) else f"queue {queue}"
        words = f"has to land first, as it goes through another queue ({where})"
        return Cause.ELSEWHERE, words
    if draft.gate_item(other.id) is not None:
        return None
    if not is_approved(draft, other):
        return Cause.UNAPPROVED, "lacks approval"
    return None if other.wants_land else (Cause.UNASKED, "nobody has asked to land")


def _same_queue(draft: Draft, change: Change, other: Change) -> bool:
    return draft.queue(change.project_id).id == draft.queue(other.project_id).id
