"""Every text that a user sees and that is made of more than a label, in one place.

Nothing here decides anything: the arguments are what happened, the result is how it is said.
"""

from __future__ import annotations

from collections.abc import Sequence

# Why an item ended as it did: the code that the core gives, and how it is said.

ITEM_REASONS = {
    "landed": "landed",
    "passed": "all jobs passed",
    "failed": "jobs failed",
    "failure": "jobs failed",
    "conflict": "it conflicts with what it would land on",
    "misconfigured": "its configuration can't be used",
    "infra": "the infrastructure failed too often",
    "needs": "a change that it needs left the queue",
    "needed": "a change that it needs left the queue",
    "dequeued": "taken out of the queue",
    "abandoned": "the change was abandoned",
    "superseded": "a newer patch set took its place",
    "unapproved": "it lacks the approvals that the project asks for",
    "entered": "the change went on to the gate",
}


def item_reason(code: str | None, detail: str | None) -> str | None:
    """Why an item ended, as a sentence without its full stop."""
    if code is None:
        return detail
    said = ITEM_REASONS.get(code, code)
    return f"{said}: {detail}" if detail else said


# What something waits for.


def waits_for_ahead(change: int | None) -> str:
    return "waiting for the item ahead" if change is None else f"waiting for #{change} ahead"


def waits_for_state() -> str:
    return "waiting for the state ahead to be known"


def waits_for_merge() -> str:
    return "being merged"


def waits_for_jobs(done: int, total: int) -> str:
    return f"{done} of {total} jobs done"


def waits_for_machine(labels: Sequence[str]) -> str:
    return f"waiting for a machine: {', '.join(labels)}"


def waits_for_needs(needs: Sequence[str]) -> str:
    return f"needs {', '.join(needs)}"


def waits_for_landing() -> str:
    return "landing"


def waits_to_be_believed(what: str, ahead: int | None) -> str:
    """A bad result is believed only on the state it would land on."""
    if ahead is None:
        return what
    return f"{what}; believed when #{ahead} ahead is done"


def waits_for_approvals(given: int, needed: int) -> str:
    noun = "approval" if needed == 1 else "approvals"
    return f"has {given} of {needed} {noun}"


def waits_for_land() -> str:
    return "approved; nobody has asked to land it yet"


def waits_for_changes(numbers: Sequence[int]) -> str:
    return "needs " + ", ".join(f"#{number}" for number in numbers)


def waits_for_entry() -> str:
    return "about to enter the gate"


FAILED = "a job failed"
CONFLICTS = "it conflicts with what is ahead"
MISCONFIGURED = "its configuration can't be used"
