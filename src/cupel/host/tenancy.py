"""One machine on its host, from the order to make it until nothing of it is left."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from cupel import logger
from cupel.errors import CupelError, InfraError, UserError
from cupel.host import beside, runner, source, visits
from cupel.host.caches.build import Keeping
from cupel.host.caches.store import Caches
from cupel.host.messages import (
    BuildFinished,
    BuildSpec,
    MachineFailed,
    MachineReady,
    MachineSpec,
    Progress,
)
from cupel.host.providers import interface
from cupel.host.providers.interface import Machine, Provider, Usage

log = logger.of(__name__)

T = TypeVar("T")
U = TypeVar("U")

LONGEST_REASON = 4000
"""Characters of an error, which may quote what a tool printed, in a report."""

RUSH_SECONDS = 2.0
"""The longest that making a machine is put off for builds that are about to begin."""

PROGRESS_KEPT = 200
"""Lines of progress that wait for a slow connection; older ones are dropped."""


NOBODY: Mapping[str, Tenancy] = MappingProxyType({})

_CANCELLED = runner.Outcome(verdict="cancelled", reason="cancelled")


class Judge(Protocol):
    """Hears how a build on an image ended: by itself, or lost to infrastructure."""

    async def __call__(self, digest: str, *, by_itself: bool) -> None: ...


async def no_judge(digest: str, *, by_itself: bool) -> None:
    """For hosts whose images nobody keeps."""


class Obtain(Protocol):
    """Has the image of a machine come from the server, if that is where it is from.

    Gives what to make then: the machine by the digest of that image.
    """

    async def __call__(self, spec: MachineSpec, tell: Callable[[str], None]) -> MachineSpec: ...


async def no_stock(spec: MachineSpec, tell: Callable[[str], None]) -> MachineSpec:
    """For hosts that build their images, or have the server's."""
    return spec


