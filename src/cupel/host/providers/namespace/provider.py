"""Makes, finds and removes namespace machines."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from cupel.errors import InfraError, UserError
from cupel.host.messages import LinkSpec, MachineSpec
from cupel.host.providers import image as image_of
from cupel.host.providers.ahead import Ahead
from cupel.host.providers.inside import plan as plans
from cupel.host.providers.inside.plan import UIDS, Plan
from cupel.host.providers.interface import Machine, Progress
from cupel.host.providers.namespace import (
    cgroups,
    cores,
    disk,
    layers,
    network,
    record,
    rootless,
    users,
    wires,
)
from cupel.host.providers.namespace import place as places
from cupel.host.providers.namespace.launcher import Launcher
from cupel.host.providers.namespace.machine import STANDBY, NamespaceMachine
from cupel.host.providers.namespace.place import Place
from cupel.host.providers.namespace.shell import PAUSE, Kind, Shell
from cupel.host.providers.namespace.workshop import NamespaceWorkshop
from cupel.image import catalogue, prefetch

START_SECONDS = 60.0
_SHELLS = "s"
"""What the names of the control groups of shells begin with, and so of what is made of them."""


class NamespaceProvider:
    """See `interface.Provider`. `environ` is where proxies and package indexes are read from.

    `images` may be shared by several providers; by default they are kept in the state directory.
    `launcher` is one that was started already, and is closed with the provider.
    `ahead` has a part of the next machine laid out before it is wanted.
    """

    name = "namespace"

    def __init__(
        self,
        state: Path,
        *,
        environ: Mapping[str, str] | None = None,
        images: Path | None = None,
        ahead: bool = False,
        launcher: Launcher | None = None,
    ) -> None:
        self._place = Place(state, environ)
        self.images = images_of(self._place, images)
        self._rootless = rootless.detect()
        self._launcher = launcher or Launcher(rootless.command(self._rootless))
        self._made: dict[int, NamespaceMachine] = {}
        self._ahead = Ahead(self._lay_out, pause=PAUSE) if ahead else None
        self._token = os.urandom(4).hex()
        self._numbers = itertools.count()
        self._shells = state.resolve() / "shells"
        """Where each shell mounts what is its own."""
        self._groups: set[str] = set()
        """The control groups of the shells that there are, or that machines are made of."""

    def images_in_use(self) -> set[str]:
        """The digests of the images that machines have."""
        # A copy: whoever prunes images does so in a thread.
        return {machine.image for machine in list(self._made.values())}

    async def prepare(self, spec: MachineSpec, progress: Progress) -> str:
        return await image_of.prepare(self.images, spec, progress)

    def shares(self, spec: MachineSpec) -> bool:
        return True

    def find(self, spec: MachineSpec) -> str | None:
        return image_of.find(self.images, spec)

    async def create(
        self, machine: int, spec: MachineSpec, *, binds: Mapping[Path, str] = MappingProxyType({})
    ) -> NamespaceMachine:
        digest = image_of.needed(self.images, spec)
        return await self.create_on(self.images.kept(digest), machine, spec, binds=binds)

    async def create_on(
        self,
        image: catalogue.Kept,
        machine: int,
        spec: MachineSpec,
        *,
        binds: Mapping[Path, str] = MappingProxyType({}),
    ) -> NamespaceMachine:
        """As `create`, on an image that is given instead of the one that `spec` is about."""
        self._place.check_new(machine)
        enforced, notes = self._enforcement()
        if self._rootless is not None:
            rootless.possible([int(n) for n in os.uname().release.split(".")[:2]])
            image = await rootless.unpacked(image, self._place.state / "unpacked", self._rootless)
            notes += self._rootless.notes
        kind = await self._kind(image, spec, notes)
        grant = network.granted(spec.network, self._place.environ)
        plan = self._plan(machine, spec, grant, binds)
        try:
            async with asyncio.timeout(START_SECONDS):
                shell = await (self._ahead.take if self._ahead else self._lay_out)(kind)
                made = self._made[machine] = NamespaceMachine(
                    machine,
                    image=image.digest,
                    env=dict(grant.env) if grant else dict(prefetch.offline(spec.image)),
                    notes=[*notes, *(grant.notes if grant else ())],
                    shell=shell,
                    group=self._place.tree.group(shell.group),
                    limits={
                        "rlimits": _rlimits(spec, enforced),
                        "cpus": _affinity(spec.cpus) if "cpu" not in enforced else [],
                    },
                    remove=lambda: self.purge(machine),
                    lay=self._lay,
                )
                await self._settle(made, plan, spec, enforced)
        except InfraError as error:
            text = f"machine {machine} can't be made: {error.message}"
            raise InfraError(text, hint=error.hint) from error
        except OSError as error:  # TimeoutError is one
            text = str(error) or f"it took longer than {START_SECONDS:.0f} s"
            raise InfraError(f"machine {machine} can't be made: {text}") from error
        if self._ahead is not None:
            self._ahead.renew(kind)
        return made

    async def _settle(
        self, made: NamespaceMachine, plan: Plan, spec: MachineSpec, enforced: frozenset[str]
    ) -> None:
        """Make a shell a machine; it is removed if that fails."""
        pids = spec.pids + STANDBY
        limits = cgroups.Limits(memory=spec.memory, cpus=spec.cpus, pids=pids)
        try:
            directory = self._place.directory(made.id)
            directory.mkdir(parents=True, mode=0o700)
            record.write(directory, made.shell.record)
            self._place.tree.limit(made.shell.group, limits, enforced)
            await made.settle(plan)
        except BaseException as error:
            said = made.shell.said()
            await asyncio.shield(made.destroy())
            if isinstance(error, InfraError):
                raise InfraError(error.message, hint=said or None) from error
            raise
        finally:
            made.shell.forget()

    async def _lay_out(self, kind: Kind) -> Shell:
        """A shell of a kind; InfraError if there can't be one."""
        number = next(self._numbers)
        group = f"{_SHELLS}{self._token}-{number}"
        with contextlib.ExitStack() as undone:
            groups = self._place.tree.create(group, self._enforcement()[0])
            taken = None if self._rootless else users.take(self._place.state, number)
            if taken is not None:
                undone.callback(taken.close)
            sock = self._launcher.connect(kind.image)
            undone.pop_all()
        self._groups.add(group)
        shell = Shell(sock, group, taken, lambda: self._remove_groups(group))
        base = taken.first if taken else 0
        plan = plans.Shell(
            base=base,
            ids=self._rootless.ids if self._rootless else [(0, base, UIDS)],
            rootless=self._rootless is not None,
            image=str(kind.image.rootfs),
            directory=str(self._shells),
            disk_template=str(kind.disk_template) if kind.disk_template else None,
            disk_size=kind.disk_size,
            init_groups=groups.init,
            build_groups=groups.build,
            keep_core_limit=cores.piped(),
        )
        try:
            await shell.lay_out(plan)
        except BaseException as error:
            said = shell.said()
            await asyncio.shield(shell.end())
            if isinstance(error, InfraError):
                raise InfraError(error.message, hint=said or None) from error
            raise
        return shell

    async def _lay(self, shell: Shell, image: Path, paths: Sequence[str]) -> None:
        if self._rootless is not None:
            raise UserError("a host whose agent is not root can't lay images into machines")
        name = f"cache-{next(self._numbers)}"
        sock = self._launcher.connect_layers()
        await layers.lay(sock, shell, self._shells, name, image, paths)

    async def _remove_groups(self, group: str) -> None:
        await self._place.tree.remove(self._place.tree.group(group))
        self._groups.discard(group)

    def _plan(
        self,
        machine: int,
        spec: MachineSpec,
        grant: network.Grant | None,
        binds: Mapping[Path, str],
    ) -> Plan:
        name, files = places.names(machine, network.resolver_of(spec.network) if grant else None)
        policy = network.policy(spec.network, spec.allow, self._place.environ)
        return Plan(
            name=name,
            shared_memory=spec.memory // 2,
            files=files,
            copies=dict(grant.copies) if grant else {},
            binds=[(str(source), target) for source, target in binds.items()],
            network=places.network_command() if grant else [],
            egress=policy,
            unreachable=network.unreachable(policy) if grant else [],
        )

    def _enforcement(self) -> tuple[frozenset[str], list[str]]:
        """Which limits control groups enforce here, and what is done about the others."""
        instead = {
            "memory": "memory is limited for each process, not for the machine",
            "pids": "processes are limited by RLIMIT_NPROC, not by a control group",
            "cpu": "cpus are limited by pinning, not by a quota",
        }
        enforced = self._place.enforced()
        return enforced, [text for name, text in instead.items() if name not in enforced]

    async def _kind(self, image: catalogue.Kept, spec: MachineSpec, notes: list[str]) -> Kind:
        """What to make a machine of; `notes` gets what it can't have."""
        if disk.tool() is None:
            notes.append("files are kept in memory: there is no loop device or mkfs.ext4 here")
            return Kind(image, None, min(spec.disk, spec.memory // 2))
        size = self._place.disk_size(spec.disk)
        if size < spec.disk:
            notes.append(f"the disk has {size >> 20} MiB, not {spec.disk >> 20}: no more is free")
        return Kind(image, await self._place.disks.get(size), size)

    async def join(
        self, spec: MachineSpec, machines: Mapping[str, Machine], links: Sequence[LinkSpec]
    ) -> wires.Wires:
        if self._rootless is not None:
            raise UserError(
                "a build of several machines needs a host whose agent is root",
                hint="without root, nobody may join the networks of machines",
            )
        joined = wires.Wires(tuple(machines), self._launcher.connect_wires())
        try:
            with contextlib.ExitStack() as held:
                namespaces = [_network_of(machine, held) for machine in machines.values()]
                own = next(iter(machines.values()))
                group = self._place.tree.group(self._made[own.id].shell.group)
                await joined.start(namespaces, group.init)
            for link in links:
                await joined.set(link)
        except BaseException:
            joined.close()
            raise
        return joined

    async def list(self) -> Sequence[int]:
        await self._place.remove_strays(_SHELLS, self._groups)
        return sorted(self._place.machines())

    async def purge(self, machine: int) -> None:
        if (made := self._made.get(machine)) is not None:
            made.hang_up()
            await made.shell.gone()
        await self._place.remove(machine)
        self._made.pop(machine, None)

    async def close(self) -> None:
        for machine in tuple(self._made):
            with contextlib.suppress(InfraError):  # the next agent finds it, and tries again
                await self.purge(machine)
        if self._ahead is not None:
            await self._ahead.close()
        self._launcher.close()
        self._place.tree.close()


def images_of(place: Place, directory: Path | None) -> catalogue.Catalogue:
    """The images in a directory, by default the state's; they are built on namespace machines."""

    def bench(state: Path) -> NamespaceProvider:
        return NamespaceProvider(state, environ=place.environ)

    return catalogue.Catalogue(directory or place.state / "images", NamespaceWorkshop(bench))


def _network_of(machine: Machine, held: contextlib.ExitStack) -> int:
    if not isinstance(machine, NamespaceMachine):
        raise UserError(
            "virtual machines can't be joined with others in one build yet",
            hint="use labels whose provider is namespace",
        )
    namespace = wires.namespace_of(machine.init, machine.pid)
    held.callback(os.close, namespace)
    return namespace


def _rlimits(spec: MachineSpec, enforced: frozenset[str]) -> dict[str, int]:
    limits = {"RLIMIT_CORE": cores.limit(spec.disk), "RLIMIT_RTPRIO": 0, "RLIMIT_NICE": 0}
    if "memory" not in enforced:
        limits["RLIMIT_AS"] = spec.memory
    if "pids" not in enforced:
        limits["RLIMIT_NPROC"] = spec.pids
    return limits


def _affinity(cpus: float) -> list[int]:
    return sorted(os.sched_getaffinity(0))[: max(1, round(cpus))]
