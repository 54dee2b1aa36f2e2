"""Jobs as their needs allow: each once, side by side, and what became of them all."""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

from cupel.core.job import Job
from cupel.local import events
from cupel.local.build import Bench, Result

ORDER = ("infra", "cancelled", "failure", "timeout", "skipped")
"""Verdicts that are no success, the one first that says most about the whole."""


class Run:
    """The jobs of one run, needed ones first; at most `at_once` of them run at a time."""

    def __init__(
        self, bench: Bench, jobs: Sequence[Job], *, at_once: int, show: events.Show
    ) -> None:
        self._bench = bench
        self._jobs = jobs
        self._show = show
        self._turns = asyncio.Semaphore(at_once)
        self._semaphores: dict[str, asyncio.Semaphore] = {}
        self._stopped = False
        loop = asyncio.get_running_loop()
        self.results: Mapping[str, asyncio.Future[Result]] = {
            job.name: loop.create_future() for job in jobs
        }

    async def all(self) -> Mapping[str, Result]:
        """Run them; the result of each."""
        async with asyncio.TaskGroup() as group:
            for job in self._jobs:
                group.create_task(self._one(job))
        return {name: future.result() for name, future in self.results.items()}

    def stop(self) -> None:
        """Begin nothing more, and end what runs."""
        self._stopped = True
        self._bench.stop()

    async def _one(self, job: Job) -> None:
        needed = {name: await asyncio.shield(self.results[name]) for name in job.needs}
        bad = [name for name, result in needed.items() if result.verdict != "success"]
        if bad:
            result = self._skip(job, f"it needs {', '.join(bad)}, which did not pass")
        else:
            async with self._turn(job):
                if self._stopped:
                    result = self._skip(job, "it was not begun before the run was stopped")
                else:
                    builds = [(name, result.number) for name, result in needed.items()]
                    result = await self._bench.run(job, builds)
        self.results[job.name].set_result(result)

    def _skip(self, job: Job, reason: str) -> Result:
        self._show(
            events.Ended(
                job=job.name, verdict="skipped", reason=reason, seconds=0.0, voting=job.voting
            )
        )
        return Result(number=0, verdict="skipped", reason=reason)

    @contextlib.asynccontextmanager
    async def _turn(self, job: Job) -> AsyncIterator[None]:
        """The right to run now; semaphores are taken in one order, so nobody waits in a circle."""
        async with contextlib.AsyncExitStack() as held:
            for name, count in sorted(job.semaphores):
                semaphore = self._semaphores.setdefault(name, asyncio.Semaphore(count))
                await held.enter_async_context(semaphore)
            await held.enter_async_context(self._turns)
            yield


def verdict(jobs: Sequence[Job], results: Mapping[str, Result]) -> str:
    """What became of all together: success, unless a job that votes did not pass."""
    bad = collections.Counter(
        results[job.name].verdict for job in jobs if job.voting
    )  # fmt: skip
    return next((each for each in ORDER if bad[each]), "success")
