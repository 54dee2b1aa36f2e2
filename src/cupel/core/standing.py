"""What each item of a gate waits for, in words for people."""

from __future__ import annotations

from dataclasses import replace

from cupel.core import proving
from cupel.core.draft import Draft
from cupel.core.lane import Lane, place_of
from cupel.core.model import Item, ItemState, Landing
from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.lattice import Entry, State
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
        return "stands so far back that nothing is planned for it yet"
    if state.broken is not None:
        return f"cannot be proved on what is ahead of it: {state.broken}"
    place = place_of(state)
    if state.trials is None:
        return (
            "its state is being made"
            if place.lacks or place.proofs
            else ("waits for the states ahead of it to be made")
        )
    failing = _failing(state)
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
        return f"proved; waits for {_ahead(lane, made, entry)}"
    if any(trial.runs for trial in state.own_trials()):
        return None
    alone = any(id(trial) in wanted for trial in state.own_trials())
    if lane.queue.landing is Landing.SET and not alone:
        return "to be proved together with those behind it"
    doubt = None if alone else _doubt(lane, state)
    return "waits for a machine" if doubt is None else f"waits for {doubt}"


def _failing(state: State) -> list[str]:
    """The jobs that fail with its entry, by their keys."""
    return sorted({t.job for t in state.own_trials() if t.failed_at and not t.passed})


def _ahead(lane: Lane, made: Plan, entry: Entry) -> str:
    """What a proved entry lands after: the first that is ahead of it."""
    first = lane.lattice.entries[0]
    if first is entry:
        return "what is landing"
    state = made.expected.get(first.id)
    doubt = None if state is None else _rerun(lane, state)
    return doubt or f"{_name(lane, first)} ahead of it"


def _doubt(lane: Lane, state: State) -> str | None:
    """What decides whether the state is needed at all, if something that it stands on fails."""
    for beneath in state.path()[:-1]:
        doubt = _rerun(lane, beneath)
        if doubt is not None:
            return doubt
    return None


def _rerun(lane: Lane, state: State) -> str | None:
    failing = [job.split(":", 1)[1] for job in _failing(state)]
    if not failing or state.entry is None:
        return None
    jobs = f"job{'s' if len(failing) > 1 else ''} {', '.join(failing)}"
    return f"the rerun of {_name(lane, state.entry)}'s {jobs}"


def _name(lane: Lane, entry: Entry) -> str:
    """An entry by its change, or changes."""
    return " ".join(f"#{member.change_id}" for member in lane.members(entry))
