"""What happens to an item whatever its pipeline: states made and thrown away, and how it leaves."""

from __future__ import annotations

from dataclasses import replace

from cupel.core import buildset as buildsets
from cupel.core import lifecycle
from cupel.core.draft import Draft
from cupel.core.model import (
    Branch,
    Buildset,
    BuildsetState,
    Change,
    Item,
    ItemState,
    PatchSet,
    Pipeline,
    Project,
    Reason,
)

_WORDS = {"pass": "passed", "reject": "rejected", "remove": "removed"}


def enqueue(
    draft: Draft,
    pipeline: Pipeline,
    change: Change,
    patch_set: PatchSet,
    *,
    position: int | None = None,
) -> Item:
    """A new item at a position of its pipeline, by default the end."""
    number = draft.new_id()
    item = Item(
        id=number,
        pipeline=pipeline,
        project_id=change.project_id,
        branch=change.branch,
        change_id=change.id,
        patch_set=patch_set.number,
        commit=patch_set.commit,
        state=ItemState.LIVE,
        position=number if position is None else position,
        buildset_id=None,
        enqueued_at=draft.now,
    )
    draft.tell("item.enqueued", f"entered {pipeline}", **about(item))
    return draft.put(item)


def enqueue_landed(draft: Draft, item: Item, commit: str) -> Item:
    """The landed commit of a gate item goes on to `post`."""
    number = draft.new_id()
    landed = replace(
        item,
        id=number,
        pipeline=Pipeline.POST,
        commit=commit,
        state=ItemState.LIVE,
        position=number,
        buildset_id=None,
        enqueued_at=draft.now,
        finished_at=None,
    )
    draft.tell("item.enqueued", "entered post", **about(landed))
    return draft.put(landed)


def prove_on(draft: Draft, item: Item, onto: str | None) -> Item:
    """Start over on another state: a new buildset, to be prepared; the old one's builds stop."""
    old = draft.find(Buildset, item.buildset_id)
    item = supersede(draft, item, "the state it was proved on will not come")
    buildset = Buildset(
        id=draft.new_id(),
        item_id=item.id,
        number=1 if old is None else old.number + 1,
        onto=onto,
        state=BuildsetState.PREPARING,
        commit=None,
        tree=None,
        jobs=(),
        detail=None,
        notice=None,
        created_at=draft.now,
    )
    draft.put(buildset)
    return draft.put(replace(item, buildset_id=buildset.id))


def supersede(draft: Draft, item: Item, why: str) -> Item:
    """The item's present state is of no use any more: stop its builds."""
    buildset = draft.find(Buildset, item.buildset_id)
    if buildset is None or buildset.state is BuildsetState.SUPERSEDED:
        return item
    buildsets.stop(draft, buildset, why)
    state = lifecycle.step(lifecycle.BUILDSET, buildset.state, "supersede")
    draft.put(replace(buildset, state=state, finished_at=draft.now))
    draft.tell("item.reset", why, **about(item))
    return item


def leave(
    draft: Draft, item: Item, event: str, reason: Reason | None = None, detail: str | None = None
) -> Item:
    """The item ends by `event` (pass, reject or remove); what it still runs stops.

    Leaving the gate ends the standing request to land: the next one is a person's to make.
    """
    buildset = draft.find(Buildset, item.buildset_id)
    if buildset is not None and buildset.state is not BuildsetState.SUPERSEDED:
        buildsets.stop(draft, buildset, f"the item was {_WORDS[event]}")
        draft.put(replace(buildset, finished_at=draft.now))
    done = replace(
        item,
        state=lifecycle.step(lifecycle.ITEM, item.state, event),
        finished_at=draft.now,
        reason=reason,
        detail=detail,
    )
    change = draft.find(Change, item.change_id)
    if item.pipeline is Pipeline.GATE and change is not None and change.patch_set == item.patch_set:
        draft.put(replace(change, wants_land=False, updated_at=draft.now))
    text = f"{_WORDS[event]} in {item.pipeline}" + (f": {reason}" if reason else "")
    draft.tell(f"item.{_WORDS[event]}", text, **about(item))
    return draft.put(done)


def land(draft: Draft, item: Item) -> Item:
    """The branch now stands at the item's state.

    A patch set that was pushed meanwhile came too late: the change is what has landed of it.
    """
    project = draft.get(Project, item.project_id)
    change = draft.get(Change, item.change_id)
    buildset = draft.get(Buildset, item.buildset_id)
    branch = draft.branch(project.id, item.branch)
    draft.put(replace(branch, head=buildset.commit))
    draft.put(replace(buildset, finished_at=draft.now))
    # Jobs that do not vote go on if they run already; nobody waits for those that do not.
    buildsets.stop(draft, buildset, "the change has landed", started_too=False)
    draft.put(
        replace(
            change,
            state=lifecycle.step(lifecycle.CHANGE, change.state, "land"),
            patch_set=item.patch_set or change.patch_set,
            wants_land=False,
            landed_commit=buildset.commit,
            updated_at=draft.now,
        )
    )
    state = lifecycle.step(lifecycle.ITEM, item.state, "landed")
    done = draft.put(replace(item, state=state, finished_at=draft.now))
    draft.tell("change.landed", f"landed as {buildset.commit}", **about(item))
    assert buildset.commit is not None
    enqueue_landed(draft, done, buildset.commit)
    return done


def head_seen(draft: Draft, branch: Branch, head: str | None) -> None:
    """The branch stands at `head`. Planning proves again what was proved on another commit."""
    if branch.head != head:
        draft.put(replace(branch, head=head))
        draft.tell("branch.moved", f"{branch.name} is at {head}", project_id=branch.project_id)


def about(item: Item) -> dict[str, int | str | None]:
    """What an event about the item refers to."""
    return {"project_id": item.project_id, "change_id": item.change_id, "item_id": item.id}
