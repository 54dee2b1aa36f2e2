"""Running again what somebody wants once more, on the very same state and with the same jobs.

In `check` and `post` an item that has ended comes back to life with the buildset that it had: its
jobs stay as they were frozen, and git makes the state again if it has let go of it. Earlier
attempts stay and are shown, but do not count any more (`attempts.counting`).

A change that has left the gate enters it again with the same patch set, and is proved on the branch
as it is by then: anything else could not land. What has passed before is reused there where nothing
that it depends on has changed, unless everything is wanted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import replace

from cupel.core import admission, attempts, change, events, evidence, item, lifecycle
from cupel.core.draft import Draft
from cupel.core.model import (
    LIVE_ITEMS,
    Again,
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Change,
    ChangeState,
    Item,
    ItemState,
    Machine,
    Pipeline,
    Project,
    Verdict,
)

_LEFT = frozenset({ItemState.REJECTED, ItemState.REMOVED})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why something is not run again, and what to do instead."""

    text: str
    hint: str | None = None


def asked(draft: Draft, fact: events.RetryAsked) -> None:
    present = draft.get(Item, fact.item_id)
    if refusal(draft, fact) is not None:
        return
    if _has_left_gate(present):
        _enter_again(draft, present, fact)
        return
    state = draft.get(Buildset, present.buildset_id)
    wanted = chosen(state, draft.builds(state.id), fact.job, everything=fact.everything)
    state = replace(state, again=_merged(draft, state, wanted))
    draft.tell("item.retried", ", ".join(wanted), **item.about(present), user=fact.user)
    if present.state not in LIVE_ITEMS:
        state = _revive(draft, present, state)
    draft.put(state)


def _enter_again(draft: Draft, present: Item, fact: events.RetryAsked) -> None:
    wanted = draft.get(Change, present.change_id)
    draft.put(replace(wanted, anew=fact.everything))
    text = "in the gate, and nothing is reused" if fact.everything else "in the gate"
    draft.tell("item.retried", text, **item.about(present), user=fact.user)
    change.want_to_land(draft, draft.get(Change, wanted.id))


def _revive(draft: Draft, present: Item, state: Buildset) -> Buildset:
    """The item lives again; its state, which is to be made again."""
    alive = lifecycle.step(lifecycle.ITEM, present.state, "retry")
    draft.put(replace(present, state=alive, finished_at=None, reason=None, detail=None))
    again = lifecycle.step(lifecycle.BUILDSET, state.state, "retry")
    return replace(state, state=again, finished_at=None)


def _merged(draft: Draft, state: Buildset, wanted: dict[str, int]) -> tuple[Again, ...]:
    known = {again.job: again for again in state.again}
    for job, number in wanted.items():
        image = _image_had(draft, draft.get(Build, number)) or attempts.image(state, job)
        known[job] = Again(job=job, after=number, image=image)
    return tuple(again for _, again in sorted(known.items()))


def _image_had(draft: Draft, build: Build) -> str:
    """What the machine of a build was made of. Of several machines each has its label's image."""
    machine = draft.find(Machine, build.machine_id)
    return "" if machine is None or build.parts else machine.image or ""


def images(draft: Draft, fact: events.RetryAsked) -> dict[str, int]:
    """The images that builds would run on again though their labels have others by now, each with
    the last build that had it."""
    present = draft.get(Item, fact.item_id)
    state = draft.find(Buildset, present.buildset_id)
    if state is None or _has_left_gate(present):
        return {}
    builds = draft.builds(state.id)
    found: dict[str, int] = {}
    for number in chosen(state, builds, fact.job, everything=fact.everything).values():
        build = draft.get(Build, number)
        had = _image_had(draft, build)
        if had and had != evidence.image_of(draft, build.label):
            found[had] = number
    return found


def chosen(
    state: Buildset, builds: Iterable[Build], job: str | None, *, everything: bool
) -> dict[str, int]:
    """The jobs that are to run again, each with its last build so far; all of these have ended.

    With a job, those that were skipped because of it come along.
    """
    last = {build.job: build for build in attempts.counting(state, builds)}
    ended = {name: each for name, each in last.items() if each.state is BuildState.FINISHED}
    if job is not None and not everything:
        skipped = {name for name, each in ended.items() if each.verdict is Verdict.SKIPPED}
        names = {job} | (_needing(state, job) & skipped)
    elif everything:
        names = set(ended)
    else:
        names = {name for name, each in ended.items() if each.verdict is not Verdict.SUCCESS}
    return {name: ended[name].id for name in sorted(names) if name in ended}


