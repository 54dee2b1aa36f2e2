"""The gate: a speculative merge queue, planned afresh from what is there.

The rules are those of a dependent pipeline as Zuul's manual describes it (Zuul, "Project Gating").
Each item is proved on the state of the nearest item ahead that is not known to be bad, or on the
branch head when there is none. An item is *only* believed to be bad when nothing is ahead of it:
its state then is the branch head plus itself. What it is proved on is named by a commit, so an
item whose predecessor has landed keeps its builds: the commit beneath it is the same one.
"""

from __future__ import annotations

import dataclasses
from dataclasses import replace

from cupel.core import admission, buildset, item, lifecycle
from cupel.core.buildset import Outcome, Standing
from cupel.core.draft import Draft
from cupel.core.model import (
    Buildset,
    BuildsetState,
    Change,
    ChangeState,
    Item,
    ItemState,
    Pipeline,
    Policy,
    Project,
    Reason,
)


@dataclasses.dataclass(slots=True)
class _Ahead:
    """What an item has ahead of it, as the walk down the queue goes.

    `onto` is the commit to be proved on, unless it is not known yet (`known` False). `changes` are
    those ahead, `failing` the ones among them that are held to be bad for now.
    """

    onto: str | None
    known: bool = True
    empty: bool = True
    changes: set[int] = dataclasses.field(default_factory=set)
    failing: set[int] = dataclasses.field(default_factory=set)


def plan(draft: Draft) -> None:
    """Plan every queue: one per project and branch, each by itself."""
    queues: dict[tuple[int, str], list[Item]] = {}
    for entry in draft.live_items(Pipeline.GATE):
        queues.setdefault((entry.project_id, entry.branch), []).append(entry)
    for (project_id, branch), entries in queues.items():
        policy = draft.get(Project, project_id).policy
        ahead = _Ahead(onto=draft.branch(project_id, branch).head)
        for entry in entries:
            _plan_item(draft, entry, ahead, policy)


def _plan_item(draft: Draft, entry: Item, ahead: _Ahead, policy: Policy) -> None:
    change = draft.get(Change, entry.change_id)
    if entry.state is ItemState.LANDING:
        _pass_by(draft, entry, ahead)
        return
    unfit = why_unfit(draft, entry, change, ahead.changes)
    if unfit is not None:
        item.leave(draft, entry, "remove", unfit)
        return
    if _needs(draft, change) & ahead.failing:
        item.supersede(draft, entry, "a change that it needs is failing")
        _keep_aside(change, ahead)
        return
    if not ahead.known:
        item.supersede(draft, entry, "what is ahead of it is proved on another state")
        _pass_by(draft, entry, ahead)
        return
    entry = _on_right_state(draft, entry, ahead)
    _judge(draft, entry, change, ahead, policy)


def why_unfit(draft: Draft, entry: Item, change: Change, ahead: set[int]) -> Reason | None:
    """Why the item must leave the gate whatever its builds say; None if it may stay."""
    if change.state is not ChangeState.OPEN:
        return Reason.ABANDONED
    if entry.patch_set != change.patch_set:
        return Reason.NEW_PATCH_SET
    if not change.wants_land:
        return Reason.DEQUEUED
    if not admission.is_approved(draft, change):
        return Reason.UNAPPROVED
    if _needs(draft, change) - ahead:
        return Reason.NEEDS_LEFT
    return None


def _needs(draft: Draft, change: Change) -> set[int]:
    below = admission.needed(draft, change)
    return set() if below is None else {below.id}


def _on_right_state(draft: Draft, entry: Item, ahead: _Ahead) -> Item:
    present = draft.find(Buildset, entry.buildset_id)
    stale = (
        present is None or present.onto != ahead.onto or present.state is BuildsetState.SUPERSEDED
    )
    return item.prove_on(draft, entry, ahead.onto) if stale else entry


def _judge(draft: Draft, entry: Item, change: Change, ahead: _Ahead, policy: Policy) -> None:
    present = draft.get(Buildset, entry.buildset_id)
    outcome = buildset.evaluate(present, draft.builds(present.id), policy)
    match outcome.standing:
        case Standing.FAILING if ahead.empty:
            item.leave(draft, entry, "reject", outcome.reason, outcome.detail)
        case Standing.FAILING:
            _hold_to_be_bad(draft, entry, present, outcome)
            _keep_aside(change, ahead)
        case Standing.SUCCESS if ahead.empty:
            state = lifecycle.step(lifecycle.ITEM, entry.state, "land")
            draft.tell("item.landing", "proved; moving the branch", **item.about(entry))
            _pass_by(draft, draft.put(replace(entry, state=state)), ahead)
        case Standing.SUCCESS | Standing.PENDING:
            buildset.advance(draft, entry, present, policy)
            _pass_by(draft, entry, ahead)


def _hold_to_be_bad(draft: Draft, entry: Item, present: Buildset, outcome: Outcome) -> None:
    """It fails on a state that may not come: it keeps its place, and what it still runs stops."""
    buildset.fail_fast(draft, entry, present, f"{outcome.detail or outcome.reason}")


def _keep_aside(change: Change, ahead: _Ahead) -> None:
    ahead.changes.add(change.id)
    ahead.failing.add(change.id)
    ahead.empty = False


def _pass_by(draft: Draft, entry: Item, ahead: _Ahead) -> None:
    """What is behind is proved on this item's state."""
    present = draft.find(Buildset, entry.buildset_id)
    ready = present is not None and present.state is BuildsetState.READY
    ahead.known = ready
    ahead.onto = present.commit if ready and present is not None else None
    ahead.empty = False
    assert entry.change_id is not None
    ahead.changes.add(entry.change_id)