class Rush:
    """Builds that are about to begin. Machines for nobody in particular are not made meanwhile: a
    build that has just taken a ready one would share the computer with the making of the next."""

    def __init__(self) -> None:
        self._builds = 0
        self._calm = asyncio.Event()
        self._calm.set()

    @contextlib.contextmanager
    def begin(self) -> Iterator[None]:
        """While a build's sources are brought to its machine."""
        self._builds += 1
        self._calm.clear()
        try:
            yield
        finally:
            self._builds -= 1
            if not self._builds:
                self._calm.set()

    async def over(self) -> None:
        """Until no build is about to begin; not for ever, where they come one after the other."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RUSH_SECONDS):
                await self._calm.wait()


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
    caches: Caches
    judge: Judge = no_judge
    obtain: Obtain = no_stock
    rush: Rush = dataclasses.field(default_factory=Rush)


class Tenancy:
    """Machine `number`, made as `spec` says; with none, one of an earlier life to be deleted."""

    def __init__(self, number: int, spec: MachineSpec | None, means: Means) -> None:
        self.number = number
        self._spec = spec
        self._means = means
        self._machine: Machine | None = None
        self._build: BuildSpec | None = None
        self._refusal: str | None = None
        self._keeping: Keeping | None = None
        self._others: dict[str, Tenancy] = {}
        self._lent_to: int | None = None
        self._making: asyncio.Task[str | None] | None = None
        self._stopped: str | None = None
        self._ended = False
        self._ordered = asyncio.Event()
        self._cancelled = asyncio.Event()
        self._unwanted = asyncio.Event()
        self._over = asyncio.Event()
        """Set when it is unwanted, or its session ends."""
        self._kept = False
        self._network = contextlib.AsyncExitStack()
        """That of its machines, which lasts as long as the first: people may look into them."""
        self._place: visits.Place | None = None
        self._settled = asyncio.Event()
        if spec is None:
            self._unwanted.set()
            self._over.set()

    def lend(self, build: int) -> str | None:
        """Let the machine be one of a build that has another as its own; why not, in words."""
        if self._lent_to == build:
            return None
        if self.build is not None:
            return f"machine {self.number} is used already, by build {self.build}"
        if self._unwanted.is_set() or self._cancelled.is_set():
            return f"machine {self.number} is being deleted"
        self._lent_to = build
        return None

    @property
    def build(self) -> int | None:
        """The build that the machine is for, as its own one or beside it."""
        return self._lent_to if self._build is None else self._build.build

    @property
    def leads(self) -> bool:
        """Whether a build has the machine as its own, and reports from it."""
        return self._build is not None

    def use(self, build: BuildSpec, others: Mapping[str, Tenancy] = NOBODY) -> str | None:
        """Run the build as soon as the machine stands; why not, in words, if that cannot be.

        `others` are the machines that it has beside this one, by name.
        """
        if self._build is not None and self._build.build == build.build:
            return None
        if self.build is not None:
            return f"machine {self.number} is used already, by build {self.build}"
        if self._unwanted.is_set():
            return f"machine {self.number} is being deleted"
        if self._cancelled.is_set():
            return f"what was to run on machine {self.number} has been cancelled"
        self._build = build
        self._others = dict(others)
        self._ordered.set()
        return None

    def cancel(self) -> None:
        """Stop the build; it is reported as cancelled unless it has finished."""
        self._cancelled.set()

    def stop(self, reason: str) -> None:
        """End the build for the host's sake: all its machines are killed as a whole, and go.

        So does a machine that was kept for somebody after its build.
        """
        if self._ended:
            self.destroy()
        elif self._stopped is None:
            self._stopped = reason
            self._cancelled.set()

    def usage(self) -> Usage | None:
        """What the machine uses while it has a build that has not ended; None else."""
        return None if self._ended else self._usage()

    def usage_of_kept(self) -> Usage | None:
        """What the machine uses that is kept though its build has ended; None else."""
        return self._usage() if self._ended and not self._unwanted.is_set() else None

    def _usage(self) -> Usage | None:
        if self._machine is None or self.build is None or self._stopped:
            return None
        with contextlib.suppress(InfraError):
            return self._machine.usage()
        return None

    def destroy(self) -> None:
        """Delete the machine, whatever it is doing."""
        self._cancelled.set()
        self._unwanted.set()
        self._over.set()
        self._settled.set()

    async def place(self) -> visits.Place:
        """Where people come to who visit the machine, once what its build needs is there.

        Raises `InfraError` if it will not be.
        """
        await self._settled.wait()
        if self._unwanted.is_set():
            raise InfraError(f"machine {self.number} is being deleted")
        if self._place is None:
            raise InfraError(f"machine {self.number} has nothing of its build on it")
        return self._place

    def _let_in(self, machine: Machine, build: BuildSpec) -> None:
        names = [part.name for part in build.parts if part.machine == self.number]
        env = runner.environment(build, next(iter(names), ""))
        self._place = visits.Place(machine=machine, env=env, cwd=runner.SOURCE)
        self._settled.set()

    @property
    def takes_slot(self) -> bool:
        return self._spec is not None and self._refusal is None

    def refuse(self, reason: str) -> None:
        """Let the machine be reported as failed, without making it."""
        self._refusal = reason

    async def live(self) -> bool:
        """Make the machine, run the build, and delete the machine when that is asked for.

        False if it stays, for the next session to go on with: it is held, and this one ends.
        """
        if self._spec is not None and not self._ended:
            async with _flat(), asyncio.TaskGroup() as group:
                making = self._making = group.create_task(self._make(self._spec))
                await self._serve(self._spec, making)
        if self._spec is not None:
            await self._over.wait()
        if not self._unwanted.is_set() and self._kept:
            return False
        await self.vanish()
        return True

    def keep(self) -> None:
        """Let the machine, whose build has ended, outlive the session."""
        self._kept = self._ended

    def leave(self) -> None:
        """The session ends: a machine that is to outlive it stays, another one is deleted."""
        if self.is_kept:
            self._over.set()
        else:
            self.destroy()

    @property
    def is_kept(self) -> bool:
        return self._kept and not self._unwanted.is_set()

    def move(self, means: Means) -> None:
        """Go on in another session."""
        self._means = means
        self._over.clear()

    async def vanish(self) -> None:
        """Remove every trace of the machine, trying again until nothing is left. Repeatable."""
        await self._network.aclose()
        for attempt in itertools.count():
            try:
                self._means.sources.forget(self.number)
                if self._machine is None:
                    await self._means.provider.purge(self.number)
                else:
                    await self._machine.destroy()
                return
            except Exception as error:
                pause = self._means.pauses[min(attempt, len(self._means.pauses) - 1)]
                log.warning("machine stays", machine=self.number, error=str(error), again_in=pause)
                await asyncio.sleep(pause)

    async def _make(self, spec: MachineSpec) -> str | None:
        """Make the machine and tell so; why that failed, in words, which is told too."""
        why = self._refusal
        try:
            if why is None:
                await _unless(self._ordered, self._means.rush.over())
                await _unless(self._unwanted, self._create(spec))
                return None
        except Exception as error:
            why = self._told(error)
            if (image := self._means.provider.find(spec)) is not None:
                await self._means.judge(image, by_itself=False)
        await self._means.send(MachineFailed(machine=self.number, reason=_plain(why)))
        return why

    async def _create(self, spec: MachineSpec) -> None:
        provider, sources = self._means.provider, self._means.sources
        room = {sources.room(self.number): source.MIRRORS} if provider.shares(spec) else {}
        async with self._progress() as tell:
            spec = await self._means.obtain(spec, tell)
            await provider.prepare(spec, tell)
            started = time.monotonic()  # an image is built but once
            self._machine = machine = await provider.create(self.number, spec, binds=room)
            for note in machine.notes:
                tell(note)
            seconds = time.monotonic() - started
        await self._means.send(
            MachineReady(machine=self.number, image=machine.image, seconds=seconds)
        )

    async def _serve(self, spec: MachineSpec, making: asyncio.Task[str | None]) -> None:
        """Run the build once it is ordered, unless that is cancelled before."""
        await _unless(self._cancelled, self._ordered.wait())
        if self._build is not None:
            outcome = await self._outcome(self._build, spec, making)
            self._ended = True
            self._settled.set()
            finished = self._finished(outcome)
            if self._stopped is not None:
                await self._kill_all()
                await self._means.send(Progress(machine=self.number, text=_plain(self._stopped)))
            elif self._machine is not None and outcome.verdict != "cancelled":
                await self._means.judge(self._machine.image, by_itself=outcome.verdict != "infra")
            await self._means.send(finished)
        elif not self._unwanted.is_set():
            await self._means.send(self._finished(_CANCELLED))

    async def _outcome(
        self, build: BuildSpec, spec: MachineSpec, making: asyncio.Task[str | None]
    ) -> runner.Outcome:
        try:
            outcome = await _unless(self._cancelled, self._run(build, spec, making))
        except Exception as error:
            outcome = runner.Outcome(verdict="infra", reason=self._told(error))
        if self._stopped is not None and (outcome is None or outcome.verdict == "infra"):
            return runner.Outcome(verdict="protected", reason=self._stopped)
        if outcome is None or (self._cancelled.is_set() and outcome.verdict == "infra"):
            return _CANCELLED
        return outcome

    async def _kill_all(self) -> None:
        """End the build on all its machines: what is short is to be there at once."""
        async with asyncio.TaskGroup() as group:
            for each in (self, *self._others.values()):
                group.create_task(each._kill())

    async def _kill(self) -> None:
        """End all that runs on the machine, at once; what that leaves awaits `Destroy`."""
        if self._machine is not None:
            with contextlib.suppress(InfraError):
                await self._machine.destroy()

    def _told(self, error: Exception) -> str:
        if isinstance(error, CupelError):
            return str(error)
        log.error("a machine's work broke off", machine=self.number, exc_info=error)
        return repr(error)

    def _finished(self, outcome: runner.Outcome) -> BuildFinished:
        used, keeping = Usage(), self._keeping
        if keeping is not None and outcome.verdict != "success":
            keeping.discard()
        if self._machine is not None:
            with contextlib.suppress(InfraError):
                used = self._machine.usage()
        return BuildFinished(
            machine=self.number,
            verdict=outcome.verdict,
            reason=outcome.reason and _plain(outcome.reason),
            cpu_seconds=used.cpu_seconds,
            memory_peak=used.memory_peak,
            caches=() if keeping is None else keeping.uses,
        )

    async def _run(
        self, build: BuildSpec, spec: MachineSpec, making: asyncio.Task[str | None]
    ) -> runner.Outcome:
        machine = await self._lay_out(build, spec, making)
        await self._bring_needed(machine, build)
        keeping = self._keeping = Keeping(machine, build, self._means.caches, self._remark)
        await keeping.restore()
        self._let_in(machine, build)
        outcome = await self._run_laid_out(machine, build, spec)
        if outcome.verdict == "success":
            await keeping.save()
        return outcome

    async def _remark(self, text: str) -> None:
        """A line for the build's log."""
        await self._means.send(Progress(machine=self.number, text=_plain(text)))

    async def _run_laid_out(
        self, machine: Machine, build: BuildSpec, spec: MachineSpec
    ) -> runner.Outcome:
        if not build.parts:
            return await self._runner(machine, build, spec).run()
        machines = {build.parts[0].name: machine}
        for name, other in self._others.items():
            machines[name] = await other.laid_out(build)
        try:
            joining = beside.joined(self._means.provider, spec, machines, build)
            joined = await self._network.enter_async_context(joining)
            return await self._runner(machine, build, spec, joined).run()
        except UserError as error:
            return runner.Outcome(verdict="failure", reason=str(error))

    async def _lay_out(
        self, build: BuildSpec, spec: MachineSpec, making: asyncio.Task[str | None]
    ) -> Machine:
        """The checkout is laid out while the machine is still being made."""
        sources = self._means.sources
        with self._means.rush.begin():
            try:
                machine, tar = await _both(
                    self._made(making),
                    sources.lay_out(self.number, build, shared=self._means.provider.shares(spec)),
                )
                await machine.copy_in(source.read(tar), "/build")
            finally:
                sources.discard(self.number)
        return machine

    async def _bring_needed(self, machine: Machine, build: BuildSpec) -> None:
        for need in build.needs:
            target = f"{runner.NEEDS}/{source.directory_of(need)}"
            await machine.copy_in(self._means.sources.needed(need), target)

    def _runner(
        self,
        machine: Machine,
        build: BuildSpec,
        spec: MachineSpec,
        joined: beside.Beside | None = None,
    ) -> runner.Runner:
        return runner.Runner(
            machine,
            build,
            memory=spec.memory,
            send=self._means.send,
            now=self._means.now,
            beside=joined,
        )

    async def laid_out(self, build: BuildSpec) -> Machine:
        """The machine, once it stands, with all that the build it is lent to needs on it."""
        assert self._spec is not None
        assert self._making is not None
        machine = await self._lay_out(build, self._spec, self._making)
        await self._bring_needed(machine, build)
        self._let_in(machine, build)
        return machine

    async def _made(self, making: asyncio.Task[str | None]) -> Machine:
        """The machine, once it stands. Raises `InfraError` if it will not."""
        await asyncio.wait({making})
        if self._machine is None:
            raise InfraError(making.result() or f"machine {self.number} was not made")
        return self._machine

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
