"""The gate: every queue planned afresh from what is there, after every fact.

A `Lane` reads the rows as a lattice of states. Then, in this order: what may not stay leaves; what
has failed beyond doubt on the head is rejected; what has passed in its turn lands; and the queue's
planner says which states to prove, and in which order (`core.speculation`). Items behind one that
is suspect are proved without it and may overtake it, so that no failure holds up the rest.
"""

from __future__ import annotations

from cupel.core import admission, buildset, evidence, host, item, judgement, proving, standing
from cupel.core.draft import Draft
from cupel.core.lane import Lane
from cupel.core.model import (
    BuildsetState,
    Change,
    ChangeState,
    Host,
    Item,
    ItemState,
    Landing,
    Pipeline,
    Project,
    Queue,
    Reason,
    Role,
)
from cupel.core.speculation import POLICIES, belief, policy
from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.judge import Rules
from cupel.core.speculation.optimistic import Optimistic
from cupel.core.speculation.policy import Plan, Policy

_SPARE = 2
"""Builds that may wait for a machine, so that none is idle between two plannings."""


def plan(draft: Draft) -> bool:
    """Plan every queue for every branch, each by itself. Whether more may follow from that."""
    lanes: dict[tuple[int, str], list[Item]] = {}
    for entry in draft.live_items(Pipeline.GATE):
        queue = draft.queue(entry.project_id)
        lanes.setdefault((queue.id, entry.branch), []).append(entry)
    more = [
        _plan_lane(draft, draft.get(Queue, queue_id), entries)
        for (queue_id, _), entries in lanes.items()
    ]
    return any(more)


def _plan_lane(draft: Draft, queue: Queue, entries: list[Item]) -> bool:
    """Whether more may follow. It does not from builds that are begun or stopped."""
    if _remove_unfit(draft, queue, entries):
        return True
    landing = [entry for entry in entries if entry.state is ItemState.LANDING]
    waiting = [entry for entry in entries if entry.state is not ItemState.LANDING]
    if not waiting:
        return False
    rules = rules_of(queue)
    _take_known_passes(draft, waiting)
    lane = Lane(draft, queue, waiting, landing)
    beliefs = belief.infer(lane.lattice, draft.now)
    if not landing and judgement.judge_lane(draft, lane, beliefs, rules):
        return True
    made = propose(draft, lane, beliefs)
    more = proving.carry_out(draft, lane, beliefs, made)
    standing.say_why(draft, lane, beliefs, made)
    return more


def _take_known_passes(draft: Draft, waiting: list[Item]) -> None:
    """Whatever the planner wants: what is proved already is proved."""
    for entry in waiting:
        asked = draft.get(Project, entry.project_id).policy
        for proof in draft.buildsets(entry.id):
            if proof.state is BuildsetState.READY and proof.role is Role.PROOF:
                for job in evidence.reusable_jobs(draft, proof):
                    if not draft.unfinished_of(proof.id, job.name):
                        buildset.advance_wanted(draft, entry, proof, job, asked, wanted=False)


def rules_of(queue: Queue) -> Rules:
    landing_set = queue.landing is Landing.SET
    if queue.planner == "optimistic":
        return Rules(landing_set=landing_set, reruns=1, overtaking=False)
    return Rules(landing_set=landing_set)


def propose(draft: Draft, lane: Lane, beliefs: Beliefs) -> Plan:
    """What the queue's planner would have."""
    window = lane.queue.window
    entries = lane.lattice.entries
    beyond = [] if window is None else entries[window:]
    if beyond:
        lane.lattice.entries = entries[:window]
    made = _policy(lane.queue).plan(
        lane.lattice,
        beliefs,
        now=draft.now,
        machines=machines(draft) + _SPARE,
        landing_set=lane.queue.landing is Landing.SET,
    )
    lane.lattice.entries = entries
    for entry in beyond:
        made.waits[entry.id] = policy.beyond(window or 0)
    return made


def _policy(queue: Queue) -> Policy:
    if queue.planner == "optimistic":
        return Optimistic(reruns=1)
    return POLICIES[queue.planner]()


def machines(draft: Draft) -> int:
    """Machines that the gate could have at a time."""
    return sum(each.slots for each in draft.all(Host) if host.takes_more(each, draft.now))


def _remove_unfit(draft: Draft, queue: Queue, entries: list[Item]) -> bool:
    """Whether somebody had to leave whatever the builds say."""
    ahead: set[int] = set()
    live = {entry.change_id for entry in entries if entry.change_id is not None}
    found = False
    for entry in entries:
        assert entry.change_id is not None
        if entry.state is not ItemState.LANDING:
            change = draft.get(Change, entry.change_id)
            unfit = why_unfit(draft, queue, entry, change, ahead, live)
            if unfit is not None:
                item.leave(draft, entry, "remove", unfit)
                live.discard(entry.change_id)
                found = True
                continue
        ahead.add(entry.change_id)
    return found


def why_unfit(
    draft: Draft,
    queue: Queue,
    entry: Item,
    change: Change,
    ahead: set[int],
    live: set[int],
) -> Reason | None:
    """Why the item must leave the gate whatever its builds say; None if it may stay.

    `ahead` are the changes ahead of it, `live` all that are in the queue.
    """
    if change.state is not ChangeState.OPEN:
        return Reason.ABANDONED
    if entry.patch_set != change.patch_set:
        return Reason.NEW_PATCH_SET
    if not change.wants_land:
        return Reason.DEQUEUED
    if not admission.is_approved(draft, change):
        return Reason.UNAPPROVED
    needs = {below.id for below in admission.needed(draft, change)}
    if needs - ahead:
        bundle = admission.bundle(draft, change)
        if needs - ahead - bundle or not bundle <= live:
            circular = needs <= live and not queue.cycles
            return Reason.CYCLE if circular else Reason.NEEDS_LEFT
    return None
