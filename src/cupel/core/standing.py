"""What each item of a gate waits for, in words for people."""

from __future__ import annotations

from dataclasses import replace

from cupel.core import proving
from cupel.core.draft import Draft
from cupel.core.lane import Lane, place_of
from cupel.core.model import Item, ItemState, Landing
from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.lattice import Entry
from cupel.core.speculation.policy import Plan


def say_why(draft: Draft, lane: Lane, beliefs: Beliefs, made: Plan) -> None:
    wanted = frozenset(id(want.trial) for want in made.wants)
    for entry in lane.lattice.entries:
        wait = _why(lane, beliefs, made, entry, wanted)
        for member in lane.members(entry):
            present = draft.get(Item, member.id)
            if present.state is ItemState.LIVE and present.wait != wait:
                draft.put(replace(present, wait=wait))


def why_waits(draft: Draft, lane: Lane, beliefs: Beliefs, made: Plan, entry: Entry) -> str | None:
    """What the entry waits for; None while its builds are under way."""
    return _why(lane, beliefs, made, entry, frozenset(id(want.trial) for want in made.wants))


def _why(
    lane: Lane, beliefs: Beliefs, made: Plan, entry: Entry, wanted: frozenset[int]
) -> str | None:
    if entry.id in made.waits:
        return made.waits[entry.id]
    state = made.expected.get(entry.id)
    if state is None:
        return "waits until it is clearer what is ahead of it"
    if state.broken is not None:
        return f"cannot be proved on what is ahead of it: {state.broken}"
    place = place_of(state)
    if state.trials is None:
        return (
            "its state is being made"
            if place.lacks or place.proofs
            else ("waits for the states ahead of it to be made")
        )
    failing = sorted({t.job for t in state.own_trials() if t.failed_at and not t.passed})
    names = ", ".join(job.split(":", 1)[1] for job in failing)
    if failing and all(beliefs.broken.get(job, 0.0) > proving.BROKEN for job in failing):
        return f"the branch itself is broken: {names} fails on it without any change"
    if failing:
        told = (
            f"job {names} failed; it is" if len(failing) == 1 else f"jobs {names} failed; they are"
        )
        return f"{told} run again to see whose fault that is"
    if lane.queue.closed is not None and state.passed:
        return f"proved; the tree is closed: {lane.queue.closed}"
    if state.passed:
        return "proved; waits for what is ahead of it"
    if any(trial.runs for trial in state.own_trials()):
        return None
    alone = any(id(trial) in wanted for trial in state.own_trials())
    if lane.queue.landing is Landing.SET and not alone:
        return "to be proved together with those behind it"
    return "waits for a machine"
