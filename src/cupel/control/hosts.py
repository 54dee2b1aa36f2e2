"""The server's end of its hosts: commands out, facts in, output to the logs."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Sequence

from cupel.artefact.store import ArtefactStore
from cupel.config.server import LabelConfig, ServerConfig
from cupel.control import orders
from cupel.control.clock import Clock
from cupel.control.engine import Engine
from cupel.control.results import Reader
from cupel.control.running import Running
from cupel.control.session import HEARTBEAT, Session
from cupel.control.visits import Visits
from cupel.core import actions, cache, events
from cupel.core.cache import Cache
from cupel.core.model import Host, HostState
from cupel.errors import InfraError
from cupel.host import messages
from cupel.host.transport import Transport
from cupel.image import base
from cupel.image.keeper import Keeper
from cupel.log.loads import LoadStore
from cupel.log.store import LogStore
from cupel.report.results.store import ResultStore
from cupel.store.interface import Store


class Hosts:
    """Every connected host, by name. `token` opens sources and artefacts to them.

    `loads` is kept up to date with how busy each is, and `past` with how busy it was.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        images: Keeper,
        logs: LogStore,
        artefacts: ArtefactStore,
        clock: Clock,
        config: ServerConfig,
        loads: dict[str, messages.HostLoad],
        past: LoadStore,
        visits: Visits,
        *,
        results: ResultStore,
        url: str,
        token: str,
    ) -> None:
        self._store = store
        self._results = results
        self._reader = Reader(results)
        self._engine = engine
        self._images = images
        self._architecture = base.architecture()
        self._logs = logs
        self._artefacts = artefacts
        self._clock = clock
        self._config = config
        self._loads = loads
        self._past = past
        self._visits = visits
        self._url = url
        self._token = token
        self._sessions: dict[str, Session] = {}
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
        session = Session(
            transport,
            self._engine,
            self._images,
            self._clock,
            self._loads,
            self._past,
            self._visits,
            self._reader,
            url or self._url,
            patience,
        )
        try:
            hello = await session.hello()
            if hello is None:
                return
            if name is not None and hello.name != name:
                raise InfraError(f"host {name} calls itself {hello.name}")
            # Welcome before anything else: once it is recorded, planning may send it work.
            images = await session.welcome(
                self._token, functools.partial(self._specs, hello.fetches)
            )
            if images is None:
                return
            self._sessions[hello.name] = session
            self._connections[hello.name] += 1
            await session.record(
                hello, images, room=self._config.caches.room, share=self._config.caches.share
            )
            await self._drop_strangers(session, images.caches)
            self._visits.connect(hello.name, session.say)
            await session.listen()
            reason = "it went away"
        except (InfraError, TimeoutError) as error:
            reason = str(error) or "it fell silent"
        finally:
            transport.close()
            session.close_logs()
        if self._sessions.get(session.name) is session:
            del self._sessions[session.name]
            self._loads.pop(session.name, None)
            self._visits.disconnect(session.name, reason)
            await session.lose(reason)

    async def _drop_strangers(self, session: Session, files: Sequence[str]) -> None:
        """Have caches removed that nobody knows: they were saved, and it was never told."""
        if not files:
            return
        async with self._store.read() as tx:
            known = await tx.select(Cache, {"state": tuple(cache.KEPT)})
        strangers = sorted(set(files) - {each.file for each in known})
        if strangers:
            await session.say(messages.DropCaches(files=tuple(strangers)))

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
        session = self._session(action.host)
        spec = self._spec(session.fetches, machine.label, label)
        if machine.pinned:
            spec = dataclasses.replace(spec, digest=machine.pinned, coming=False)
        await session.say(messages.Make(machine=machine.id, spec=spec))

    async def run(self, action: actions.RunBuild) -> None:
        """Have the host run a build on a machine that it has made. Repeatable."""
        session = self._session(action.host)
        if action.machine.id in session.running:
            return
        build_id = action.build.id
        machines = [machine.id for machine in (action.machine, *action.others)]
        running = Running(
            build_id=build_id,
            log=self._logs.writer(build_id),
            artefacts=self._artefacts.receiver(build_id, self._config.artefact_limit),
            results=self._results.spool(self._config.result_limit),
            metrics=tuple(self._logs.metrics(build_id, part) for part in range(len(machines))),
            machines=tuple(part.name for part in action.build.parts),
        )
        session.begin(machines, running)
        spec = orders.build_spec(action, session.url, self._config)
        await session.say(messages.Run(machine=action.machine.id, build=spec))

    async def cancel(self, action: actions.CancelBuild) -> None:
        await self._session(action.host).say(messages.Cancel(machine=action.machine_id))

    async def keep(self, action: actions.KeepMachine) -> None:
        """Have the host keep a machine that is held, also while we are away. Repeatable."""
        await self._session(action.host).say(messages.Keep(machine=action.machine_id))

    async def destroy(self, action: actions.DestroyMachine) -> None:
        """Have the host delete a machine; whoever is in it is told why. Repeatable."""
        why = action.why or "its build has ended"
        await self._visits.end(action.machine_id, f"the machine is deleted: {why}")
        await self._session(action.host).say(messages.Destroy(machine=action.machine_id))

    async def drop(self, action: actions.DropCache) -> None:
        """Have the host remove a cache. Repeatable."""
        await self._session(action.host).say(messages.DropCaches(files=(action.file,)))

    def _session(self, name: str) -> Session:
        try:
            return self._sessions[name]
        except KeyError:
            raise InfraError(f"host {name} is not connected") from None

    def _specs(self, fetches: str) -> tuple[messages.MachineSpec, ...]:
        return tuple(
            self._spec(fetches, name, label) for name, label in self._config.labels.items()
        )

    def _spec(self, fetches: str, name: str, label: LabelConfig) -> messages.MachineSpec:
        """What a host is told of a label that fetches images of this architecture; empty: none."""
        if fetches != self._architecture:
            return orders.machine_spec(name, label)
        return orders.offered_spec(name, label, self._images, fetches)
