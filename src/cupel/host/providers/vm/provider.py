"""Makes, finds and removes virtual machines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from cupel import logger, process
from cupel.errors import InfraError, UserError
from cupel.host.messages import LinkSpec, MachineSpec
from cupel.host.providers import image as image_of
from cupel.host.providers.ahead import Ahead
from cupel.host.providers.interface import Machine, Network, Progress
from cupel.host.providers.namespace import disk, network
from cupel.host.providers.namespace.place import Place
from cupel.host.providers.namespace.provider import images_of
from cupel.host.providers.vm import booted, qemu, renewal
from cupel.host.providers.vm import ground as grounds
from cupel.host.providers.vm import machine as machines
from cupel.host.providers.vm import starter as starters
from cupel.host.providers.vm.accelerator import Verdicts
from cupel.host.providers.vm.booted import BootedMachine
from cupel.host.providers.vm.foundry import BOOT_SECONDS, TEMPLATE, Foundry
from cupel.host.providers.vm.ground import Ground, Survey
from cupel.host.providers.vm.kernel import Kernels
from cupel.host.providers.vm.machine import CHECKPOINT_SECONDS, Identity, VmMachine
from cupel.host.providers.vm.qemu import Start
from cupel.host.providers.vm.shell import Kind, Shell
from cupel.host.providers.vm.starter import Starter, group_of
from cupel.host.providers.vm.templates import Key
from cupel.image import prefetch, system

log = logger.of(__name__)

CLONE_SECONDS = 30.0


class VmProvider:
    """See `interface.Provider`. `environ` is where proxies and package indexes are read from.

    `images` may be shared by several providers, and so may `store`, where kernels and templates
    are kept; by default both are in the state directory. `ahead` has the QEMU of the next machine
    started before it is wanted.
    """

    name = "vm"

    def __init__(
        self,
        state: Path,
        *,
        environ: Mapping[str, str] | None = None,
        images: Path | None = None,
        store: Path | None = None,
        ahead: bool = False,
    ) -> None:
        self._place = Place(state, environ)
        self.images = images_of(self._place, images)
        store = store or state / "vm"
        self._kernels = Kernels(store / "kernel")
        self._verdicts = Verdicts(store / "kvm.json")
        self._starter = Starter(self._place, self.images)
        self._foundry = Foundry(store / "templates", self._place, self._starter, self._verdicts)
        self._ahead = Ahead(self._starter.lay_out) if ahead else None
        self._made: dict[int, VmMachine] = {}
        self._survey = Survey()

    async def prepare(self, spec: MachineSpec, progress: Progress) -> str:
        image = await image_of.prepare(self.images, spec, progress)
        ground = await self._ground(progress)
        if spec.image.is_system:
            await self._foundry.accelerator(ground)
            return image
        key = self._key(image, spec, ground)
        if not self._foundry.has(key):
            progress("Making a template of the machine: it boots once, later ones are clones of it")
        try:
            await self._foundry.template(key, ground)
        except InfraError as error:  # `create` boots cold then, and says why
            log.warning("no template of machines", label=spec.label, error=str(error))
        return image

    def shares(self, spec: MachineSpec) -> bool:
        return False

    def find(self, spec: MachineSpec) -> str | None:
        return image_of.find(self.images, spec)

    async def create(
        self, machine: int, spec: MachineSpec, *, binds: Mapping[Path, str] = MappingProxyType({})
    ) -> VmMachine:
        image = image_of.needed(self.images, spec)
        self._place.check_new(machine)
        if spec.image.is_system:
            return await self._create_system(machine, spec, image)
        ground = await self._ground(_silent)
        key = self._key(image, spec, ground)
        notes = [*self._verdicts.notes(key.shape.accelerator), *self._limits(spec, key)]
        template = None
        try:
            template = await self._foundry.template(key, ground)
            key = self._key(image, spec, ground)  # KVM may have been disproved
        except InfraError as error:
            notes.append(f"it was booted, not cloned from a template: {error.message}")
        grant = network.granted(spec.network, self._place.environ)
        notes += grant.notes if grant else ()
        identity = _identity(key, spec, grant)
        if template is None:
            made = self._enroll(machine, identity, notes)
            coming = self._boot(made, ground, key.disk, grant)
        else:
            shell = await self._shell(Kind(identity=identity, template=template, ground=ground))
            made = self._enroll(machine, identity, notes, shell)
            coming = self._clone(made, shell, grant)
        try:
            async with asyncio.timeout(CLONE_SECONDS if template else BOOT_SECONDS):
                await coming
            await _show(made, binds)
        except BaseException as error:
            await self._give_up(made, error)
        return made

    async def _create_system(self, machine: int, spec: MachineSpec, image: str) -> BootedMachine:
        """A machine on which a system of its own waits to be booted."""
        booted_from = system.read(self.images.rootfs(image))
        ground = await self._ground(_silent)
        accelerator = await self._foundry.accelerator(ground)
        shape = qemu.shape(spec, accelerator, "")
        identity = Identity(
            image=image, shape=shape, env=(), cpus=spec.cpus, pids=0,
            network=spec.network, allow=spec.allow,
        )  # fmt: skip
        directory = self._starter.directory(machine)
        made = BootedMachine(
            machine,
            identity,
            directory,
            self._starter.running(machine),
            notes=self._verdicts.notes(accelerator),
            group=self._place.tree.group(group_of(machine)),
            remove=lambda: self.purge(machine),
        )
        self._made[machine] = made
        argv = qemu.booting(ground.program, shape, booted_from, network=identity.is_connected)
        try:
            async with asyncio.timeout(CLONE_SECONDS):
                size = self._place.disk_size(spec.disk)
                shown = await booted.lay_out(booted_from, directory, size)
                await self._starter.stand(machine, made.running, identity, argv, shown)
        except BaseException as error:
            await self._give_up(made, error)
        return made

    async def _shell(self, kind: Kind) -> Shell:
        if self._ahead is None:
            return await self._starter.lay_out(kind)
        shell = await self._ahead.take(kind)
        self._ahead.renew(kind)  # it starts beside this one, on another core if there is one
        return shell

    async def _boot(
        self, made: VmMachine, ground: Ground, disk: int, grant: network.Grant | None
    ) -> None:
        await self._starter.boot(made.id, made.running, made.identity, ground, disk)
        await made.running.port.renew(renewal.order(made.id, grant))

    async def _clone(self, made: VmMachine, shell: Shell, grant: network.Grant | None) -> None:
        try:
            group = self._starter.settle(shell, made.id, made.identity)
        except OSError:
            await shell.end()
            raise
        # Nothing but our agent runs in it until it has its limits.
        await asyncio.gather(self._starter.limit(shell, group), _become(made, grant))

    async def reopen(self, machine: int, checkpoint: Path) -> VmMachine:
        """A machine that goes on where another was when `VmMachine.checkpoint` saved it.

        It is the same machine again, not a sibling: its names and its randomness are as they were,
        and only its clock is set. Open a checkpoint once at a time.
        """
        self._place.check_new(machine)
        ground = await self._ground(_silent)
        try:
            identity = machines.read(checkpoint)
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise InfraError(f"{checkpoint} is no saved machine: {error}") from error
        made = self._enroll(machine, identity, [f"it goes on from {checkpoint}"])
        try:
            async with asyncio.timeout(CHECKPOINT_SECONDS):
                await self._go_on(made, ground, checkpoint)
        except BaseException as error:
            await self._give_up(made, error)
        return made

    def _enroll(
        self, machine: int, identity: Identity, notes: Sequence[str], shell: Shell | None = None
    ) -> VmMachine:
        """A machine that is known from now on; its directory is there, or its shell's will be."""
        if shell is None:
            self._starter.directory(machine)
        made = VmMachine(
            machine,
            identity,
            self._place.directory(machine),
            self._starter.running(machine) if shell is None else shell.running,
            notes=notes,
            group=self._place.tree.group(group_of(machine)),
            remove=lambda: self.purge(machine),
        )
        self._made[machine] = made
        return made

    async def _give_up(self, made: VmMachine, error: BaseException) -> None:
        """Remove a machine that could not be made, and say why."""
        said = self._starter.said(made.id)
        await asyncio.shield(made.destroy())
        if isinstance(error, OSError):  # TimeoutError is one
            why = str(error) or "it took too long"
            raise InfraError(f"machine {made.id} can't be made: {why}", hint=said) from error
        if isinstance(error, InfraError):
            raise InfraError(error.message, hint=error.hint or said) from error
        raise error

    async def _go_on(self, made: VmMachine, ground: Ground, checkpoint: Path) -> None:
        directory = self._place.directory(made.id)
        await starters.copy(checkpoint / "disk.img", checkpoint / "console.log", directory)
        with (checkpoint / "state").open("rb") as state:
            await self._starter.start(
                made.id, made.running, made.identity, ground, Start.REOPENED, (state.fileno(),)
            )
            await made.running.resume(qemu.RAM, shared_memory=False)
        await made.running.port.renew(renewal.go_on())

    async def _ground(self, tell: Progress) -> Ground:
        program = grounds.program()
        kernel = await self._kernels.ensure(tell)
        ground = await self._survey.ground(program, kernel)
        self._verdicts.look(f"{ground.version} {kernel.version}")
        return ground

    def _key(self, image: str, spec: MachineSpec, ground: Ground) -> Key:
        if disk.tool() is None:
            raise InfraError("virtual machines need mkfs.ext4", hint="apt-get install e2fsprogs")
        size = self._place.disk_size(spec.disk)
        shape = qemu.shape(spec, self._verdicts.accelerator, "erofs")
        return Key(image=image, shape=shape, disk=size, software=ground.digest)

    def _limits(self, spec: MachineSpec, key: Key) -> list[str]:
        notes = []
        if "cpu" not in self._place.enforced() and spec.cpus != key.shape.cpus:
            notes.append(f"it has {key.shape.cpus} whole cpus, not {spec.cpus:g}")
        if key.disk < spec.disk:
            notes.append(f"the disk has {key.disk >> 20} MiB, not {spec.disk >> 20}")
        return notes

    async def join(
        self, spec: MachineSpec, machines: Mapping[str, Machine], links: Sequence[LinkSpec]
    ) -> Network:
        raise UserError(
            "virtual machines can't be joined with others in one build yet",
            hint="use labels whose provider is namespace",
        )

    async def list(self) -> Sequence[int]:
        await self._starter.sweep()  # those were no machines yet
        found = self._place.machines()
        return sorted(found - {TEMPLATE} if self._foundry.is_at_work else found)

    async def purge(self, machine: int) -> None:
        if (made := self._made.get(machine)) is not None:
            made.hang_up()
        await self._starter.clear(machine)
        self._made.pop(machine, None)

    async def close(self) -> None:
        for machine in tuple(self._made):
            with contextlib.suppress(InfraError):  # the next agent finds it, and tries again
                await self.purge(machine)
        if self._ahead is not None:
            await self._ahead.close()
        self._starter.close()
        self._foundry.close()
        self._place.tree.close()


def _identity(key: Key, spec: MachineSpec, grant: network.Grant | None) -> Identity:
    env = dict(grant.env) if grant else dict(prefetch.offline(spec.image))
    return Identity(
        image=key.image,
        shape=key.shape,
        env=tuple(env.items()),
        cpus=spec.cpus,
        pids=spec.pids,
        network=spec.network,
        allow=spec.allow,
    )


async def _become(made: VmMachine, grant: network.Grant | None) -> None:
    """Go on from its template, as another."""
    await made.running.resume(qemu.STATE, shared_memory=True)
    await made.running.port.renew(renewal.order(made.id, grant))


async def _show(made: VmMachine, binds: Mapping[Path, str]) -> None:
    """Give a machine copies: a guest has no way to see the host's files."""
    for source, target in binds.items():
        packed = await process.run(["tar", "-cf", "-", "-C", source, "."], timeout=BOOT_SECONDS)
        await made.copy_in(_pieces(packed.out), target)


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _silent(text: str) -> None:
    log.info("preparing virtual machines", text=text)
