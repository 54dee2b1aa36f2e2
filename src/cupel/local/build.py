"""One job on its machines here, and what it leaves, told as it happens."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import itertools
import shutil
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cupel.artefact.receive import File
from cupel.artefact.store import ArtefactStore
from cupel.config.server import ServerConfig
from cupel.control import orders
from cupel.core.job import Job
from cupel.errors import CupelError, InfraError
from cupel.host import messages, visits
from cupel.host.caches.store import Caches
from cupel.host.messages import MachineSpec, NeedSpec
from cupel.host.providers.interface import Provider, Usage
from cupel.host.tenancy import Means, Obtain, Tenancy, no_stock
from cupel.local import events
from cupel.local.sources import FIRST, LocalSources
from cupel.log.store import LogStore
from cupel.report import cause

if TYPE_CHECKING:
    from cupel.core.results import Findings
    from cupel.report.results.store import ResultStore, Spool

T = TypeVar("T")

_HEADER = 512
"""Bytes of a header in a tar; an empty directory is one, and zeros."""

PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0)
"""Seconds between attempts to delete a machine that does not go."""

FAILED = frozenset({"failure", "timeout"})
"""Verdicts that the job's own output may explain."""

NOT_ITS_FAULT = "that is not the job's fault; `cupel doctor` says what this computer lacks"

TESTS = 10
"""Failing tests that are told."""

LONGEST = 300
"""Characters of what is told of each."""

GRACE = 10.0
"""Seconds that deleting a job's machines may take; the next run removes what stays."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What jobs are run on: `sources` by project, `project`'s own among them.

    `about` are variables that tell of the run.
    """

    project: str
    sources: Mapping[str, messages.SourceSpec]
    about: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a job ended: `number` is its build's; `image` are those of its machines, if they stood.

    `files` are what it left.
    """

    number: int
    verdict: str
    reason: str | None = None
    images: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    seconds: float = 0.0


Visit = Callable[[str, visits.Place], Awaitable[None]]
"""Is given the machine of a job that failed, by the job's name, until it returns."""


