"""Passes of runs here that are offered to a server as evidence."""

from __future__ import annotations

import dataclasses
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from cupel.core import key as keys
from cupel.core.job import Job
from cupel.errors import Conflict, CupelError, NotFound, UserError
from cupel.git import inputs
from cupel.local import events

if TYPE_CHECKING:
    from cupel.git.snapshot import Snapshot
    from cupel.local.build import Result


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A pass of `job` on `commit`, on machines of `images`; None where it is yet to be run."""

    project: str
    commit: str
    job: str
    host: str
    images: tuple[str, ...] | None = None
    key: str | None = None
    seconds: float = 0.0


Send = Callable[[Offer], Awaitable[int | None]]
"""Sends one; the number of its build there. Raises `UserError` where it is refused."""


def check(state: Snapshot) -> None:
    """Raise `UserError` for a state that no server can know."""
    if state.dirty:
        raise UserError(
            "what is not committed can't be offered: no server has it",
            hint="commit and push it first, or leave --offer out",
        )


async def wanted(
    project: str, state: Snapshot, jobs: Sequence[Job], send: Send, show: events.Show
) -> tuple[Job, ...]:
    """The jobs whose passes the server would take; of the others it is told why not.

    Raises `UserError` where it takes none at all, before anything is run in vain.
    """
    found = []
    for job in jobs:
        try:
            await send(_of(project, state, job))
        except (Conflict, NotFound) as error:
            show(_refused(job, error))
        else:
            found.append(job)
    if jobs and not found:
        raise UserError("no pass of these jobs can be offered", hint="run them without --offer")
    return tuple(found)


async def passed(
    project: str,
    state: Snapshot,
    jobs: Sequence[Job],
    results: Mapping[str, Result],
    send: Send,
    show: events.Show,
) -> None:
    """Offer what has passed, and tell what became of it."""
    digests = dict(await inputs.keys(state.repo, state.commit, jobs))
    for job in jobs:
        result = results[job.name]
        image = keys.together(result.images)
        if result.verdict != "success" or not image:
            continue
        offer = dataclasses.replace(
            _of(project, state, job),
            images=result.images,
            key=keys.combine(digests[job.name], image, ()),
            seconds=result.seconds,
        )
        try:
            build = await send(offer)
        except CupelError as error:
            show(_refused(job, error))
        else:
            show(events.Offered(job=job.name, build=build, reason=None))


def _of(project: str, state: Snapshot, job: Job) -> Offer:
    return Offer(project=project, commit=state.commit, job=job.name, host=_host())


def _refused(job: Job, error: CupelError) -> events.Offered:
    return events.Offered(job=job.name, build=None, reason="; ".join(str(error).splitlines()))


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname())[:253] or "unknown"
