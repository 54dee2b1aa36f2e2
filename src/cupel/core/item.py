"""What happens to an item whatever its pipeline: states made and thrown away, and how it leaves."""

from __future__ import annotations

from dataclasses import replace

from cupel.core import buildset as buildsets
from cupel.core import evidence, history, lenience, lifecycle
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
    Queue,
    Reason,
    Role,
)

_OWN_FAULT = frozenset({Reason.BUILD_FAILED, Reason.TIMED_OUT, Reason.MISCONFIGURED})

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
    """Prove the item on one state, with the queue's other projects as they are now."""
    heads = {
        branch.project_id: branch.head
        for branch in draft.all(Branch)
        if branch.name == item.branch and branch.project_id != item.project_id
    }
    queue = draft.get(Project, item.project_id).queue_id
    beside = tuple(
        sorted(
            (number, head)
            for number, head in heads.items()
            if head is not None and draft.get(Project, number).queue_id == queue
        )
    )
    made = prepare(draft, item, onto, beside)
    return draft.put(replace(item, buildset_id=made.id))


def prepare(
    draft: Draft,
    item: Item,
    onto: str | None,
    beside: tuple[tuple[int, str], ...] = (),
    *,
    role: Role = Role.PROOF,
) -> Buildset:
    """A new state of the item, to be made."""
    return draft.put(
        Buildset(
            id=draft.new_id(),
            item_id=item.id,
            number=1 + len(draft.buildsets(item.id)),
            onto=onto,
            state=BuildsetState.PREPARING,
            commit=None,
            tree=None,
            jobs=(),
            detail=None,
            notice=None,
            created_at=draft.now,
            role=role,
            beside=beside,
        )
    )


def supersede(draft: Draft, buildset: Buildset, why: str) -> None:
    """A state is of no use any more: stop its builds."""
    if buildset.state is BuildsetState.SUPERSEDED:
        return
    buildsets.stop(draft, buildset, why)
    state = lifecycle.step(lifecycle.BUILDSET, buildset.state, "supersede")
    draft.put(replace(buildset, state=state, finished_at=draft.now))
    item = draft.get(Item, buildset.item_id)
    if item.buildset_id == buildset.id:
        draft.tell("item.reset", why, **about(item))


def leave(
    draft: Draft, item: Item, event: str, reason: Reason | None = None, detail: str | None = None
) -> Item:
    """The item ends by `event` (pass, reject or remove); what it still runs stops.

    Leaving the gate ends the standing request to land: the next one is a person's to make.
    """
    for buildset in draft.buildsets(item.id):
        if buildset.state is not BuildsetState.SUPERSEDED:
            buildsets.stop(draft, buildset, f"the item was {_WORDS[event]}")
            draft.put(replace(buildset, finished_at=draft.now))
    done = replace(
        item,
        state=lifecycle.step(lifecycle.ITEM, item.state, event),
        finished_at=draft.now,
        reason=reason,
        detail=detail,
        wait=None,
    )
    change = draft.find(Change, item.change_id)
    if change is not None and item.pipeline is Pipeline.GATE and reason in _OWN_FAULT:
        history.change_rejected(draft, change)
    if item.pipeline is Pipeline.GATE and change is not None and change.patch_set == item.patch_set:
        draft.put(replace(change, wants_land=False, anew=False, updated_at=draft.now))
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
    _finish_states(draft, item, buildset)
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
    history.change_landed(draft, change)
    lenience.landed(draft, buildset)
    evidence.audit(draft, done, buildset)
    _widen(draft, project)
    if item.lands_with in (None, item.id):
        assert buildset.commit is not None
        enqueue_landed(draft, done, buildset.commit)
    return done


def _finish_states(draft: Draft, item: Item, landed: Buildset) -> None:
    """Of the state that has landed, jobs that do not vote go on if they run already; nobody waits
    for those that do not. Other states will not come."""
    for buildset in draft.buildsets(item.id):
        if buildset.id != landed.id:
            supersede(draft, buildset, "the change has landed on another state")
    present = draft.get(Buildset, landed.id)
    draft.put(replace(present, finished_at=draft.now))
    for build in draft.builds(landed.id):
        buildsets.stop_build(draft, build, "the change has landed", started_too=build.voting)


def _widen(draft: Draft, project: Project) -> None:
    """A landing lets the window of its queue grow, if it has one."""
    queue = draft.get(Queue, project.queue_id)
    if queue.window is not None:
        ceiling = queue.window_ceiling
        wider = queue.window + 1 if ceiling is None else min(ceiling, queue.window + 1)
        draft.put(replace(queue, window=max(queue.window, wider)))


def head_seen(draft: Draft, branch: Branch, head: str | None) -> None:
    """The branch stands at `head`. Planning proves again what was proved on another commit."""
    if branch.head != head:
        draft.put(replace(branch, head=head))
        draft.tell("branch.moved", f"{branch.name} is at {head}", project_id=branch.project_id)


def about(item: Item) -> dict[str, int | str | None]:
    """What an event about the item refers to."""
    return {"project_id": item.project_id, "change_id": item.change_id, "item_id": item.id}
