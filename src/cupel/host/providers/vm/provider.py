"""Makes, finds and removes virtual machines."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import structlog

from cupel import process
from cupel.errors import InfraError, UserError
from cupel.host.messages import LinkSpec, MachineSpec
from cupel.host.providers import image as image_of
from cupel.host.providers.inside import rootfs
from cupel.host.providers.interface import Machine, Network, Progress
from cupel.host.providers.namespace import disk, network
from cupel.host.providers.namespace.place import Place
from cupel.host.providers.namespace.provider import images_of
from cupel.host.providers.vm import ground as grounds
from cupel.host.providers.vm import machine as machines
from cupel.host.providers.vm import qemu, renewal
from cupel.host.providers.vm.accelerator import Verdicts
from cupel.host.providers.vm.foundry import BOOT_SECONDS, TEMPLATE, Foundry
from cupel.host.providers.vm.ground import Ground, Survey
from cupel.host.providers.vm.kernel import Kernels
from cupel.host.providers.vm.machine import CHECKPOINT_SECONDS, Identity, VmMachine
from cupel.host.providers.vm.qemu import Start
from cupel.host.providers.vm.starter import Starter
from cupel.host.providers.vm.templates import Key, Template
from cupel.image import prefetch

log = structlog.get_logger(__name__)

CLONE_SECONDS = 30.0


class VmProvider:
    """See `interface.Provider`. `environ` is where proxies and package indexes are read from.

    `images` may be shared by several providers, and so may `store`, where kernels and templates
    are kept; by default both are in the state directory.
    """

    name = "vm"

    def __init__(
        self,
        state: Path,
        *,
        environ: Mapping[str, str] | None = None,
        images: Path | None = None,
        store: Path | None = None,
    ) -> None:
        self._place = Place(state, environ)
        self.images = images_of(self._place, images)
        store = store or state / "vm"
        self._kernels = Kernels(store / "kernel")
        self._verdicts = Verdicts(store / "kvm.json")
        self._starter = Starter(self._place, self.images)
        self._foundry = Foundry(store / "templates", self._place, self._starter, self._verdicts)
        self._made: dict[int, VmMachine] = {}
        self._survey = Survey()

    async def prepare(self, spec: MachineSpec, progress: Progress) -> str:
        image = await image_of.prepare(self.images, spec, progress)
        ground = await self._ground(progress)
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
        made = self._machine(machine, key, spec, grant, notes)
        try:
            async with asyncio.timeout(CLONE_SECONDS if template else BOOT_SECONDS):
                if template is None:
                    await self._boot(made, key, ground)
                else:
                    await self._clone(made, ground, template)
                await made.running.port.renew(renewal.order(machine, grant))
            await _show(made, binds)
        except BaseException as error:
            await self._give_up(made, error)
        return made

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

    def _machine(
        self,
        machine: int,
        key: Key,
        spec: MachineSpec,
        grant: network.Grant | None,
        notes: Sequence[str],
    ) -> VmMachine:
        env = dict(grant.env) if grant else dict(prefetch.offline(spec.image))
        identity = Identity(
            image=key.image,
            shape=key.shape,
            env=tuple(env.items()),
            cpus=spec.cpus,
            pids=spec.pids,
            network=spec.network,
            allow=spec.allow,
        )
        return self._enroll(machine, identity, [*notes, *(grant.notes if grant else ())])

    def _enroll(self, machine: int, identity: Identity, notes: Sequence[str]) -> VmMachine:
        directory = self._starter.directory(machine)
        made = VmMachine(
            machine,
            identity,
            directory,
            self._starter.running(machine),
            notes=notes,
            group=self._place.tree.group(machine),
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

    async def _boot(self, made: VmMachine, key: Key, ground: Ground) -> None:
        await self._starter.boot(made.id, made.running, made.identity, ground, key.disk)

    async def _clone(self, made: VmMachine, ground: Ground, template: Template) -> None:
        await self._copy(made, template.disk, template.console)
        with template.devices.open("rb") as devices:
            descriptors = (template.memory, devices.fileno())
            await self._start(made, ground, Start.CLONE, descriptors)
            await made.running.resume(qemu.STATE, shared_memory=True)

    async def _go_on(self, made: VmMachine, ground: Ground, checkpoint: Path) -> None:
        await self._copy(made, checkpoint / "disk.img", checkpoint / "console.log")
        with (checkpoint / "state").open("rb") as state:
            await self._start(made, ground, Start.REOPENED, (state.fileno(),))
            await made.running.resume(qemu.RAM, shared_memory=False)
        await made.running.port.renew(renewal.go_on())

    async def _copy(self, made: VmMachine, disk: Path, console: Path) -> None:
        directory = self._place.directory(made.id)
        await asyncio.to_thread(rootfs.copy_sparse, disk, directory / "disk.img")
        await asyncio.to_thread(shutil.copyfile, console, directory / "console.log")

    async def _start(
        self, made: VmMachine, ground: Ground, start: Start, descriptors: Sequence[int]
    ) -> None:
        await self._starter.start(made.id, made.running, made.identity, ground, start, descriptors)

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
        found = self._place.machines()
        return sorted(found - {TEMPLATE} if self._foundry.is_at_work else found)

    async def purge(self, machine: int) -> None:
        if (made := self._made.get(machine)) is not None:
            made.hang_up()
        await self._starter.clear(machine)
        self._made.pop(machine, None)

    async def close(self) -> None:
        self._starter.close()
        self._foundry.close()
        self._place.tree.close()


async def _show(made: VmMachine, binds: Mapping[Path, str]) -> None:
    """Give a machine copies: a guest has no way to see the host's files."""
    for source, target in binds.items():
        packed = await process.run(["tar", "-cf", "-", "-C", source, "."], timeout=BOOT_SECONDS)
        await made.copy_in(_pieces(packed.out), target)


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _silent(text: str) -> None:
    log.info("preparing virtual machines", text=text)