class Bench:
    """Runs jobs on machines of `provider`; what it needs for that it keeps in `place`.

    `specs` are the machines by label. Artefacts are laid out below `left`, by job. `visit` is given
    the machine of each job that fails.
    """

    def __init__(
        self,
        place: Path,
        provider: Provider,
        sources: LocalSources,
        origin: Origin,
        *,
        config: ServerConfig,
        specs: Mapping[str, MachineSpec],
        left: Path,
        show: events.Show,
        obtain: Obtain = no_stock,
        visit: Visit | None = None,
    ) -> None:
        self._origin = origin
        self._config = config
        self._specs = specs
        self._left = left
        self._show = show
        self._visit = visit
        self._stopped = asyncio.Event()
        self._place = place
        self.close()  # what a run left that was killed
        self._logs = LogStore(place / "logs")
        self._store = ArtefactStore(place / "artefacts")
        sources.store = self._store
        self._numbers = itertools.count(FIRST)
        self._recorders: dict[int, _Recorder] = {}
        self._tenancies: dict[int, Tenancy] = {}
        self._means = Means(
            provider=provider,
            sources=sources,
            send=self._take,
            now=time.time,
            pauses=PAUSES,
            caches=Caches(place / "caches"),
            obtain=obtain,
        )

    async def run(self, job: Job, needed: Iterable[tuple[str, int]]) -> Result:
        """Run the job to its end; `needed` are the jobs that it needs, with their builds."""
        numbers = [next(self._numbers) for _ in job.labels]
        spec = orders.job_spec(
            job,
            numbers,
            build=numbers[0],
            project=self._origin.project,
            source=self._origin.sources[self._origin.project],
            about=self._origin.about,
            needs=tuple(NeedSpec(job=name, url=str(build)) for name, build in needed),
            beside=tuple(
                messages.BesideSpec(project=name, source=self._origin.sources[name])
                for name in job.projects
            ),
            config=self._config,
        )
        recorder = _Recorder(
            job, spec, self._store, self._logs, self._place, self._left, self._show
        )
        machines = {
            number: Tenancy(number, self._specs[label], self._means)
            for number, label in zip(numbers, job.labels, strict=True)
        }
        self._recorders |= dict.fromkeys(numbers, recorder)
        self._tenancies |= machines
        try:
            return await self._live(spec, recorder, machines)
        finally:
            for number in numbers:
                del self._tenancies[number], self._recorders[number]

    async def _live(
        self, spec: messages.BuildSpec, recorder: _Recorder, machines: Mapping[int, Tenancy]
    ) -> Result:
        own, *others = machines.values()
        for other in others:
            other.lend(spec.build)
        own.use(spec, {part.name: machines[part.machine] for part in spec.parts[1:]})
        tasks = [asyncio.ensure_future(each.live()) for each in machines.values()]
        try:
            result = await _until(recorder.result, tasks)
            if self._visit is not None and result.verdict in FAILED:
                await self._let_in(self._visit, recorder.job, own)
            return result
        finally:
            for each in machines.values():
                each.destroy()
            await asyncio.wait(tasks, timeout=GRACE)
            for task in tasks:
                task.cancel()

    async def _let_in(self, visit: Visit, job: str, machine: Tenancy) -> None:
        """Keep the machine for whoever wants to look at it, unless the run is stopped."""
        visiting = asyncio.ensure_future(visit(job, await machine.place()))
        stopping = asyncio.ensure_future(self._stopped.wait())
        await asyncio.wait({visiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        visiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await visiting

    def stop(self) -> None:
        """End all that runs, in order: nothing of it is left when `run` returns."""
        self._stopped.set()
        for tenancy in self._tenancies.values():
            tenancy.cancel()

    def close(self) -> None:
        """Remove what is not laid out for people. Repeatable."""
        for name in ("artefacts", "logs", "results"):
            shutil.rmtree(self._place / name, ignore_errors=True)

    def usages(self) -> dict[str, Usage]:
        """What the jobs that run use now, each on its own machine."""
        found = {}
        for number, tenancy in self._tenancies.items():
            if tenancy.leads and (usage := tenancy.usage()) is not None:
                found[self._recorders[number].job] = usage
        return found

    async def _take(self, message: messages.ToServer) -> None:
        match message:
            case (
                messages.Hello()
                | messages.Images()
                | messages.Heartbeat()
                | messages.Judged()
                | messages.Metrics()
                | messages.BuildRefused()
                | messages.MachineGone()
                | messages.VisitOutput()
                | messages.VisitTaken()
                | messages.VisitEnded()
                | messages.CachesGone()
            ):
                pass  # an agent's, not a machine's
            case messages.BuildFinished():
                if (recorder := self._recorders.get(message.machine)) is not None:
                    await recorder.finish(message)
            case _:
                if (recorder := self._recorders.get(message.machine)) is not None:
                    recorder.take(message)


async def _until(result: asyncio.Future[T], tasks: Sequence[asyncio.Future[bool]]) -> T:
    """The result; a task that ends before it does so by an error, which is raised."""
    waiting: set[asyncio.Future[T] | asyncio.Future[bool]] = {result, *tasks}
    while not result.done():
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {result}:
            task.result()
    return result.result()


class _Recorder:
    """What the machines of one build report, as events and at last as its `result`."""

    def __init__(
        self,
        job: Job,
        spec: messages.BuildSpec,
        store: ArtefactStore,
        logs: LogStore,
        place: Path,
        left: Path,
        show: events.Show,
    ) -> None:
        self.job = job.name
        self.result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._job = job
        self._spec = spec
        self._store = store
        self._left = left
        self._show = show
        self._receiver = store.receiver(spec.build, spec.artefact_limit)
        self._files: tuple[File, ...] = ()
        self._spoilt: CupelError | None = None
        self._images: dict[int, str] = {}
        self._logs = logs
        self._log = logs.writer(spec.build)
        self._place = place
        self._spool: Spool | None = None
        self._pieces: list[messages.ResultData] = []
        self._seen: collections.Counter[int] = collections.Counter()
        """By machine, the bytes of results that have come."""
        self._results: ResultStore | None = None
        self._failed_step: int | None = None
        self._began = time.monotonic()
        self._step_began = 0.0

    def take(self, message: messages.ToServer) -> None:
        match message:
            case messages.Progress():
                self._show(events.Told(job=self.job, text=message.text))
            case messages.MachineReady():
                self._images[message.machine] = message.image
                self._show(
                    events.Stands(job=self.job, image=message.image, seconds=message.seconds)
                )
            case messages.StepStarted():
                self._step_began = message.at
                self._show(
                    events.StepBegun(
                        job=self.job,
                        number=message.step + 1,
                        count=len(self._spec.steps),
                        name=message.name,
                    )
                )
            case messages.Output():
                self._print(message)
            case messages.StepFinished():
                if message.exit_status != 0:
                    self._failed_step = message.step
                self._show(
                    events.StepEnded(
                        job=self.job,
                        number=message.step + 1,
                        name=self._spec.steps[message.step].name,
                        seconds=max(0.0, message.at - self._step_began),
                        exit_status=message.exit_status,
                    )
                )
            case messages.ArtefactData():
                self._receive(message)
            case messages.ResultData():
                self._take_results(message)
            case _:
                pass

    def _print(self, message: messages.Output) -> None:
        self._log.append(message.step, message.stream, message.at, message.data, message.part)
        parts = self._spec.parts
        part = parts[message.part].name if parts else ""
        self._show(
            events.Printed(job=self.job, stream=message.stream, part=part, data=message.data)
        )

    def _receive(self, message: messages.ArtefactData) -> None:
        try:
            self._receiver.feed(message.data)
            if message.last:
                self._files = tuple(self._receiver.finish())
        except CupelError as error:
            self._spoilt = error

    async def finish(self, message: messages.BuildFinished) -> None:
        """The build has ended: tell how, and what to look at first."""
        self._receiver.discard()
        self._log.close()
        verdict, reason = message.verdict, message.reason
        if self._spoilt is not None and verdict == "success":
            # As on a server: without what it left, a build proves nothing.
            verdict = "infra" if isinstance(self._spoilt, InfraError) else "failure"
            reason = str(self._spoilt)
        where = self._lay_out()
        seconds = time.monotonic() - self._began
        found = await self._findings()
        error = await self._error(found) if verdict in FAILED else ()
        if verdict == "infra":
            error = (NOT_ITS_FAULT,)
        self.result.set_result(
            Result(
                number=self._spec.build,
                verdict=verdict,
                reason=reason,
                images=tuple(self._images[number] for number in sorted(self._images)),
                files=self._files,
                seconds=seconds,
            )
        )
        self._show(
            events.Ended(
                job=self.job,
                verdict=verdict,
                reason=reason,
                seconds=seconds,
                voting=self._job.voting,
                cpu_seconds=message.cpu_seconds,
                memory_peak=message.memory_peak,
                artefacts=str(where) if where is not None else None,
                tests=found.tally if found is not None else None,
                error=error,
            )
        )

    def _take_results(self, message: messages.ResultData) -> None:
        """Keep a piece; what reads results is only loaded once there is more than no file."""
        self._pieces.append(message)
        seen = self._seen[message.part]
        self._seen[message.part] += len(message.data)
        if self._spool is None and not any(message.data[max(_HEADER - seen, 0) :]):
            return
        if self._spool is None:
            from cupel.report.results.store import ResultStore

            self._results = ResultStore(self._place / "results" / str(self._spec.build))
            self._spool = self._results.spool(self._spec.result_limit)
        for piece in self._pieces:
            self._spool.feed(piece.part, piece.data)
        self._pieces.clear()

    async def _findings(self) -> Findings | None:
        """What the job's tests said; None if they left nothing."""
        if self._spool is None or self._results is None or not self._spool.parts():
            return None
        from cupel.control import results

        names = [part.name for part in self._spec.parts]
        reader = results.Reader(self._results)
        return await reader.read(self._spec.build, self._spool, names)

    async def _error(self, found: Findings | None) -> tuple[str, ...]:
        """What to look at first, in lines: the tests that failed, else lines of the log."""
        tests = [each for each in found.failing if each.is_failed] if found is not None else []
        if found is not None and tests:
            from cupel.core.results import one_line

            shown_tests = [
                cause.Failing(
                    name=one_line(each.id, LONGEST),
                    message=one_line(each.message or each.text.strip(), LONGEST),
                    place=each.place,
                )
                for each in tests[:TESTS]
            ]
            return tuple(cause.error(shown_tests, found.tally.bad, ()))
        shown = await self._logs.excerpt(self._spec.build, self._failed_step)
        lines = [dataclasses.replace(each, number=each.number + 1) for each in shown]
        return tuple(cause.error((), 0, lines))

    def _lay_out(self) -> Path | None:
        """The files that the job left, by their names; None if there are none."""
        target = self._left / directory_of(self.job)
        shutil.rmtree(target, ignore_errors=True)
        if not self._files:
            return None
        for file in self._files:
            path = target / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._store.open(self._spec.build, file.path) as content, path.open("wb") as out:
                shutil.copyfileobj(content, out)
            path.chmod(0o755 if file.executable else 0o644)
        return target


def directory_of(job: str) -> str:
    """A job's name as that of a directory."""
    return job.replace("/", "_") if job.strip(".") else job.replace(".", "_")
