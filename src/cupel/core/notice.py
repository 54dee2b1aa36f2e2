"""Telling others what happened: who is told, what is owed to whom, and when it is tried again.

A *receiver* is a webhook, or mail. What it is to be told is a *delivery*: recorded once, from the
events, and then attempted until it has arrived or is given up. Deliveries of a webhook arrive in
the order of what happened; while one is tried again, those behind it wait.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

EVENTS: Mapping[str, str] = {
    "change.pushed": "a change, or a new patch set of one, was pushed",
    "change.approved": "somebody approved a change",
    "change.abandoned": "a change was given up",
    "change.landed": "a change landed",
    "item.enqueued": "a change entered a pipeline",
    "item.passed": "a change passed a pipeline",
    "item.rejected": "a change failed in a pipeline",
    "item.removed": "a change left a pipeline without a verdict",
    "build.started": "a build has its machine and runs",
    "build.finished": "a build ended",
    "build.reused": "a job need not run: a build with the same inputs has passed",
    "machine.held": "a machine is kept after its build for somebody to look at",
    "hold.ending": "a machine that is held is deleted in ten minutes",
    "hold.ended": "a hold is over",
    "branch.moved": "a guarded branch was moved around the gate",
    "queue.closed": "a queue was closed",
    "queue.opened": "a queue was opened again",
    "host.lost": "a host is out of reach",
}
"""Every event that can be told of, and what it says. The names are those of the event table."""

PERSONAL = frozenset({"machine.held", "hold.ending", "hold.ended"})
"""Events that concern nobody but whoever they are about."""

MAIL = "mail"
"""The name of the receiver that mail is."""

INTERVALS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)
"""Seconds from a failed attempt to the next; the last for all that follow."""

PATIENCE = 86_400.0
"""Seconds after which what does not arrive is given up."""

BACKLOG = 10_000
"""Deliveries that may wait for a receiver; the oldest are given up for more."""

KEPT_ATTEMPTS = 10
"""The last so many attempts at a delivery are kept."""

LONGEST_WAIT = 3600.0
"""Seconds that a receiver may ask to be left alone."""


class DeliveryState(enum.StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """Refused, or given up."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try: `status` is HTTP's or SMTP's answer (None: there was none), `error` why it failed.

    `response` is the beginning of what the receiver said. It has `refused` if it has judged what
    was sent, so that sending it again is of no use; `again` is how many seconds it asks to wait.
    """

    at: float
    seconds: float
    status: int | None = None
    error: str | None = None
    response: str = ""
    refused: bool = False
    again: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """How it goes with a receiver of the configuration.

    Events up to id `cursor` have become deliveries. `failures` is how often in a row it did not
    answer, from `failing_since` on; until `retry_at` it is left alone.
    """

    id: int
    name: str
    cursor: int
    failures: int = 0
    failing_since: float | None = None
    retry_at: float | None = None
    delivered_at: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a receiver is told of one event. `key` is the same however often it is sent.

    `body` is the payload as it will be sent, `address` to whom mail goes. It is not sent before
    `due_at`; `asked_at` is when it was recorded, or asked for again by hand.
    """

    id: int
    key: str
    receiver: str
    event: str
    event_id: int
    change_id: int | None
    address: str
    body: str
    state: DeliveryState
    attempts: tuple[Attempt, ...]
    tried: int
    """How often; more than there are `attempts` if it was often."""
    created_at: float
    asked_at: float
    due_at: float
    finished_at: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a receiver is told of: these events, of these projects (none: all)."""

    events: tuple[str, ...]
    projects: tuple[str, ...] = ()

    def wants(self, event: str, project: str | None) -> bool:
        """What is of no project, such as a host, concerns those alone who want all projects."""
        return event in self.events and (not self.projects or project in self.projects)


def has_arrived(attempt: Attempt) -> bool:
    return attempt.error is None


def attempted(
    receiver: Receiver, delivery: Delivery, attempt: Attempt, now: float
) -> tuple[Receiver, Delivery]:
    """Both as they are after an attempt that ended at `now`."""
    tried = replace(
        delivery,
        attempts=(*delivery.attempts, attempt)[-KEPT_ATTEMPTS:],
        tried=delivery.tried + 1,
    )
    if has_arrived(attempt):
        well = replace(receiver, failures=0, failing_since=None, retry_at=None, delivered_at=now)
        return well, replace(tried, state=DeliveryState.DELIVERED, finished_at=now)
    if attempt.refused:
        answers = replace(receiver, failures=0, failing_since=None, retry_at=None)
        return answers, replace(tried, state=DeliveryState.FAILED, finished_at=now)
    ill = replace(
        receiver,
        failures=receiver.failures + 1,
        failing_since=now if receiver.failing_since is None else receiver.failing_since,
        retry_at=now + pause(receiver.failures, attempt.again),
    )
    if now - delivery.asked_at >= PATIENCE:
        return ill, replace(tried, state=DeliveryState.FAILED, finished_at=now)
    return ill, tried


def pause(failures: int, asked: float | None = None) -> float:
    """Seconds until the next attempt after so many failures in a row before this one."""
    wait = INTERVALS[min(failures, len(INTERVALS) - 1)]
    if asked is None or not math.isfinite(asked):
        return wait
    return max(wait, min(asked, LONGEST_WAIT))


def given_up(pending: Sequence[Delivery], now: float) -> list[Delivery]:
    """Those of a failing receiver's waiting deliveries, oldest first, that wait no longer."""
    too_many = pending[: max(0, len(pending) - BACKLOG)]
    too_old = [each for each in pending if now - each.asked_at >= PATIENCE]
    gone = {each.id: each for each in (*too_many, *too_old)}
    return [replace(each, state=DeliveryState.FAILED, finished_at=now) for each in gone.values()]


def once_more(delivery: Delivery, now: float) -> Delivery:
    """The delivery, asked for again by hand."""
    return replace(
        delivery, state=DeliveryState.PENDING, asked_at=now, due_at=now, finished_at=None
    )


def next_due(receiver: Receiver, pending: Sequence[Delivery]) -> float | None:
    """When the first of these should be attempted; None if there is nothing to do."""
    if not pending:
        return None
    return max(pending[0].due_at, receiver.retry_at or 0.0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One mail to `address`: about one change (None: about several), telling of `deliveries`."""

    address: str
    change_id: int | None
    deliveries: tuple[Delivery, ...]


def letters(pending: Sequence[Delivery], now: float, *, most: int = 3) -> list[Letter]:
    """The mails that are due. Whatever waits for the same address goes along with what is due.

    One for each change, or one for all if that were more than `most`: nobody gets a storm.
    """
    by_address: dict[str, list[Delivery]] = {}
    for each in pending:
        by_address.setdefault(each.address, []).append(each)
    found: list[Letter] = []
    for address, waiting in by_address.items():
        if min(each.due_at for each in waiting) > now:
            continue
        by_change: dict[int | None, list[Delivery]] = {}
        for each in waiting:
            by_change.setdefault(each.change_id, []).append(each)
        if len(by_change) > most:
            by_change = {None: waiting}
        found += [
            Letter(address=address, change_id=change, deliveries=tuple(about))
            for change, about in by_change.items()
        ]
    return found
