"""One host's connection: its messages become facts, and what builds print goes to their logs."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from collections.abc import Callable, Sequence

import structlog

from cupel.control.clock import Clock
from cupel.control.engine import Engine
from cupel.control.results import Reader
from cupel.control.running import Running
from cupel.control.visits import Visits
from cupel.core import events
from cupel.core import host as hosts
from cupel.core.cache import CacheUse
from cupel.core.model import Artefact, StepResult, Usage, Verdict
from cupel.errors import Bug, InfraError, UserError
from cupel.host import messages, processor
from cupel.host.protocol import Phase, ServerConnection
from cupel.host.transport import Transport
from cupel.image.keeper import Keeper
from cupel.log import index, metrics
from cupel.log.loads import LoadStore

log = structlog.get_logger(__name__)

HEARTBEAT = 5.0
"""Seconds within which a host must say something; three such silences and it is lost."""

_TOLD = 200
"""Lines of what was told of a machine that are kept for the log of its build."""

_SELDOM = 1.0
"""Seconds between two lines that are stored of what is told of a machine."""

_PATIENCE = 1.0
"""Seconds before a fact is stored again that the store did not take."""


Labels = Callable[[], tuple[messages.MachineSpec, ...]]
"""What the host is to know of all machines that there are."""


@dataclasses.dataclass(slots=True)
class _Making:
    """What the host told of a machine before it had a build: it belongs into that build's log."""

    lines: collections.deque[tuple[float, str]] = dataclasses.field(
        default_factory=lambda: collections.deque(maxlen=_TOLD)
    )
    stored_at: float = 0.0


