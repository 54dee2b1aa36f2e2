"""Which machines are kept after their builds, for whom, and until when.

A machine is kept when its build ends: for somebody who asked for that, because its job says so, or
because somebody is in it. There are at most so many of a label (`Pool.holds`), and on a host at
most half of its slots, so that holds cannot starve the queue. A machine that is held never gets
another build; it keeps its slot until its hold ends, and is deleted then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cupel.core import events, lifecycle
from cupel.core.draft import Draft
from cupel.core.hold import Hold, HoldState
from cupel.core.model import (
    Build,
    Buildset,
    Change,
    Host,
    Item,
    Machine,
    MachineState,
    Pipeline,
    Pool,
    Verdict,
)

VISIT = 2 * 3600.0
"""Seconds for which a machine is kept at most that nobody asked for, once somebody is in it."""

NEAR = 600.0
"""Seconds before its end at which it is told that a hold ends."""

UNASKED = frozenset({Verdict.FAILURE, Verdict.TIMEOUT})
"""How a build ends whose machine is kept for whoever asked for those of a job or a change."""

_ASKED = frozenset({Pipeline.CHECK, Pipeline.GATE})
_LOST = frozenset({Verdict.INFRA})


def asked(draft: Draft, fact: events.HoldAsked) -> None:
    """Somebody wants machines kept; of a build whose machine is held already, for longer."""
    held = [] if fact.build_id is None else _held_of(draft, fact.build_id)
    hold = draft.put(
        Hold(
            id=fact.hold_id,
            owner=fact.user,
            reason=fact.reason,
            state=HoldState.OPEN,
            left=fact.count,
            seconds=fact.seconds,
            created_at=draft.now,
            expires_at=fact.expires_at,
            project_id=fact.project_id,
            change_id=fact.change_id,
            build_id=fact.build_id,
            job=fact.job,
        )
    )
    draft.tell("hold.asked", fact.reason, user=fact.user, **_about(hold))
    if held:
        for machine in held:
            until = draft.now + fact.seconds
            draft.put(replace(machine, hold_id=hold.id, held_until=until))
        _fill(draft, hold, held[0])


def released(draft: Draft, fact: events.HoldReleased) -> None:
    """Somebody does not need the machines any more."""
    hold = draft.find(Hold, fact.hold_id)
    if hold is not None and hold.state is not HoldState.OVER:
        _end(draft, hold, f"released by {fact.user}")


def keep(draft: Draft, build: Build, verdict: Verdict) -> bool:
    """Whether the machines of a build that has ended so are kept; they are held then.

    `verdict` is as its host says it, whatever the build counts as.
    """
    mine = [m for m in draft.all(Machine) if m.build_id == build.id]
    if not mine or verdict in _LOST or any(m.state is not MachineState.USED for m in mine):
        return False
    wanted = _wanted(draft, build, verdict, mine)
    if wanted is None:
        return False
    hold, until = wanted
    why = _no_room(draft, mine)
    if why is not None:
        draft.put(replace(hold, detail=f"the machine of build {build.id} was not held: {why}"))
        draft.tell("hold.refused", why, user=hold.owner, **_at(build))
        return False
    for machine in mine:
        state = lifecycle.step(lifecycle.MACHINE, machine.state, "hold")
        kept = replace(machine, state=state, hold_id=hold.id, held_until=until)
        draft.put(replace(kept, detail=f"held for {hold.owner}: {hold.reason}"))
    _fill(draft, hold, mine[0])
    return True


def _wanted(
    draft: Draft, build: Build, verdict: Verdict, mine: Sequence[Machine]
) -> tuple[Hold, float] | None:
    """The hold that the machines are kept for, and until when."""
    for hold in sorted(draft.all(Hold), key=lambda each: (each.build_id is None, each.id)):
        if _fits(draft, hold, build, verdict):
            return hold, draft.now + hold.seconds
    visitor = next((m for m in mine if m.visitors), None)
    if visitor is not None:
        reason = "somebody was in it when the build ended"
        return _unasked(draft, build, build.visited_by or "", reason, VISIT)
    job = _seconds_of_job(draft, build)
    if job and verdict in UNASKED:
        owner = _author(draft, build)
        return _unasked(draft, build, owner, "its job keeps the machines of failures", job)
    return None


def _fits(draft: Draft, hold: Hold, build: Build, verdict: Verdict) -> bool:
    if hold.state is not HoldState.OPEN or draft.now >= hold.expires_at:
        return False
    if hold.build_id is not None:
        return hold.build_id == build.id
    if verdict not in UNASKED or build.pipeline not in _ASKED:
        return False
    change = _change_of(draft, build)
    named = hold.job is None or build.job == hold.job or build.job.startswith(f"{hold.job} (")
    return (
        named and hold.project_id in (None, build.project_id) and hold.change_id in (None, change)
    )


def _unasked(
    draft: Draft, build: Build, owner: str, reason: str, seconds: float
) -> tuple[Hold, float]:
    """A hold of this one build."""
    until = draft.now + seconds
    hold = Hold(
        id=draft.new_id(),
        owner=owner,
        reason=reason,
        state=HoldState.OPEN,
        left=1,
        seconds=seconds,
        created_at=draft.now,
        expires_at=until,
        project_id=build.project_id,
        change_id=_change_of(draft, build),
        build_id=build.id,
        job=build.job,
        until_left=True,
    )
    return hold, until


def why_not(
    machines: Sequence[Machine], pool: Pool | None, host: Host, mine: int = 1
) -> str | None:
    """Why so many more machines of a label cannot be held on a host, in words."""
    held = [machine for machine in machines if machine.state is MachineState.HELD]
    here = sum(machine.host_id == host.id for machine in held)
    most = host.slots // 2
    if here + mine > most:
        return (
            f"{here} machines are held on host {host.name}, and no more than half of its "
            f"{host.slots} slots may be"
        )
    if pool is not None and pool.holds is not None:
        alike = sum(machine.label == pool.label for machine in held)
        if alike + mine > pool.holds:
            return f"{alike} machines of {pool.label} are held, of {pool.holds} that may be"
    return None


def _no_room(draft: Draft, mine: Sequence[Machine]) -> str | None:
    pools = {pool.label: pool for pool in draft.all(Pool)}
    host = draft.get(Host, mine[0].host_id)
    for label in {machine.label for machine in mine}:
        why = why_not(draft.all(Machine), pools.get(label), host, len(mine))
        if why is not None:
            return why
    return None


def _fill(draft: Draft, hold: Hold, machine: Machine) -> None:
    """The hold has one machine more, or all of one build that has several."""
    left = hold.left - 1
    state = hold.state
    if left <= 0:
        state = lifecycle.step(lifecycle.HOLD, hold.state, "fill")
    hold = draft.put(replace(hold, left=max(left, 0), state=state, detail=None))
    build = draft.find(Build, machine.build_id)
    about = _about(hold) if build is None else _at(build)
    draft.tell("machine.held", hold.reason, user=hold.owner, **{**about, "machine_id": machine.id})


def visited(draft: Draft, machine: Machine) -> None:
    """Somebody is in a machine: one that was kept for whoever comes is kept until they leave."""
    hold = draft.find(Hold, machine.hold_id)
    if machine.state is MachineState.HELD and hold is not None and hold.until_left:
        until = max(hold.created_at + VISIT, machine.held_until or 0.0)
        draft.put(replace(machine, held_until=until))


def left(draft: Draft, machine: Machine) -> None:
    """Nobody is in a machine any more."""
    hold = draft.find(Hold, machine.hold_id)
    if machine.state is MachineState.HELD and hold is not None and hold.until_left:
        mine = [m for m in draft.all(Machine) if m.hold_id == hold.id]
        if not any(m.visitors for m in mine):
            _end(draft, hold, "whoever was there has left")


def lost(draft: Draft, machine: Machine, why: str) -> None:
    """A machine that is held is gone, or about to go."""
    if machine.state is not MachineState.HELD:
        return
    draft.tell("hold.lost", why, machine_id=machine.id, build_id=machine.build_id)
    hold = draft.find(Hold, machine.hold_id)
    if hold is not None and hold.state is not HoldState.OVER:
        draft.put(replace(hold, detail=f"lost: {why}"))


def plan(draft: Draft) -> None:
    """End what has come to its end, and delete what is held for nobody."""
    for machine in draft.all(Machine):
        if machine.state is MachineState.HELD:
            _let_go(draft, machine)
    for hold in draft.all(Hold):
        if hold.state is HoldState.OPEN and draft.now >= hold.expires_at:
            has_some = any(_is_of(machine, hold) for machine in draft.all(Machine))
            if not has_some:
                _end(draft, hold, "it has expired")
        elif hold.state is HoldState.FULL:
            found = [m for m in draft.all(Machine) if _is_of(m, hold)]
            if not found:
                _end(draft, hold, hold.detail or "its machines are gone")


def _let_go(draft: Draft, machine: Machine) -> None:
    hold = draft.find(Hold, machine.hold_id)
    if hold is None or hold.state is HoldState.OVER:
        why = "its hold has ended" if hold is None else f"its hold has ended: {hold.detail}"
    elif machine.held_until is None or draft.now >= machine.held_until:
        why = "the time of its hold is over"
        draft.put(replace(hold, detail="its time is over"))
    else:
        _tell_of_end(draft, hold, machine)
        return
    state = lifecycle.step(lifecycle.MACHINE, machine.state, "delete")
    draft.put(replace(machine, state=state, detail=why))
    draft.tell("machine.deleting", why, machine_id=machine.id, build_id=machine.build_id)


def _tell_of_end(draft: Draft, hold: Hold, machine: Machine) -> None:
    """Once for each end, some time before it; that of a short hold is no news."""
    until, build = machine.held_until, draft.find(Build, machine.build_id)
    if until is None or machine.ending_told == until or until - draft.now > NEAR:
        return
    draft.put(replace(machine, ending_told=until))
    if build is None or build.machine_id != machine.id or hold.seconds < 2 * NEAR:
        return
    about = {**_at(build), "machine_id": machine.id}
    minutes = round((until - draft.now) / 60)
    draft.tell("hold.ending", f"{build.job}: {minutes} min left", user=hold.owner, **about)


def _is_of(machine: Machine, hold: Hold) -> bool:
    return machine.state is MachineState.HELD and machine.hold_id == hold.id


def _end(draft: Draft, hold: Hold, why: str) -> None:
    state = lifecycle.step(lifecycle.HOLD, hold.state, "end")
    draft.put(replace(hold, state=state, ended_at=draft.now, left=0, detail=why))
    draft.tell("hold.ended", why, user=hold.owner, **_about(hold))


def _held_of(draft: Draft, build_id: int) -> list[Machine]:
    return [
        machine
        for machine in draft.all(Machine)
        if machine.build_id == build_id and machine.state is MachineState.HELD
    ]


def _seconds_of_job(draft: Draft, build: Build) -> float:
    buildset = draft.find(Buildset, build.buildset_id)
    jobs = () if buildset is None else buildset.jobs
    return next((job.hold for job in jobs if job.name == build.job), 0.0)


def _change_of(draft: Draft, build: Build) -> int | None:
    item = draft.find(Item, build.item_id)
    return None if item is None else item.change_id


def _author(draft: Draft, build: Build) -> str:
    change = draft.find(Change, _change_of(draft, build))
    return "" if change is None else change.owner


def _about(hold: Hold) -> dict[str, int | None]:
    return {
        "project_id": hold.project_id,
        "change_id": hold.change_id,
        "build_id": hold.build_id,
    }


def _at(build: Build) -> dict[str, int | None]:
    return {"project_id": build.project_id, "item_id": build.item_id, "build_id": build.id}
