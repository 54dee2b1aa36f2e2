"""What a change needs and what needs it, at any depth and in any project, in landing order."""

from __future__ import annotations

from collections.abc import Mapping

from cupel.control.views import lookup
from cupel.control.views.nouns.change import ChainView
from cupel.core import admission, graph
from cupel.core.draft import Draft
from cupel.core.model import Change, ChangeState, PatchSet, Project
from cupel.store.interface import Transaction

MOST = 40
"""Changes of a chain that are shown; the nearest."""


def numbers(patch_set: PatchSet) -> list[int]:
    """The changes that a patch set needs, that below first."""
    named = dict.fromkeys((patch_set.needs_change, *patch_set.depends_on))
    return [number for number in named if number is not None]


async def chain(tx: Transaction, draft: Draft, change: Change) -> list[ChainView]:
    """The change with all that it needs, and all open ones that need it; alone if there are none.

    `draft` has what it needs. What a change that has ended needs is not followed.
    """
    open_ones = {row.id: row for row in await tx.select(Change, {"state": ChangeState.OPEN})}
    newest = {
        row.change_id: row
        for row in await tx.select(PatchSet, {"change_id": set(open_ones)})
        if row.number == open_ones[row.change_id].patch_set
    }
    known = {row.id: row for row in draft.all(Change)} | open_ones
    down = {
        row.id: numbers(draft.patch_set(row.id, row.patch_set)) for row in draft.all(Change)
    } | {number: numbers(patch_set) for number, patch_set in newest.items()}
    up: dict[int, list[int]] = {}
    for number in newest:
        for need in down[number]:
            up.setdefault(need, []).append(number)
    below = _reached(change.id, down, known)
    above = _reached(change.id, up, known)
    shown = dict.fromkeys((*below, change.id, *above))
    projects = await lookup.by_id(tx, Project, (known[number].project_id for number in shown))
    circles = _circles(list(shown), down)
    return [
        ChainView(
            **dict(lookup.change_ref(known[number], projects)),
            needs=[need for need in down.get(number, ()) if need in shown],
            is_self=number == change.id,
            circle=number in circles,
            waiting=_waiting(draft, known[number], change),
        )
        for number in _landing_order(list(shown), down)
    ]


def _reached(start: int, edges: Mapping[int, list[int]], known: Mapping[int, Change]) -> list[int]:
    """What is reached from `start`, the nearest first; through open changes alone."""
    found: dict[int, None] = {}
    nearest = [start]
    while nearest and len(found) < MOST:
        following = [
            other
            for number in nearest
            if number == start or known[number].state is ChangeState.OPEN
            for other in edges.get(number, ())
            if other in known and other != start and other not in found
        ]
        nearest = list(dict.fromkeys(following))[: MOST - len(found)]
        found |= dict.fromkeys(nearest)
    return list(found)


def _landing_order(shown: list[int], down: Mapping[int, list[int]]) -> list[int]:
    """What is needed before what needs it."""
    order: dict[int, None] = {}
    for number in sorted(shown):
        for group in graph.components(number, lambda id: _within(id, shown, down)):
            order |= dict.fromkeys(sorted(group))
    return list(order)


def _circles(shown: list[int], down: Mapping[int, list[int]]) -> set[int]:
    found: set[int] = set()
    for number in shown:
        for group in graph.components(number, lambda id: _within(id, shown, down)):
            if len(group) > 1:
                found.update(group)
    return found


def _within(number: int, shown: list[int], down: Mapping[int, list[int]]) -> list[int]:
    return [need for need in down.get(number, ()) if need in shown and need != number]


def _waiting(draft: Draft, change: Change, own: Change) -> str | None:
    """What stands in the way of another one that is needed, as far as the draft knows."""
    if change.id == own.id or change.state is not ChangeState.OPEN:
        return None
    if draft.find(Change, change.id) is None:
        return None
    if draft.gate_item(change.id) is not None:
        return "in the gate"
    if not admission.is_approved(draft, change):
        return "lacks approval"
    return None if change.wants_land else "nobody has asked to land it"