class Session:
    """One host's connection."""

    def __init__(
        self,
        transport: Transport,
        engine: Engine,
        images: Keeper,
        clock: Clock,
        loads: dict[str, messages.HostLoad],
        past: LoadStore,
        visits: Visits,
        results: Reader,
        url: str,
        patience: float,
    ) -> None:
        self.name = ""
        self.fetches = ""
        """Of which architecture it fetches images."""
        self.url = url
        self._patience = patience
        self.running: dict[int, Running] = {}
        self._transport = transport
        self._engine = engine
        self._images = images
        self._labels: Labels = tuple
        self._told: tuple[messages.MachineSpec, ...] = ()
        self._clock = clock
        self._loads = loads
        self._past = past
        self._visits = visits
        self._results = results
        self._finishing: dict[int, asyncio.Task[None]] = {}
        """By machine, whose builds' results are read before their end is recorded."""
        self._connection = ServerConnection()
        self._pending: list[messages.ToServer] = []
        self._making: dict[int, _Making] = {}
        self._measured: dict[int, tuple[Running, int]] = {}
        """Whose build each machine works for, and as which of its parts."""

    async def say(self, message: messages.ToHost) -> None:
        if self._connection.phase is Phase.CLOSED:
            raise InfraError(f"host {self.name} is going away")
        await self._transport.write(self._connection.send(message))

    async def hello(self) -> messages.Hello | None:
        """The first message; None when the host goes away before it says anything."""
        message = await self._next()
        if message is None:
            return None
        if not isinstance(message, messages.Hello):
            raise InfraError(f"a host began with {type(message).__name__}")
        if message.version != messages.VERSION:
            raise InfraError(
                f"host {message.name} speaks version {message.version} of the protocol",
                hint=f"this server speaks version {messages.VERSION}: install the same Cupel",
            )
        self.name = message.name
        self.fetches = message.fetches
        return message

    async def welcome(self, token: str, labels: Labels) -> messages.Images | None:
        """Let the host in, and hear what images it has; None when it goes away before that."""
        self._labels, self._told = labels, labels()
        await self.say(
            messages.Welcome(
                version=messages.VERSION,
                heartbeat=HEARTBEAT,
                token=token,
                labels=self._told,
                images=f"{self.url}/api/images",
            )
        )
        message = await self._next()
        if message is None or isinstance(message, messages.Images):
            return message
        raise InfraError(f"host {self.name} answered {type(message).__name__} to its welcome")

    async def record(
        self, hello: messages.Hello, images: messages.Images, *, room: int, share: int
    ) -> None:
        """Let the host be known; its caches may take so many bytes, and those of a project."""
        await self._engine.record(
            events.HostConnected(
                name=hello.name,
                slots=hello.slots,
                labels=hello.labels,
                machines=hello.machines,
                held=hello.held,
                detail="; ".join(hello.notes) or None,
                images=images.images,
                caches=images.caches,
                cache_room=room,
                cache_share=share,
                cpu=hello.cpu[: processor.LONGEST],
                system=hello.system,
            )
        )

    async def listen(self) -> None:
        """Take what the host says until it goes away; what it has said to the end still counts."""
        broken: Exception | None = None
        async with asyncio.TaskGroup() as group:
            try:
                while (message := await self._next()) is not None:
                    await self._take(message, group)
            except (InfraError, TimeoutError) as error:
                broken = error
        if broken is not None:
            raise broken

    async def lose(self, reason: str) -> None:
        """Nothing of what ran will come any more."""
        await self._record(events.HostLost(name=self.name, reason=reason))

    def close_logs(self) -> None:
        for running in self.running.values():
            running.close()
            running.results.discard()

    async def _tell_labels(self) -> None:
        """Tell the host when a label has another image."""
        if self.fetches and (labels := self._labels()) != self._told:
            self._told = labels
            await self.say(messages.Labels(labels=labels))

    async def _next(self) -> messages.ToServer | None:
        while not self._pending:
            async with asyncio.timeout(self._patience):
                data = await self._transport.read()
            if not data:
                return None
            self._pending.extend(self._connection.receive(data))
        return self._pending.pop(0)

    async def _take(  # noqa: C901 - one match over the union
        self, message: messages.ToServer, group: asyncio.TaskGroup
    ) -> None:
        match message:
            case messages.Hello() | messages.Images():
                raise InfraError(f"host {self.name} said {type(message).__name__} twice")
            case messages.Heartbeat():
                await self._take_heartbeat(message)
            case messages.Judged():
                self._images.judge(message.image, by_itself=message.by_itself)
            case messages.MachineReady():
                await self._record(
                    events.MachineReady(
                        machine_id=message.machine, image=message.image, seconds=message.seconds
                    )
                )
            case messages.MachineFailed():
                self._making.pop(message.machine, None)
                await self._record(
                    events.MachineFailed(machine_id=message.machine, reason=message.reason)
                )
            case messages.MachineGone():
                await self._forget(message.machine)
                await self._record(events.MachineGone(machine_id=message.machine))
            case messages.Progress() if message.machine not in self.running:
                await self._take_progress(message)
            case messages.BuildFinished() if message.machine not in self.running:
                await self._record(_never_ran(message))
            case messages.BuildRefused():
                await self._take_refusal(message)
            case messages.VisitOutput() | messages.VisitTaken() | messages.VisitEnded():
                self._visits.hear(message)
            case messages.Metrics():
                await self._take_metrics(message)
            case messages.CachesGone():
                await self._record(events.CachesGone(host=self.name, files=message.files))
            case _:
                running = self.running.get(message.machine)
                if running is not None:
                    await self._take_from(running, message, group)

    async def _take_heartbeat(self, message: messages.Heartbeat) -> None:
        if message.load is not None:
            self._take_load(message.load)
        await self._record(
            events.HostSeen(name=self.name, refuses=message.refuses, images=message.images)
        )
        await self._tell_labels()

    def _take_load(self, load: messages.HostLoad) -> None:
        self._loads[self.name] = load
        try:
            self._past.note(self.name, self._clock(), dataclasses.astuple(load))
        except InfraError as error:
            log.warning("the load of a host is lost", host=self.name, error=error.message)

    def begin(self, machines: Sequence[int], running: Running) -> None:
        """A build begins, on the first of its machines; its log, with what was told of that."""
        self.running[machines[0]] = running
        self._measured |= {machine: (running, part) for part, machine in enumerate(machines)}
        making = self._making.pop(machines[0], None)
        for at, text in making.lines if making is not None else ():
            running.print(index.NO_STEP, "cupel", at, f"{text}\n".encode())

    async def _take_progress(self, message: messages.Progress) -> None:
        making = self._making.setdefault(message.machine, _Making())
        now = self._clock()
        making.lines.append((now, message.text))
        if now - making.stored_at >= _SELDOM:
            making.stored_at = now
            await self._record(events.MachineTold(machine_id=message.machine, text=message.text))

    async def _take_refusal(self, message: messages.BuildRefused) -> None:
        running = self.running.get(message.machine)
        if running is not None and running.build_id == message.build:
            running.close()
            refused = messages.BuildFinished(
                machine=message.machine,
                verdict="infra",
                reason=message.reason,
                cpu_seconds=None,
                memory_peak=None,
            )
            await self._finish(running, refused)

    async def _take_from(
        self, running: Running, message: messages.ToServer, group: asyncio.TaskGroup
    ) -> None:
        match message:
            case messages.Output():
                running.print(message.step, message.stream, message.at, message.data, message.part)
            case messages.Progress():
                text = f"{message.text}\n".encode()
                running.print(index.NO_STEP, "cupel", self._clock(), text)
            case messages.StepStarted():
                running.steps[message.step] = StepResult(
                    name=message.name, started_at=message.at, finished_at=None, exit_status=None
                )
                await self._tell_steps(message.machine, running)
            case messages.StepFinished():
                running.finish_step(message)
                await self._tell_steps(message.machine, running)
            case messages.ArtefactData():
                await self._take_artefacts(running, message)
            case messages.ResultData():
                await self._take_results(running, message)
            case messages.BuildFinished() if running.results.parts():
                # Others go on while what its tests left is read.
                task = group.create_task(self._finish(running, message), name="finish a build")
                self._finishing[message.machine] = task
                task.add_done_callback(lambda _: self._finishing.pop(message.machine, None))
            case messages.BuildFinished():
                await self._finish(running, message)
            case _:
                raise Bug(f"{type(message).__name__} is not about a build")

    async def _tell_steps(self, machine: int, running: Running) -> None:
        await self._record(events.StepsChanged(machine_id=machine, steps=running.step_results()))

    async def _take_metrics(self, message: messages.Metrics) -> None:
        """They prove nothing, so a build counts without them."""
        if message.machine not in self._measured:
            return
        running, part = self._measured[message.machine]
        rows = [dataclasses.astuple(each) for each in message.measures]
        try:
            await asyncio.to_thread(metrics.append, running.metrics[part], rows)
        except InfraError as error:
            log.warning("metrics are lost", build=running.build_id, error=error.message)

    async def _take_artefacts(self, running: Running, message: messages.ArtefactData) -> None:
        """What cannot be taken spoils the build, which others may need the artefacts of."""
        try:
            await asyncio.to_thread(running.artefacts.feed, message.data)
            if message.last:
                stored = await asyncio.to_thread(running.artefacts.finish)
                running.stored = tuple((file.path, file.size, file.sha256) for file in stored)
        except InfraError as error:
            running.spoilt = Verdict.INFRA, error.message
        except (UserError, ValueError) as error:
            running.spoilt = Verdict.FAILURE, str(error)

    async def _take_results(self, running: Running, message: messages.ResultData) -> None:
        """They prove nothing: a build counts without them."""
        try:
            await asyncio.to_thread(running.results.feed, message.part, message.data)
        except InfraError as error:
            log.warning("results are lost", build=running.build_id, error=error.message)

    async def _finish(self, running: Running, message: messages.BuildFinished) -> None:
        running.close()
        await self._results.keep_printed(running.build_id, running.said.end())
        found = await self._results.read(running.build_id, running.results, running.machines)
        now = self._clock()
        verdict, reason = running.judged(*_verdict(message))
        await self._record(
            events.BuildFinished(
                machine_id=message.machine,
                verdict=verdict,
                reason=reason,
                findings=found,
                steps=running.step_results(),
                usage=Usage(cpu_seconds=message.cpu_seconds, memory_peak=message.memory_peak),
                caches=tuple(CacheUse(**dataclasses.asdict(use)) for use in message.caches),
                artefacts=tuple(
                    Artefact(
                        id=0,
                        build_id=running.build_id,
                        path=path,
                        size=size,
                        sha256=digest,
                        created_at=now,
                    )
                    for path, size, digest in running.stored
                ),
            )
        )

    async def _record(self, fact: events.Fact) -> None:
        """Store a fact, however long the store is away: the host says it but once."""
        while True:
            try:
                return await self._engine.record(fact)
            except InfraError as error:
                log.error("a fact is not stored, trying again", error=str(error))
            await asyncio.sleep(_PATIENCE)

    async def _forget(self, machine: int) -> None:
        if (finishing := self._finishing.get(machine)) is not None:
            await finishing
        self._making.pop(machine, None)
        self._measured.pop(machine, None)
        running = self.running.pop(machine, None)
        if running is not None:
            running.close()
            running.results.discard()


def _verdict(message: messages.BuildFinished) -> tuple[Verdict, str | None]:
    if message.verdict == "protected":
        return Verdict.INFRA, f"{hosts.PROTECTED}: {message.reason}"
    return Verdict(message.verdict), message.reason


def _never_ran(message: messages.BuildFinished) -> events.BuildFinished:
    """The end of a build that was cancelled before its host had heard of it."""
    return events.BuildFinished(
        machine_id=message.machine,
        verdict=Verdict(message.verdict),
        reason=message.reason,
        steps=(),
        usage=Usage(),
        artefacts=(),
    )
