"""The server's end of its hosts: commands out, facts in, output to the logs."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from collections import Counter
from dataclasses import replace
from pathlib import Path

import structlog

from cupel.artefact.receive import Receiver
from cupel.artefact.store import ArtefactStore
from cupel.config.server import LabelConfig, ServerConfig
from cupel.control.clock import Clock
from cupel.control.engine import Engine
from cupel.core import actions, events
from cupel.core import host as hosts
from cupel.core.model import Artefact, Host, HostState, Item, Project, StepResult, Usage, Verdict
from cupel.errors import Bug, InfraError, UserError
from cupel.git.repository import state_ref
from cupel.host import messages
from cupel.host.protocol import Phase, ServerConnection
from cupel.host.transport import Transport
from cupel.log import index, metrics
from cupel.log.append import LogWriter
from cupel.log.stream import LogStore
from cupel.store.interface import Store

log = structlog.get_logger(__name__)

HEARTBEAT = 5.0
"""Seconds within which a host must say something; three such silences and it is lost."""

_TOLD = 200
"""Lines of what was told of a machine that are kept for the log of its build."""

_SELDOM = 1.0
"""Seconds between two lines that are stored of what is told of a machine."""

_PATIENCE = 1.0
"""Seconds before a fact is stored again that the store did not take."""


@dataclasses.dataclass(slots=True)
class _Making:
    """What the host told of a machine before it had a build: it belongs into that build's log."""

    lines: collections.deque[tuple[float, str]] = dataclasses.field(
        default_factory=lambda: collections.deque(maxlen=_TOLD)
    )
    stored_at: float = 0.0


@dataclasses.dataclass(slots=True)
class _Running:
    """What the server knows of a build while its host works on it.

    `spoilt` is why what the build printed or left is not kept: it cannot count as it ended then.
    """

    build_id: int
    log: LogWriter
    artefacts: Receiver
    metrics: Path
    steps: dict[int, StepResult] = dataclasses.field(default_factory=dict)
    stored: tuple[tuple[str, int, str], ...] = ()
    spoilt: tuple[Verdict, str] | None = None

    def judged(self, verdict: Verdict, reason: str | None) -> tuple[Verdict, str | None]:
        """The verdict that stands: without its log or artefacts a build proves nothing."""
        if self.spoilt is None or verdict is Verdict.CANCELLED:
            return verdict, reason
        # The build's own failure came first; ours says that nobody can tell what happened.
        is_ours = self.spoilt[0] is Verdict.INFRA
        return self.spoilt if is_ours or verdict is Verdict.SUCCESS else (verdict, reason)

    def results(self) -> tuple[StepResult, ...]:
        return tuple(self.steps[number] for number in sorted(self.steps))


