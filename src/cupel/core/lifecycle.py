"""The lifecycles as tables `{(state, event): state}`; an event that a table lacks is a bug.

The diagrams in `docs/explanation/lifecycles.md` are generated from these tables.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeVar

from cupel.core.cache import CacheState as Ca
from cupel.core.hold import HoldState as H
from cupel.core.model import BuildsetState as Bs
from cupel.core.model import BuildState as B
from cupel.core.model import ChangeState as C
from cupel.core.model import ItemState as It
from cupel.core.model import MachineState as M
from cupel.errors import Bug

S = TypeVar("S", bound=enum.StrEnum)

CHANGE: Mapping[tuple[C, str], C] = {
    (C.OPEN, "push"): C.OPEN,
    (C.OPEN, "land"): C.LANDED,
    (C.OPEN, "abandon"): C.ABANDONED,
    (C.ABANDONED, "restore"): C.OPEN,
    (C.ABANDONED, "push"): C.OPEN,
    # It was given up while its landing was under way: the branch has it all the same.
    (C.ABANDONED, "land"): C.LANDED,
}

ITEM: Mapping[tuple[It, str], It] = {
    (It.LIVE, "land"): It.LANDING,
    (It.LIVE, "pass"): It.PASSED,
    (It.LIVE, "reject"): It.REJECTED,
    (It.LIVE, "remove"): It.REMOVED,
    (It.LANDING, "landed"): It.LANDED,
    (It.LANDING, "refused"): It.LIVE,
    # Somebody wants builds once more. What has left the gate enters it as another item instead.
    (It.PASSED, "retry"): It.LIVE,
    (It.REJECTED, "retry"): It.LIVE,
}

BUILDSET: Mapping[tuple[Bs, str], Bs] = {
    (Bs.PREPARING, "prepared"): Bs.READY,
    # Its jobs stay as they were frozen, but git may have let go of the state meanwhile.
    (Bs.READY, "retry"): Bs.PREPARING,
    (Bs.PREPARING, "conflict"): Bs.CONFLICT,
    (Bs.PREPARING, "misconfigured"): Bs.MISCONFIGURED,
    (Bs.PREPARING, "supersede"): Bs.SUPERSEDED,
    (Bs.READY, "supersede"): Bs.SUPERSEDED,
    (Bs.CONFLICT, "supersede"): Bs.SUPERSEDED,
    (Bs.MISCONFIGURED, "supersede"): Bs.SUPERSEDED,
}

BUILD: Mapping[tuple[B, str], B] = {
    (B.QUEUED, "assign"): B.STARTING,
    (B.QUEUED, "finish"): B.FINISHED,
    (B.STARTING, "start"): B.RUNNING,
    (B.STARTING, "cancel"): B.CANCELLING,
    (B.STARTING, "finish"): B.FINISHED,
    (B.RUNNING, "cancel"): B.CANCELLING,
    (B.RUNNING, "finish"): B.FINISHED,
    (B.CANCELLING, "start"): B.CANCELLING,
    (B.CANCELLING, "finish"): B.FINISHED,
}

MACHINE: Mapping[tuple[M, str], M] = {
    (M.NEW, "build"): M.BUILDING,
    (M.NEW, "delete"): M.DELETING,
    (M.BUILDING, "ready"): M.READY,
    (M.BUILDING, "fail"): M.ERROR,
    (M.BUILDING, "delete"): M.DELETING,
    (M.READY, "use"): M.USED,
    (M.READY, "fail"): M.ERROR,
    (M.READY, "delete"): M.DELETING,
    (M.USED, "hold"): M.HELD,
    (M.USED, "fail"): M.ERROR,
    (M.USED, "delete"): M.DELETING,
    (M.HELD, "delete"): M.DELETING,
    (M.ERROR, "delete"): M.DELETING,
    (M.DELETING, "gone"): M.GONE,
    # A request that crossed its host's hello made it after all: it is not used, only deleted.
    (M.GONE, "found"): M.DELETING,
}

HOLD: Mapping[tuple[H, str], H] = {
    (H.OPEN, "fill"): H.FULL,
    (H.OPEN, "end"): H.OVER,
    (H.FULL, "end"): H.OVER,
}


CACHE: Mapping[tuple[Ca, str], Ca] = {
    (Ca.CANDIDATE, "land"): Ca.READY,
    (Ca.CANDIDATE, "drop"): Ca.DROPPING,
    (Ca.CANDIDATE, "gone"): Ca.GONE,
    (Ca.READY, "drop"): Ca.DROPPING,
    (Ca.READY, "gone"): Ca.GONE,
    (Ca.DROPPING, "gone"): Ca.GONE,
}


def step(table: Mapping[tuple[S, str], S], state: S, event: str) -> S:
    """The state after `event`. Raises `Bug` when the table has no such transition."""
    try:
        return table[state, event]
    except KeyError:
        raise Bug(f"a {type(state).__name__} that is {state} cannot {event}") from None
