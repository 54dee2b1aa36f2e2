"""What concerns one user: their changes and what each waits for, and what they have asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from cupel.control import load
from cupel.control.views import change as changes
from cupel.control.views import flake, hold, lane, lookup
from cupel.control.views import item as items
from cupel.control.views.nouns.item import ItemView
from cupel.control.views.nouns.mine import LandedView, MineView, OwnChangeView
from cupel.core import admission
from cupel.core.draft import Draft
from cupel.core.model import (
    LIVE_ITEMS,
    Approval,
    Change,
    ChangeState,
    Item,
    ItemState,
    Pipeline,
    Project,
)
from cupel.report import messages
from cupel.store.interface import Transaction

MOST = 100
"""Open changes of a user that are shown."""

LANDED = 20

_WRONG = frozenset({"failed", "conflict", "misconfigured", "rejected", "infra", "timeout"})
"""Statuses of places from which a change does not go on by itself."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """One word for how a change stands, why, and whether its owner has to do something."""

    status: str
    text: str
    needs_owner: bool


async def mine_view(tx: Transaction, user: str, *, now: float) -> MineView:
    """What concerns the user of this name, who need not be known."""
    rows = await tx.select(
        Change, {"owner": user, "state": ChangeState.OPEN}, descending=True, limit=MOST
    )
    return MineView(
        user=user,
        changes=await _open(tx, rows, now),
        landed=await _landed(tx, user),
        holds=[each for each in await hold.hold_list(tx, now=now) if each.owner == user],
        quarantines=[
            each for each in await flake.quarantine_list(tx, now=now) if each.owner == user
        ],
    )


async def _open(tx: Transaction, rows: Sequence[Change], now: float) -> list[OwnChangeView]:
    """Those first that need their owner, and then by age."""
    draft = await load.with_needs(tx, rows)
    approvals = await tx.select(Approval, {"change_id": {row.id for row in rows}})
    places = await _places(tx, rows, now)
    projects = {row.id: row for row in draft.all(Project)}
    found = []
    for row in rows:
        given = changes.counting(
            row, [each for each in approvals if each.change_id == row.id],
            projects[row.project_id].policy,
        )  # fmt: skip
        place = places.get(row.id)
        standing = _standing(row, place, len({each.user for each in given}), draft)
        found.append(
            OwnChangeView(
                **dict(lookup.change_ref(row, projects)),
                status=standing.status,
                text=standing.text,
                needs_owner=standing.needs_owner,
                pipeline=None if place is None else place.pipeline,
                jobs=[] if place is None else place.jobs,
            )
        )
    return sorted(found, key=lambda each: not each.needs_owner)


async def _places(tx: Transaction, rows: Sequence[Change], now: float) -> dict[int, ItemView]:
    """The place of each change's newest patch set that says most: in a gate, or else its newest."""
    own = await tx.select(Item, {"change_id": {row.id for row in rows}})
    newest: dict[int, Item] = {}
    patch_sets = {row.id: row.patch_set for row in rows}
    for item in own:
        number = item.change_id or 0
        before = newest.get(number)
        if item.patch_set != patch_sets[number]:
            continue
        if before is None or before.state not in LIVE_ITEMS or item.state in LIVE_ITEMS:
            newest[number] = item
    chosen = list(newest.values())
    gates: list[Item] = []
    if any(item.pipeline is Pipeline.GATE and item.state in LIVE_ITEMS for item in chosen):
        gates = await tx.select(Item, {"pipeline": Pipeline.GATE, "state": LIVE_ITEMS})
    survey = await items.survey_of(tx, gates) if gates else lane.Survey()
    seen = items.item_views(await items.rows_of(tx, chosen, now), chosen, survey, now)
    return {view.change: view for view in seen if view.change is not None}


def _standing(change: Change, place: ItemView | None, given: int, draft: Draft) -> _Standing:
    """In the words of the queue, as far as the change is in one."""
    live = place is not None and place.state in LIVE_ITEMS
    if place is not None and place.status in _WRONG:
        text = place.waiting if live else place.text
        return _Standing(status=place.status, text=text or "", needs_owner=True)
    if place is not None and live and place.pipeline is Pipeline.GATE:
        return _Standing(status=place.status, text=place.waiting or "", needs_owner=False)
    if (never := admission.never(draft, change)) is not None:
        return _Standing(status="rejected", text=never, needs_owner=True)
    word = place.status if place is not None and live else "waiting"
    approvals = draft.get(Project, change.project_id).policy.approvals
    if given < approvals:
        text = messages.waits_for_approvals(given, approvals)
        return _Standing(status=word, text=text, needs_owner=True)
    if not change.wants_land:
        return _Standing(status=word, text=messages.waits_for_land(), needs_owner=True)
    text = admission.why_not(draft, change) or messages.waits_for_entry()
    return _Standing(status=word, text=text, needs_owner=False)


async def _landed(tx: Transaction, user: str) -> list[LandedView]:
    rows = await tx.select(
        Change, {"owner": user, "state": ChangeState.LANDED}, order="updated_at", descending=True,
        limit=LANDED,
    )  # fmt: skip
    projects = await lookup.by_id(tx, Project, (row.project_id for row in rows))
    where = {"change_id": {row.id for row in rows}, "state": ItemState.LANDED}
    places = await tx.select(Item, where) if rows else []
    ends = {item.change_id: item.finished_at for item in places}
    found = [
        LandedView(
            **dict(lookup.change_ref(row, projects)),
            commit=row.landed_commit,
            landed_at=ends.get(row.id) or row.updated_at,
        )
        for row in rows
    ]
    return sorted(found, key=lambda each: -each.landed_at)