def _needing(state: Buildset, job: str) -> set[str]:
    """The jobs that need it, all the way up."""
    found, more = set[str](), {job}
    while more := {each.name for each in state.jobs if more & set(each.needs)} - found:
        found |= more
    return found


def _has_left_gate(present: Item) -> bool:
    return present.pipeline is Pipeline.GATE and present.state in _LEFT


# What is refused.


def refusal(draft: Draft, fact: events.RetryAsked) -> Refusal | None:
    """Why the item is not run again as asked; None if it is."""
    present = draft.get(Item, fact.item_id)
    if present.pipeline is Pipeline.PERIODIC:
        return Refusal(text="an audit is not run again")
    if any(build.offer for build in draft.builds(present.buildset_id or 0)):
        return Refusal(
            text="it was offered, not run here",
            hint="`cupel run` runs it again where it ran",
        )
    if present.state in (ItemState.LANDED, ItemState.LANDING):
        return Refusal(text=f"change {present.change_id} is {present.state} as it is")
    if present.pipeline is not Pipeline.POST:
        changed = _outdated(draft, present)
        if changed is not None:
            return changed
    if _has_left_gate(present):
        return _kept_out(draft, present)
    if present.state is ItemState.REMOVED:
        return Refusal(text=f"it was removed from {present.pipeline}")
    return _nothing_to_run(draft, present, fact)


def _outdated(draft: Draft, present: Item) -> Refusal | None:
    wanted = draft.get(Change, present.change_id)
    if wanted.state is not ChangeState.OPEN:
        return Refusal(text=f"change {wanted.id} is {wanted.state}")
    if present.patch_set != wanted.patch_set:
        return Refusal(
            text=f"change {wanted.id} is at patch set {wanted.patch_set}, not {present.patch_set}",
            hint=f"cupel retry {wanted.id}",
        )
    gated = draft.gate_item(wanted.id)
    if gated is None or gated.id == present.id:
        return None
    policy = draft.get(Project, present.project_id).policy
    if present.pipeline is Pipeline.CHECK and policy.keep_check:
        return None
    return Refusal(text=f"change {wanted.id} is in the gate by now")


def _kept_out(draft: Draft, present: Item) -> Refusal | None:
    wanted = draft.get(Change, present.change_id)
    if not admission.is_approved(draft, wanted):
        return Refusal(
            text=f"change {wanted.id} lacks approval to enter the gate again",
            hint=f"cupel approve {wanted.id}",
        )
    never = admission.never(draft, wanted)
    if never is not None:
        return Refusal(text=f"change {wanted.id} cannot enter the gate again: {never}")
    return None


def _nothing_to_run(draft: Draft, present: Item, fact: events.RetryAsked) -> Refusal | None:
    state = draft.find(Buildset, present.buildset_id)
    if state is None or state.state is BuildsetState.PREPARING:
        return Refusal(text="none of its jobs has begun yet")
    if state.state is not BuildsetState.READY:
        return Refusal(
            text=f"there is nothing to run again: {state.detail or state.state}",
            hint="mend that, and push the change again",
        )
    in_gate = present.pipeline is Pipeline.GATE
    if in_gate and fact.everything:
        return Refusal(
            text="what has passed in the gate stands while the change is in it",
            hint="dequeue the change, then retry it with --all",
        )
    wanted = chosen(state, draft.builds(state.id), fact.job, everything=fact.everything)
    if fact.job is not None and not fact.everything:
        return _not_that_job(draft, state, fact.job, wanted, in_gate=in_gate)
    if not wanted:
        if fact.everything:
            return Refusal(text="none of its jobs has ended yet")
        return Refusal(text="none of its jobs has failed", hint="--all runs all of them again")
    return None


def _not_that_job(
    draft: Draft, state: Buildset, job: str, wanted: dict[str, int], *, in_gate: bool
) -> Refusal | None:
    if job not in wanted:
        return Refusal(text=f"job {job} has not ended yet")
    passed = (build.verdict is Verdict.SUCCESS for build in draft.builds_of(state.id, job))
    if in_gate and any(passed):
        return Refusal(text=f"job {job} has passed in the gate, and needs no other attempt")
    return None
