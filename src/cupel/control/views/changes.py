"""Lists of changes: those that fit, and what each waits for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from cupel.control import load
from cupel.control.views import lookup, queue
from cupel.control.views.nouns.change import ListedChange
from cupel.control.views.nouns.view import Page
from cupel.core import admission
from cupel.core.draft import Draft
from cupel.core.model import Change, ChangeState, Item, ItemState, Pipeline, Project
from cupel.report import messages
from cupel.store.interface import Transaction


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which changes are listed. `author` is a whole `Name <mail>` or an owner's name; all words of
    `text` are in the title, the author, the owner, the topic or the number."""

    project: str | None = None
    state: ChangeState | None = None
    author: str | None = None
    branch: str | None = None
    topic: str | None = None
    text: str | None = None


async def change_list(
    tx: Transaction, wanted: Wanted, *, limit: int = 50, before: int | None = None
) -> Page[ListedChange]:
    """Changes that fit, newest first."""
    rows = await _rows(tx, wanted, limit=limit + 1, before=before)
    shown = rows[:limit]
    return Page(entries=await _listed(tx, shown), next=shown[-1].id if len(rows) > limit else None)


async def _rows(tx: Transaction, wanted: Wanted, *, limit: int, before: int | None) -> list[Change]:
    where: dict[str, object] = {}
    if wanted.project is not None:
        where["project_id"] = (await queue.named(tx, wanted.project)).id
    if wanted.state is not None:
        where["state"] = wanted.state
    if wanted.author is not None:
        where["author" if "<" in wanted.author else "owner"] = wanted.author
    if wanted.branch is not None:
        where["branch"] = wanted.branch
    if wanted.topic is not None:
        where["topic"] = wanted.topic
    words = (wanted.text or "").casefold().split()
    if not words:
        return await tx.select(Change, where, descending=True, limit=limit, before=before)
    fields = ("id", "title", "author", "owner", "topic")
    all_rows = await tx.values(Change, fields, where, descending=True, before=before)
    ids = [row[0] for row in all_rows if _has(row, words)][:limit]
    found = await tx.select(Change, {"id": ids}) if ids else []
    return sorted(found, key=lambda row: -row.id)


def _has(row: Sequence[object], words: Sequence[str]) -> bool:
    text = "\n".join(("#" + str(row[0]), *(str(each or "") for each in row[1:]))).casefold()
    return all(word in text for word in words)


async def _listed(tx: Transaction, rows: Sequence[Change]) -> list[ListedChange]:
    draft = await load.with_needs(tx, [row for row in rows if row.state is ChangeState.OPEN])
    projects = await lookup.by_id(tx, Project, (row.project_id for row in rows))
    stands = await _stands(tx, rows)
    return [
        ListedChange(
            **dict(lookup.change_ref(row, projects)),
            waiting=_waiting(draft, row) if row.state is ChangeState.OPEN else None,
            check=stands.get((row.id, Pipeline.CHECK)),
            gate=stands.get((row.id, Pipeline.GATE)),
            approvals_given=_given(draft, row) if row.state is ChangeState.OPEN else 0,
            approvals_needed=projects[row.project_id].policy.approvals,
        )
        for row in rows
    ]


async def _stands(
    tx: Transaction, rows: Sequence[Change]
) -> Mapping[tuple[int, Pipeline], ItemState]:
    """The states of the newest items of newest patch sets."""
    newest = {row.id: row.patch_set for row in rows}
    items = await tx.select(Item, {"change_id": set(newest)}) if newest else []
    return {
        (item.change_id, item.pipeline): item.state
        for item in items
        if item.change_id is not None and newest[item.change_id] == item.patch_set
    }


def _given(draft: Draft, change: Change) -> int:
    return len(admission.approving(draft, change))


def _waiting(draft: Draft, change: Change) -> str:
    """What an open change waits for on its way to the branch, in words."""
    item = draft.gate_item(change.id)
    if item is not None:
        if item.state is ItemState.LANDING:
            return messages.waits_for_landing()
        return item.wait or messages.BEING_PROVED
    if not admission.is_approved(draft, change):
        needed = draft.get(Project, change.project_id).policy.approvals
        return messages.waits_for_approvals(_given(draft, change), needed)
    if not change.wants_land:
        return messages.waits_for_land()
    return admission.why_not(draft, change) or messages.waits_for_entry()
