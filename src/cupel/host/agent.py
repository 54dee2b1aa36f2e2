"""The agent of a host: does what its server says, over whatever transport it is given."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import platform
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, assert_never

import structlog

import cupel
from cupel.errors import InfraError
from cupel.host import messages, metrics, processor, protection, protocol
from cupel.host.caches.store import Caches
from cupel.host.messages import (
    BuildFinished,
    BuildRefused,
    BuildSpec,
    CachesGone,
    Cancel,
    Destroy,
    DropCaches,
    Heartbeat,
    Hello,
    Images,
    Judged,
    Keep,
    Labels,
    MachineGone,
    MachineSpec,
    Make,
    Metrics,
    Run,
    ToHost,
    ToServer,
    Visit,
    VisitInput,
    VisitLeft,
    VisitRoom,
    VisitSize,
    Welcome,
)
from cupel.host.pressure import Load
from cupel.host.protection import Guard
from cupel.host.providers.interface import Provider, Usage
from cupel.host.source import Sources
from cupel.host.stock import Stock
from cupel.host.tenancy import Judge, Means, Tenancy, no_judge, no_stock
from cupel.host.transport import Transport
from cupel.host.visits import Visits
from cupel.image import base

log = structlog.get_logger(__name__)

PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
"""Seconds between attempts to delete a machine that does not go."""

GRACE = 5.0
"""Seconds that deleting all machines may take at the end; the next start purges what stays."""

REMEMBERED = 10_000
"""Machines that are gone and remembered, so that a repeated order does not bring one back."""


class Agent:
    """A host named `name` with room for `slots` machines at a time; its files are in `state`.

    `refuses` says in words why the host takes no more builds for now. `judge` hears of each build
    what it says about its image. With a `stock`, images come from the server, which is the judge.
    """

    def __init__(
        self,
        name: str,
        slots: int,
        provider: Provider,
        state: Path,
        *,
        labels: Sequence[str] = (),
        notes: Sequence[str] = (),
        now: Callable[[], float] = time.time,
        pauses: tuple[float, ...] = PAUSES,
        grace: float = GRACE,
        guard: Guard | None = None,
        judge: Judge = no_judge,
        stock: Stock | None = None,
    ) -> None:
        self._name = name
        self._slots = slots
        self._provider = provider
        self._state = state
        self._labels = tuple(labels)
        self._notes = tuple(notes)
        self._now = now
        self._pauses = pauses
        self._grace = grace
        self._guard = guard
        self._judge = judge
        self._stock = stock
        self._stopped = False
        self._transport: Transport | None = None
        self._kept: dict[int, Tenancy] = {}
        """Machines that are held, while there is no session."""

    async def serve(self, transport: Transport) -> None:
        """Serve one server until the transport ends or `stop` is called; leave no machine behind.

        Machines of an earlier life are deleted first. Those that are held when the transport ends
        stay for the next call, unless `let_go` comes first. Raises `InfraError` when the server
        breaks the protocol.
        """
        self._transport = transport
        if self._stopped:
            transport.close()
        session = _Session(
            transport,
            self._slots,
            self._provider,
            self._state,
            self._now,
            self._pauses,
            self._guard,
            self._judge,
            self._stock,
            self._kept,
        )
        self._kept = {}
        was_cancelled = True
        try:
            await session.purge(self._grace)
            await session.run(self._hello(session), self._grace)
            was_cancelled = False
        except InfraError:
            was_cancelled = False
            raise
        finally:
            transport.close()
            self._transport = None
            if not was_cancelled and not self._stopped:
                self._kept = session.release()
            await session.clear(self._grace)

    async def let_go(self, after: float = 0.0) -> None:
        """Delete, after so many seconds, what was held for a server that has not come back."""
        await asyncio.sleep(after)
        kept, self._kept = self._kept, {}
        for number, tenancy in kept.items():
            try:
                async with asyncio.timeout(self._grace):
                    await tenancy.vanish()
            except TimeoutError:
                log.error("machine stays until the next start", machine=number)

    def stop(self) -> None:
        """Let `serve` end soon, and from now on at once."""
        self._stopped = True
        if self._transport is not None:
            self._transport.close()

    def _hello(self, session: _Session) -> Hello:
        return Hello(
            version=messages.VERSION,
            name=self._name,
            slots=self._slots,
            machines=tuple(session.tenancies),
            held=tuple(number for number, each in session.tenancies.items() if each.is_kept),
            labels=self._labels,
            notes=self._notes,
            fetches=base.architecture() if self._stock is not None else "",
            cpu=processor.model(),
            system=f"Cupel {cupel.__version__}, {platform.system()} {platform.release()}",
        )


class _Session:
    """One connection to a server, and the machines that were made for it."""

    def __init__(
        self,
        transport: Transport,
        slots: int,
        provider: Provider,
        state: Path,
        now: Callable[[], float],
        pauses: tuple[float, ...],
        guard: Guard | None,
        judge: Judge,
        stock: Stock | None,
        kept: Mapping[int, Tenancy],
    ) -> None:
        self.tenancies: dict[int, Tenancy] = dict(kept)
        self._guard = guard
        self._record = metrics.Record()
        self._watching: asyncio.Task[None] | None = None
        self._transport = transport
        self._slots = slots
        self._labels: tuple[str, ...] = ()
        self._specs: tuple[MachineSpec, ...] = ()
        self._learned = asyncio.Event()
        self._stock = stock
        self._stocking: asyncio.Task[None] | None = None
        self._sources = Sources(state, spare=kept)
        self._caches = Caches(state / "caches")
        self._load = functools.partial(protection.load, state)
        self._means = Means(
            provider=provider,
            sources=self._sources,
            send=self._send,
            now=now,
            pauses=pauses,
            judge=judge if stock is None else self._tell_judgement,
            caches=self._caches,
            obtain=no_stock if stock is None else stock.obtain,
        )
        for tenancy in kept.values():
            tenancy.move(self._means)
        self._visits = Visits(self._send)
        self._connection = protocol.HostConnection()
        self._writing = asyncio.Lock()
        self._gone: collections.deque[int] = collections.deque(maxlen=REMEMBERED)
        self._tasks: set[asyncio.Task[None]] = set()
        self._heart: asyncio.Task[None] | None = None

    async def purge(self, seconds: float) -> None:
        """Delete the machines of an earlier life; those that do not go stay known."""
        kept = dict(self.tenancies)
        left = set(await self._means.provider.list()) - set(kept)
        self.tenancies = {number: Tenancy(number, None, self._means) for number in left}
        await self.clear(seconds)
        self.tenancies |= kept

    def release(self) -> dict[int, Tenancy]:
        """Hand out the machines that outlive the session."""
        kept = {number: each for number, each in self.tenancies.items() if each.is_kept}
        for number in kept:
            del self.tenancies[number]
        return kept

    async def clear(self, seconds: float) -> None:
        """Delete all machines, trying for some seconds; those that do not go stay known."""
        async with asyncio.TaskGroup() as group:
            for tenancy in tuple(self.tenancies.values()):
                group.create_task(self._clear(tenancy, seconds))

    async def run(self, hello: Hello, seconds: float) -> None:
        """Say hello and obey until the transport ends, then end all builds within some seconds."""
        failed: InfraError | None = None
        self._labels = hello.labels
        async with asyncio.TaskGroup() as group:
            try:
                await self._send(hello)
                await self._listen(group)
            except InfraError as error:
                failed = error
            finally:
                self._connection.close()
                self._visits.leave_all()
                for tenancy in self.tenancies.values():
                    tenancy.leave()
            await self._end(seconds)
        if failed is not None:
            raise failed

    async def _listen(self, group: asyncio.TaskGroup) -> None:
        while data := await self._transport.read():
            for message in self._connection.receive(data):
                self._obey(group, message)

    async def _end(self, seconds: float) -> None:
        for task in (self._heart, self._watching, self._stocking):
            if task is not None:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()

    def _obey(  # noqa: C901 - one match over the union
        self, group: asyncio.TaskGroup, message: ToHost
    ) -> None:
        match message:
            case Welcome():
                self._sources.token = message.token
                self._learn(message.labels)
                images = self._images()
                self._start(group, self._send(images))  # before anything else
                self._heart = group.create_task(self._beat(message, images))
                self._watching = group.create_task(self._watch())
                if self._stock is not None:
                    self._stock.url, self._stock.token = message.images, message.token
                    self._stocking = group.create_task(self._keep(self._stock, message.heartbeat))
                for tenancy in self.tenancies.values():
                    self._start(group, self._live(tenancy))
            case Labels():
                self._learn(message.labels)
            case Make():
                self._make(group, message)
            case Run():
                self._run(group, message)
            case Cancel():
                if message.machine in self.tenancies:
                    self.tenancies[message.machine].cancel()
                else:
                    self._start(group, self._send(MachineGone(machine=message.machine)))
            case Destroy():
                if message.machine not in self.tenancies:
                    self._admit(group, Tenancy(message.machine, None, self._means))
                self.tenancies[message.machine].destroy()
            case Keep():
                if message.machine in self.tenancies:
                    self.tenancies[message.machine].keep()
                else:
                    self._start(group, self._send(MachineGone(machine=message.machine)))
            case Visit():
                host = self.tenancies.get(message.machine)
                self._visits.begin(message, host, functools.partial(self._start, group))
            case VisitInput() | VisitSize() | VisitRoom():
                self._visits.take(message)
            case VisitLeft():
                self._visits.leave(message.visit)
            case DropCaches():
                self._start(group, self._drop(message.files))
            case _:
                assert_never(message)

    async def _drop(self, files: Sequence[str]) -> None:
        for file in files:
            self._caches.remove(file)
        await self._send(CachesGone(files=tuple(files)))

    def _learn(self, specs: Iterable[MachineSpec]) -> None:
        self._specs = tuple(s for s in specs if not self._labels or s.label in self._labels)
        self._learned.set()
        if self._stock is not None:
            self._stock.learn(self._specs)

    def _images(self) -> Images:
        found = {spec.label: self._means.provider.find(spec) for spec in self._specs}
        images = tuple((label, image) for label, image in found.items() if image)
        return Images(images=images, caches=self._caches.names())

    def _make(self, group: asyncio.TaskGroup, make: Make) -> None:
        if make.machine in self._gone:
            self._start(group, self._send(MachineGone(machine=make.machine)))
        elif make.machine not in self.tenancies:
            tenancy = Tenancy(make.machine, make.spec, self._means)
            taken = sum(each.takes_slot for each in self.tenancies.values())
            if taken >= self._slots:
                tenancy.refuse(f"the host has no free slot: {taken} of {self._slots} are taken")
            self._admit(group, tenancy)

    def _run(self, group: asyncio.TaskGroup, run: Run) -> None:
        if run.machine in self._gone:
            self._start(group, self._send(MachineGone(machine=run.machine)))
            return
        tenancy = self.tenancies.get(run.machine)
        refusal = (
            f"there is no machine {run.machine} here: nobody has ordered it"
            if tenancy is None
            else self._lend(tenancy, run.build)
        )
        if refusal is not None:
            refused = BuildRefused(machine=run.machine, build=run.build.build, reason=refusal)
            self._start(group, self._send(refused))

    def _lend(self, tenancy: Tenancy, build: BuildSpec) -> str | None:
        """Have the machine run the build, with the others of its machines; why not, in words."""
        others = {part.name: part.machine for part in build.parts[1:]}
        for number in others.values():
            other = self.tenancies.get(number)
            if other is None:
                return f"there is no machine {number} here: nobody has ordered it"
            if (refusal := other.lend(build.build)) is not None:
                return refusal
        beside = {name: self.tenancies[number] for name, number in others.items()}
        return tenancy.use(build, beside)

    def _admit(self, group: asyncio.TaskGroup, tenancy: Tenancy) -> None:
        self.tenancies[tenancy.number] = tenancy
        self._start(group, self._live(tenancy))

    def _start(self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> None:
        task = group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self, tenancy: Tenancy) -> None:
        if not await tenancy.live():
            return
        # Forgotten before it is told: the server may fill the slot as soon as it hears of it.
        self._forget(tenancy)
        await self._send(MachineGone(machine=tenancy.number))

    async def _clear(self, tenancy: Tenancy, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await tenancy.vanish()
        except TimeoutError:
            log.error("machine stays until the next start", machine=tenancy.number)
        else:
            self._forget(tenancy)

    def _forget(self, tenancy: Tenancy) -> None:
        del self.tenancies[tenancy.number]
        self._gone.append(tenancy.number)

    async def _beat(self, welcome: Welcome, told: Images) -> None:
        while True:
            await asyncio.sleep(welcome.heartbeat / 2)
            now = self._images()
            news = None if now.images == told.images else now.images
            load = await asyncio.to_thread(self._load)
            await self._send(Heartbeat(refuses=self._refuses, images=news, load=load))
            told = now

    async def _keep(self, stock: Stock, seconds: float) -> None:
        """Have the images here before a machine is ordered; look again and again."""
        while True:
            self._learned.clear()
            await stock.keep(self._specs)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._learned.wait()

    async def _tell_judgement(self, digest: str, *, by_itself: bool) -> None:
        await self._send(Judged(image=digest, by_itself=by_itself))

    @property
    def _refuses(self) -> str | None:
        return self._guard.refuses if self._guard is not None else None

    async def _watch(self) -> None:
        """Each second, measure the machines and see to it that the host lives."""
        while True:
            await asyncio.sleep(metrics.SECONDS)
            used = {number: each.usage() for number, each in self.tenancies.items()}
            there = {number: usage for number, usage in used.items() if usage is not None}
            for machine, measures in self._record.add(self._means.now(), there):
                await self._send(Metrics(machine=machine, measures=measures))
            if self._guard is not None:
                kept = {number: each.usage_of_kept() for number, each in self.tenancies.items()}
                there |= {number: usage for number, usage in kept.items() if usage is not None}
                await self._protect(self._guard, there)

    async def _protect(self, guard: Guard, used: Mapping[int, Usage]) -> None:
        before = guard.refuses
        decision = guard.decide(self._loads(used))
        if decision.stop is not None:
            self.tenancies[decision.stop.machine].stop(decision.stop.reason)
        if decision.prune and await asyncio.to_thread(guard.free_disk):
            gone = await self._sources.prune()
            idle = tuple(await asyncio.to_thread(self._caches.prune))
            log.warning("the disk is nearly full: pruned", mirrors=gone, caches=idle)
            if idle:
                await self._send(CachesGone(files=idle))
        if (before is None) != (guard.refuses is None):
            await self._send(Heartbeat(refuses=guard.refuses))

    def _loads(self, used: Mapping[int, Usage]) -> list[Load]:
        """What each build uses, on all its machines, by the number of its own."""
        own = {each.build: number for number, each in self.tenancies.items() if each.leads}
        loads: dict[int, list[Usage]] = {}
        for number, usage in used.items():
            leader = own.get(self.tenancies[number].build)
            if leader is not None and leader in used:
                loads.setdefault(leader, []).append(usage)
        return [_load(number, usages) for number, usages in loads.items()]

    async def _send(self, message: ToServer) -> None:
        """Send once there is room; nothing after the end.

        What was measured goes before the end of its build: nobody wants it after.
        """
        if isinstance(message, BuildFinished):
            measures = self._record.rest(message.machine)
            if measures:
                await self._send(Metrics(machine=message.machine, measures=measures))
        async with self._writing:
            if self._connection.phase is not protocol.Phase.CLOSED:
                await self._transport.write(self._connection.send(message))


def _load(machine: int, usages: Sequence[Usage]) -> Load:
    return Load(
        machine=machine,
        memory=sum(usage.memory or 0 for usage in usages),
        peak=sum(usage.memory_peak or 0 for usage in usages),
        written=sum(usage.disk or 0 for usage in usages),
    )