class Hosts:
    """Every connected host, by name. `token` opens sources and artefacts to them."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        logs: LogStore,
        artefacts: ArtefactStore,
        clock: Clock,
        config: ServerConfig,
        *,
        url: str,
        token: str,
    ) -> None:
        self._store = store
        self._engine = engine
        self._logs = logs
        self._artefacts = artefacts
        self._clock = clock
        self._config = config
        self._url = url
        self._token = token
        self._sessions: dict[str, _Session] = {}
        self._connections: Counter[str] = Counter()

    async def serve(
        self,
        transport: Transport,
        *,
        name: str | None = None,
        url: str | None = None,
        patience: float = 3 * HEARTBEAT,
    ) -> None:
        """Talk with one host until it goes away or is silent for so long; then it counts as lost.

        `name` is what it must call itself. `url` is by what it reaches this server, if that is not
        by what hosts in this process do.
        """
        session = _Session(transport, self._engine, self._clock, url or self._url, patience)
        try:
            hello = await session.hello()
            if hello is None:
                return
            if name is not None and hello.name != name:
                raise InfraError(f"host {name} calls itself {hello.name}")
            # Welcome before anything else: once it is recorded, planning may send it work.
            images = await session.welcome(self._token, self._specs())
            if images is None:
                return
            self._sessions[hello.name] = session
            self._connections[hello.name] += 1
            await session.record(hello, images)
            await session.listen()
            reason = "it went away"
        except (InfraError, TimeoutError) as error:
            reason = str(error) or "it fell silent"
        finally:
            transport.close()
            session.close_logs()
        if self._sessions.get(session.name) is session:
            del self._sessions[session.name]
            await session.lose(reason)

    async def doubt(self, name: str, reason: str) -> None:
        """Give the host nothing more until it is heard again."""
        if name in self._sessions:
            await self._engine.record(events.HostSeen(name=name, refuses=reason))

    def knows(self, name: str) -> bool:
        """Whether a host of that name is connected."""
        return name in self._sessions

    def connections(self, name: str) -> int:
        """How often the host has connected since the server started."""
        return self._connections[name]

    async def give_up_absent(self) -> None:
        """Count as lost those hosts of an earlier life that have not come back by now."""
        async with self._store.read() as tx:
            known = await tx.select(Host, {"state": (HostState.CONNECTED,)})
        for host in known:
            if host.name not in self._sessions:
                reason = "it did not come back after the server's restart"
                await self._engine.record(events.HostLost(name=host.name, reason=reason))

    async def make(self, action: actions.MakeMachine) -> None:
        """Have the host make a machine. Repeatable."""
        machine = action.machine
        label = self._config.labels.get(machine.label)
        if label is None:
            raise InfraError(f"label {machine.label} is not in the server's configuration")
        spec = machine_spec(machine.label, label)
        await self._session(action.host).say(messages.Make(machine=machine.id, spec=spec))

    async def run(self, action: actions.RunBuild) -> None:
        """Have the host run a build on a machine that it has made. Repeatable."""
        session = self._session(action.host)
        if action.machine.id in session.running:
            return
        build_id = action.build.id
        running = _Running(
            build_id=build_id,
            log=self._logs.writer(build_id),
            artefacts=self._artefacts.receiver(build_id, self._config.artefact_limit),
            metrics=self._logs.metrics(build_id),
        )
        session.begin(action.machine.id, running)
        spec = _build_spec(action, session.url, self._config)
        await session.say(messages.Run(machine=action.machine.id, build=spec))

    async def cancel(self, action: actions.CancelBuild) -> None:
        await self._session(action.host).say(messages.Cancel(machine=action.machine_id))

    async def destroy(self, action: actions.DestroyMachine) -> None:
        await self._session(action.host).say(messages.Destroy(machine=action.machine_id))

    def _session(self, name: str) -> _Session:
        try:
            return self._sessions[name]
        except KeyError:
            raise InfraError(f"host {name} is not connected") from None

    def _specs(self) -> tuple[messages.MachineSpec, ...]:
        return tuple(machine_spec(name, label) for name, label in self._config.labels.items())


def _build_spec(action: actions.RunBuild, url: str, config: ServerConfig) -> messages.BuildSpec:
    assert action.buildset.commit is not None
    project, item, job = action.project, action.item, action.job
    return messages.BuildSpec(
        build=action.build.id,
        project=project.name,
        job=job.name,
        source=messages.SourceSpec(
            url=f"{url}/{project.name}.git",
            ref=state_ref(action.buildset.id),
            commit=action.buildset.commit,
            branch=item.branch,
        ),
        steps=tuple(
            messages.StepSpec(name=step.name, run=step.run, on=step.on) for step in job.steps
        ),
        env=_env(job.env, item.change_id, item.patch_set, item.pipeline),
        needs=tuple(
            messages.NeedSpec(job=name, url=f"{url}/api/builds/{build}/artefacts.tar")
            for name, build in action.needed
        ),
        beside=tuple(_beside(beside, commit, item, url) for beside, commit in action.beside),
        timeout=job.timeout,
        log_limit=config.log_limit,
        artefact_limit=config.artefact_limit,
        parts=_parts(action),
        services=tuple(messages.ServiceSpec(**dataclasses.asdict(each)) for each in job.services),
        links=tuple(messages.LinkSpec(**dataclasses.asdict(each)) for each in job.links),
    )


def _parts(action: actions.RunBuild) -> tuple[messages.PartSpec, ...]:
    machines = (action.machine, *action.others)
    parts = action.job.parts
    return tuple(
        messages.PartSpec(name=part.name, machine=machine.id)
        for part, machine in zip(parts, machines if parts else (), strict=True)
    )


def _beside(project: Project, commit: str, item: Item, url: str) -> messages.BesideSpec:
    # By its id: no ref of that repository need name the state that the commit is of.
    source = messages.SourceSpec(
        url=f"{url}/{project.name}.git", ref=commit, commit=commit, branch=item.branch
    )
    return messages.BesideSpec(project=project.name, source=source)


def _env(
    env: tuple[tuple[str, str], ...], change: int | None, patch_set: int | None, pipeline: str
) -> tuple[tuple[str, str], ...]:
    about = {"CUPEL_PIPELINE": str(pipeline)}
    if change is not None:
        about |= {"CUPEL_CHANGE": str(change), "CUPEL_PATCH_SET": str(patch_set)}
    return (*env, *about.items())


def machine_spec(name: str, label: LabelConfig) -> messages.MachineSpec:
    """What a host is told of a label."""
    return messages.MachineSpec(
        label=name,
        image=label.image,
        provider=label.provider,
        init=label.init,
        network=label.network,
        cpus=label.cpus,
        memory=label.memory,
        disk=label.disk,
        pids=label.pids,
    )


class _Session:
    """One host's connection."""

    def __init__(
        self, transport: Transport, engine: Engine, clock: Clock, url: str, patience: float
    ) -> None:
        self.name = ""
        self.url = url
        self._patience = patience
        self.running: dict[int, _Running] = {}
        self._transport = transport
        self._engine = engine
        self._clock = clock
        self._connection = ServerConnection()
        self._pending: list[messages.ToServer] = []
        self._making: dict[int, _Making] = {}

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
        return message

    async def welcome(
        self, token: str, labels: tuple[messages.MachineSpec, ...]
    ) -> messages.Images | None:
        """Let the host in, and hear what images it has; None when it goes away before that."""
        await self.say(
            messages.Welcome(
                version=messages.VERSION, heartbeat=HEARTBEAT, token=token, labels=labels
            )
        )
        message = await self._next()
        if message is None or isinstance(message, messages.Images):
            return message
        raise InfraError(f"host {self.name} answered {type(message).__name__} to its welcome")

    async def record(self, hello: messages.Hello, images: messages.Images) -> None:
        await self._engine.record(
            events.HostConnected(
                name=hello.name,
                slots=hello.slots,
                labels=hello.labels,
                machines=hello.machines,
                detail="; ".join(hello.notes) or None,
                images=images.images,
            )
        )

    async def listen(self) -> None:
        while (message := await self._next()) is not None:
            await self._take(message)

    async def lose(self, reason: str) -> None:
        """Nothing of what ran will come any more."""
        await self._record(events.HostLost(name=self.name, reason=reason))

    def close_logs(self) -> None:
        for running in self.running.values():
            _close(running)

    async def _next(self) -> messages.ToServer | None:
        while not self._pending:
            async with asyncio.timeout(self._patience):
                data = await self._transport.read()
            if not data:
                return None
            self._pending.extend(self._connection.receive(data))
        return self._pending.pop(0)

    async def _take(self, message: messages.ToServer) -> None:
        match message:
            case messages.Hello() | messages.Images():
                raise InfraError(f"host {self.name} said {type(message).__name__} twice")
            case messages.Heartbeat():
                await self._record(
                    events.HostSeen(name=self.name, refuses=message.refuses, images=message.images)
                )
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
                self._forget(message.machine)
                await self._record(events.MachineGone(machine_id=message.machine))
            case messages.Progress() if message.machine not in self.running:
                await self._take_progress(message)
            case messages.BuildFinished() if message.machine not in self.running:
                await self._record(_never_ran(message))
            case messages.BuildRefused():
                await self._take_refusal(message)
            case _:
                running = self.running.get(message.machine)
                if running is not None:
                    await self._take_from(running, message)

    def begin(self, machine: int, running: _Running) -> None:
        """The machine's build begins; its log, with what was told of the machine."""
        self.running[machine] = running
        making = self._making.pop(machine, None)
        for at, text in making.lines if making is not None else ():
            _print(running, index.NO_STEP, "cupel", at, f"{text}\n".encode())

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
            _close(running)
            refused = messages.BuildFinished(
                machine=message.machine,
                verdict="infra",
                reason=message.reason,
                cpu_seconds=None,
                memory_peak=None,
            )
            await self._finish(running, refused)

    async def _take_from(self, running: _Running, message: messages.ToServer) -> None:
        match message:
            case messages.Output():
                _print(
                    running, message.step, message.stream, message.at, message.data, message.part
                )
            case messages.Progress():
                text = f"{message.text}\n".encode()
                _print(running, index.NO_STEP, "cupel", self._clock(), text)
            case messages.Metrics():
                await self._take_metrics(running, message)
            case messages.StepStarted():
                running.steps[message.step] = StepResult(
                    name=message.name, started_at=message.at, finished_at=None, exit_status=None
                )
                await self._tell_steps(message.machine, running)
            case messages.StepFinished():
                _finish_step(running, message)
                await self._tell_steps(message.machine, running)
            case messages.ArtefactData():
                await self._take_artefacts(running, message)
            case messages.BuildFinished():
                await self._finish(running, message)
            case _:
                raise Bug(f"{type(message).__name__} is not about a build")

    async def _tell_steps(self, machine: int, running: _Running) -> None:
        await self._record(events.StepsChanged(machine_id=machine, steps=running.results()))

    async def _take_metrics(self, running: _Running, message: messages.Metrics) -> None:
        """They prove nothing, so a build counts without them."""
        rows = [dataclasses.astuple(each) for each in message.measures]
        try:
            await asyncio.to_thread(metrics.append, running.metrics, rows)
        except InfraError as error:
            log.warning("metrics are lost", build=running.build_id, error=error.message)

    async def _take_artefacts(self, running: _Running, message: messages.ArtefactData) -> None:
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

    async def _finish(self, running: _Running, message: messages.BuildFinished) -> None:
        _close(running)
        now = self._clock()
        verdict, reason = running.judged(*_verdict(message))
        await self._record(
            events.BuildFinished(
                machine_id=message.machine,
                verdict=verdict,
                reason=reason,
                steps=running.results(),
                usage=Usage(cpu_seconds=message.cpu_seconds, memory_peak=message.memory_peak),
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

    def _forget(self, machine: int) -> None:
        self._making.pop(machine, None)
        running = self.running.pop(machine, None)
        if running is not None:
            _close(running)


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


def _finish_step(running: _Running, message: messages.StepFinished) -> None:
    step = running.steps.get(message.step)
    if step is not None:
        running.steps[message.step] = replace(
            step,
            finished_at=message.at,
            exit_status=message.exit_status,
            usage=Usage(cpu_seconds=message.cpu_seconds, memory_peak=message.memory_peak),
        )


def _print(
    running: _Running, step: int, stream: str, at: float, data: bytes, part: int = 0
) -> None:
    """Add to the log; one that lacks anything is as good as none."""
    if running.spoilt is None:
        try:
            running.log.append(step, stream, at, data, part)
        except InfraError as error:
            running.spoilt = Verdict.INFRA, error.message


def _close(running: _Running) -> None:
    try:
        running.log.close()
    except InfraError as error:
        running.spoilt = Verdict.INFRA, error.message
