"""What stands between a change and its branch, and what takes it away, in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import assert_never

from cupel.core.admission import Cause, Obstacle
from cupel.core.model import Change, Queue, Reason


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What it is, and what cures it, perhaps by a command; no cure: it passes by itself."""

    text: str
    cure: str | None = None
    command: str | None = None


_NAMED = 5
"""Jobs that are named at once."""


def approvals(change: Change, given: int, needed: int, *, of_owner: bool, older: int) -> Said:
    """`of_owner`: the owner has approved, and it does not count; `older`: so do as many approvals
    of patch sets that were replaced."""
    noun = "approval" if needed == 1 else "approvals"
    text = f"it has {given} of {needed} {noun}"
    if of_owner:
        text += "; that of its owner does not count in this project"
    if older:
        text += f"; {older} of an earlier patch set {'does' if older == 1 else 'do'} not count"
    cure = "somebody else than its owner approves it" if of_owner else "approve it"
    return Said(text=text, cure=cure, command=f"cupel approve {change.id}")


def unasked(change: Change) -> Said:
    text = "nobody has asked to land it"
    return Said(text=text, cure="ask for it", command=f"cupel land {change.id}")


def abandoned() -> Said:
    return Said(text="it was abandoned", cure="push it as a new change, without its Change-Id")


def tree(queue: Queue) -> Said:
    by = f" (by {queue.closed_by})" if queue.closed_by else ""
    return Said(
        text=f"the tree is closed: {queue.closed}{by}",
        cure="an administrator opens it",
        command=f"cupel queue open {queue.name}",
    )


def obstacle(found: Obstacle, queue: Queue) -> Said:
    other, text = found.change, found.text
    match found.cause:
        case Cause.CIRCLE:
            return Said(
                text=text,
                cure="take one of the `Depends-On` trailers out and push again; or let the queue"
                " land circles as one",
                command=f"cupel queue set {queue.name} --cycles on",
            )
        case Cause.OUTDATED:
            return Said(text=text, cure=f"put it on the newest patch set of #{other}")
        case Cause.ABANDONED:
            return Said(text=text, cure=f"push it again without #{other} below or in its trailers")
        case Cause.ELSEWHERE:
            return Said(text=text, cure="land that first", command=f"cupel land {other}")
        case Cause.UNAPPROVED:
            return Said(text=text, cure="approve that", command=f"cupel approve {other}")
        case Cause.UNASKED:
            return Said(text=text, cure="ask to land that", command=f"cupel land {other}")
        case _:
            assert_never(found.cause)


def left(reason: Reason | None, why: str, change: Change) -> Said:
    """Why its newest patch set is not in the gate any more."""
    text = f"it left the gate: {why}"
    retry = f"cupel retry {change.id}"
    match reason:
        case Reason.BUILD_FAILED | Reason.TIMED_OUT:
            return Said(text=text, cure=_MEND, command=retry)
        case Reason.CONFLICT:
            return Said(text=text, cure=_rebase(change))
        case Reason.MISCONFIGURED:
            return Said(text=text, cure="correct the configuration and push a new patch set")
        case Reason.INFRASTRUCTURE:
            cure = "nothing is wrong with the change: run it again"
            return Said(text=text, cure=cure, command=retry)
        case _:
            return Said(text=text, cure="ask for it again", command=f"cupel land {change.id}")


_MEND = "mend it and push a new patch set; or run again what failed"


def _rebase(change: Change) -> str:
    return f"rebase it on {change.branch} as it is now, and push it again"


def conflict(detail: str | None, change: Change) -> Said:
    text = "it conflicts with what it would land on"
    return Said(text=f"{text}: {detail}" if detail else text, cure=_rebase(change))


def misconfigured() -> Said:
    cure = "correct the configuration at the lines below, and push a new patch set"
    return Said(text="its configuration can't be used", cure=cure)


def failing(jobs: Sequence[str], pipeline: str, *, decided: bool, change: Change) -> Said:
    """Required jobs that did not pass; `decided`: nothing of that is being run again."""
    noun = "job" if len(jobs) == 1 else "jobs"
    text = f"required {noun} {_names(jobs)} failed in {pipeline}"
    if not decided:
        return Said(text=text)
    return Said(text=text, cure=_MEND, command=f"cupel retry {change.id}")


def waiting(why: str) -> Said:
    return Said(text=why)


def machine(jobs: Sequence[str], why: str) -> Said:
    return Said(text=f"{_names(jobs)}: {why}")


def running(jobs: Sequence[str], total: int) -> Said:
    verb = "is" if len(jobs) == 1 else "are"
    return Said(text=f"{len(jobs)} of {total} required jobs {verb} not done yet: {_names(jobs)}")


def ahead(nearest: int, count: int) -> Said:
    more = f" and {count - 1} more" if count > 1 else ""
    return Said(text=f"#{nearest}{more} ahead of it in the queue")


def _names(jobs: Sequence[str]) -> str:
    more = f" and {len(jobs) - _NAMED} more" if len(jobs) > _NAMED else ""
    return ", ".join(jobs[:_NAMED]) + more
