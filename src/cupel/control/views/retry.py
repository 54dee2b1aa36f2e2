"""What of a change would run again if somebody asked for it now."""

from __future__ import annotations

import dataclasses

from cupel.control import load
from cupel.core import events, retry
from cupel.store.interface import Transaction


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retriable:
    """Whether what failed may be run again, and whether all may."""

    failed: bool = False
    all: bool = False


async def retriable(tx: Transaction, change_id: int) -> Retriable:
    last = await load.last_run(tx, change_id)
    if last is None:
        return Retriable()
    draft = await load.to_retry(tx, last.id)
    failed, every = (
        events.RetryAsked(item_id=last.id, job=None, everything=everything, user="")
        for everything in (False, True)
    )
    return Retriable(
        failed=retry.refusal(draft, failed) is None, all=retry.refusal(draft, every) is None
    )
