"""One machine on its host, from the order to make it until nothing of it is left."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import structlog

from cupel.errors import CupelError, InfraError
from cupel.host import runner, source
from cupel.host.messages import BuildFinished, MachineReady, Progress, Run
from cupel.host.providers import interface
from cupel.host.providers.interface import Machine, Provider, Usage

log = structlog.get_logger(__name__)

T = TypeVar("T")
U = TypeVar("U")

LONGEST_REASON = 4000
"""Characters of an error, which may quote what a tool printed, in a report."""

PROGRESS_KEPT = 200
"""Lines of progress that wait for a slow connection; older ones are dropped."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What every machine of a host is made and reported with.

    `pauses` are the seconds to wait between attempts to delete a machine; the last one repeats.
    """

    provider: Provider
    sources: source.Sources
    send: runner.Send
    now: Callable[[], float]
    pauses: tuple[float, ...]


class Tenancy:
    """Machine `number`; with no `run`, one of an earlier life that is to be deleted."""

    def __init__(self, number: int, run: Run | None, means: Means) -> None:
        self.number = number
        self.run = run
        self._means = means
        self._machine: Machine | None = None
        self._refusal: str | None = None
        self._cancelled = asyncio.Event()
        self._unwanted = asyncio.Event()
        if run is None:
            self._unwanted.set()

    def cancel(self) -> None:
        """Stop the build; it is reported as cancelled unless it has finished."""
        self._cancelled.set()

    def destroy(self) -> None:
        """Delete the machine, whatever it is doing."""
        self._cancelled.set()
        self._unwanted.set()

    @property
    def takes_slot(self) -> bool:
        return self.run is not None and self._refusal is None

    def refuse(self, reason: str) -> None:
        """Let the build be reported as failed by this host, without a machine."""
        self._refusal = reason

    async def live(self) -> None:
        """Make the machine, run the build, and delete the machine when that is asked for."""
        if self.run is not None:
            await self._means.send(self._finished(await self._outcome(self.run)))
            await self._unwanted.wait()
        await self.vanish()

    async def vanish(self) -> None:
        """Remove every trace of the machine, trying again until nothing is left. Repeatable."""
        for attempt in itertools.count():
            try:
                self._means.sources.discard(self.number)
                if self._machine is None:
                    await self._means.provider.purge(self.number)
                else:
                    await self._machine.destroy()
                return
            except Exception as error:
                pause = self._means.pauses[min(attempt, len(self._means.pauses) - 1)]
                log.warning("machine stays", machine=self.number, error=str(error), again_in=pause)
                await asyncio.sleep(pause)

    async def _outcome(self, run: Run) -> runner.Outcome:
        if self._refusal is not None:
            return runner.Outcome(verdict="infra", reason=self._refusal)
        try:
            outcome = await _unless(self._cancelled, self._build(run))
        except Exception as error:
            if not isinstance(error, CupelError):
                log.exception("build broke off", machine=self.number)
            told = str(error) if isinstance(error, CupelError) else repr(error)
            outcome = runner.Outcome(verdict="infra", reason=told)
        if outcome is None or (self._cancelled.is_set() and outcome.verdict == "infra"):
            return runner.Outcome(verdict="cancelled", reason="cancelled")
        return outcome

    def _finished(self, outcome: runner.Outcome) -> BuildFinished:
        used = Usage()
        if self._machine is not None:
            with contextlib.suppress(InfraError):
                used = self._machine.usage()
        return BuildFinished(
            machine=self.number,
            verdict=outcome.verdict,
            reason=outcome.reason and _plain(outcome.reason),
            cpu_seconds=used.cpu_seconds,
            memory_peak=used.memory_peak,
        )

    async def _build(self, run: Run) -> runner.Outcome:
        sources = self._means.sources
        mirrors = await sources.mirrors(run.build)
        try:
            machine, tar = await _both(
                self._make(run, mirrors), sources.lay_out(self.number, run.build)
            )
            await machine.copy_in(source.read(tar), "/build")
        finally:
            sources.discard(self.number)
        for need in run.build.needs:
            target = f"{runner.NEEDS}/{source.directory_of(need)}"
            await machine.copy_in(sources.needed(need), target)
        build = runner.Runner(
            machine,
            run.build,
            memory=run.spec.memory,
            send=self._means.send,
            now=self._means.now,
        )
        return await build.run()

    async def _make(self, run: Run, binds: dict[Path, str]) -> Machine:
        provider = self._means.provider
        started = time.monotonic()
        async with self._progress() as tell:
            await provider.prepare(run.spec, tell)
            machine = await provider.create(self.number, run.spec, binds=binds)
            self._machine = machine
            for note in machine.notes:
                tell(note)
        seconds = time.monotonic() - started
        await self._means.send(
            MachineReady(machine=self.number, image=machine.image, seconds=seconds)
        )
        return machine

    @contextlib.asynccontextmanager
    async def _progress(self) -> AsyncIterator[interface.Progress]:
        """A function to tell progress with; what it was told is sent when the block ends."""
        told: collections.deque[str] = collections.deque(maxlen=PROGRESS_KEPT)
        more = asyncio.Event()
        over = False

        def tell(text: str) -> None:
            told.append(_plain(text))
            more.set()

        async def send() -> None:
            while told or not over:
                await more.wait()
                more.clear()
                while told:
                    text = told.popleft()
                    await self._means.send(Progress(machine=self.number, text=text))

        async with _flat(), asyncio.TaskGroup() as group:
            group.create_task(send())
            yield tell
            over = True
            more.set()


async def _unless(event: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`; None if `event` comes first, which cancels it and waits for its end."""
    async with _flat(), asyncio.TaskGroup() as group:
        working = group.create_task(work)
        waiting = group.create_task(event.wait())
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        waiting.cancel()
    return None if working.cancelled() else working.result()


async def _both(one: Coroutine[Any, Any, T], other: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """Both results; when one fails, the other is cancelled and the error raised."""
    async with _flat(), asyncio.TaskGroup() as group:
        first, second = group.create_task(one), group.create_task(other)
    return first.result(), second.result()


@contextlib.asynccontextmanager
async def _flat() -> AsyncIterator[None]:
    """Raise the first error of a group by itself, as callers tell errors apart by their types."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _plain(text: str) -> str:
    """Text of any origin as it can be sent."""
    return text[:LONGEST_REASON].encode(errors="replace").decode()
