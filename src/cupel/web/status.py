"""How each state looks: an icon, a word and a tone. Never a colour alone."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """`icon` is a symbol of static/icons.svg; `tone` a class of static/cupel.css."""

    icon: str
    word: str
    tone: str


LOOKS: dict[str, Look] = {
    # what has not begun
    "waiting": Look("waiting", "waiting", "quiet"),
    "queued": Look("waiting", "queued", "quiet"),
    "open": Look("open", "open", "run"),
    "new": Look("waiting", "new", "quiet"),
    # what goes on
    "preparing": Look("merge", "merging", "run"),
    "building": Look("running", "being made", "run"),
    "starting": Look("running", "starting", "run"),
    "running": Look("running", "running", "run"),
    "used": Look("running", "in use", "run"),
    "live": Look("running", "in the gate", "run"),
    "landing": Look("land", "landing", "run"),
    "cancelling": Look("stop", "cancelling", "quiet"),
    "deleting": Look("stop", "being deleted", "quiet"),
    # what went well
    "success": Look("pass", "passed", "good"),
    "passed": Look("pass", "passed", "good"),
    "reused": Look("pass", "reused", "good"),
    "passed but for quarantined": Look("hold", "passed but for quarantined", "warn"),
    "landed": Look("land", "landed", "good"),
    "ready": Look("pass", "ready", "good"),
    "connected": Look("pass", "connected", "good"),
    # a branch
    "green": Look("pass", "green", "good"),
    "broken": Look("fail", "broken", "bad"),
    "closed": Look("hold", "closed", "warn"),
    "unproved": Look("open", "not proved yet", "run"),
    "empty": Look("waiting", "no commits yet", "quiet"),
    # the change's fault
    "failure": Look("fail", "failed", "bad"),
    "failed": Look("fail", "failed", "bad"),
    "rejected": Look("fail", "rejected", "bad"),
    "conflict": Look("conflict", "conflict", "bad"),
    "misconfigured": Look("config", "misconfigured", "bad"),
    "flaky": Look("hold", "flaky", "warn"),
    "timeout": Look("timeout", "timed out", "warn"),
    # ours
    "infra": Look("infra", "infrastructure failed", "infra"),
    "killed": Look("stop", "killed", "warn"),
    "error": Look("infra", "error", "infra"),
    "lost": Look("infra", "lost", "infra"),
    "quarantined": Look("infra", "quarantined", "infra"),
    "draining": Look("stop", "being drained", "warn"),
    "held": Look("hold", "held", "warn"),
    # what became of a file
    "added": Look("plus", "added", "good"),
    "changed": Look("edit", "changed", "quiet"),
    "renamed": Look("edit", "renamed", "quiet"),
    "retyped": Look("edit", "retyped", "quiet"),
    # holds
    "full": Look("hold", "all kept", "warn"),
    "over": Look("skip", "over", "quiet"),
    # what stands between a change and its branch
    "blocked by abandoned": Look("stop", "abandoned", "quiet"),
    "blocked by approvals": Look("hold", "approvals", "warn"),
    "blocked by request": Look("hold", "not asked for", "warn"),
    "blocked by dependency": Look("merge", "dependency", "warn"),
    "blocked by circle": Look("merge", "circle", "bad"),
    "blocked by outdated": Look("merge", "outdated base", "bad"),
    "blocked by left": Look("fail", "left the gate", "bad"),
    "blocked by tree": Look("stop", "tree closed", "warn"),
    "blocked by conflict": Look("conflict", "conflict", "bad"),
    "blocked by configuration": Look("config", "configuration", "bad"),
    "blocked by job": Look("fail", "failing job", "bad"),
    "blocked by proof": Look("waiting", "proof", "run"),
    "blocked by machine": Look("waiting", "machine", "quiet"),
    "blocked by running": Look("running", "running", "run"),
    "blocked by ahead": Look("land", "queue", "quiet"),
    # what no longer matters
    "removed": Look("skip", "removed", "quiet"),
    "cancelled": Look("stop", "cancelled", "quiet"),
    "skipped": Look("skip", "skipped", "quiet"),
    "not run": Look("skip", "not run", "quiet"),
    "superseded": Look("skip", "superseded", "quiet"),
    "abandoned": Look("stop", "abandoned", "quiet"),
    "gone": Look("skip", "gone", "quiet"),
    "retired": Look("skip", "retired", "quiet"),
}

OFF_LANE = frozenset({"failed", "conflict", "misconfigured", "rejected"})
"""Statuses of items that nobody stands on."""


def look(state: object) -> Look:
    """How a state looks; one that is not known is shown by its own name."""
    return LOOKS.get(str(state), Look("waiting", str(state), "quiet"))
