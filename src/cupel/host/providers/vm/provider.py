"""Makes, finds and removes virtual machines."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import hashlib
import os
import secrets
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import structlog

from cupel import process
from cupel.errors import InfraError, UserError
from cupel.host.messages import ImageSpec, LinkSpec, MachineSpec
from cupel.host.providers.inside import rootfs
from cupel.host.providers.interface import Machine, Network, Progress
from cupel.host.providers.namespace import cgroups, disk, network, record, users
from cupel.host.providers.namespace.launcher import Launcher
from cupel.host.providers.namespace.provider import NamespaceProvider
from cupel.host.providers.namespace.workshop import NamespaceWorkshop
from cupel.host.providers.vm import cage, qemu
from cupel.host.providers.vm import machine as machines
from cupel.host.providers.vm.accelerator import Verdicts
from cupel.host.providers.vm.kernel import Kernel, Kernels
from cupel.host.providers.vm.machine import CHECKPOINT_SECONDS, Identity, VmMachine
from cupel.host.providers.vm.qemu import Accelerator, Start
from cupel.host.providers.vm.running import Running
from cupel.host.providers.vm.templates import Key, Template, Templates
from cupel.image import base, catalogue, definition, prefetch

log = structlog.get_logger(__name__)

BOOT_SECONDS = 240.0
"""For a whole boot under emulation, on a host that is busy."""
PROOF_SECONDS = 10.0
"""For a boot under KVM: where it works it takes one."""
CLONE_SECONDS = 30.0
_TEMPLATE = 0
"""The machine number of templates while they are made; real ones begin at 1."""
_QEMU_PIDS = 256
_WARM = "tar --version; mkdir --version; id; ls -l /; cat /proc/mounts; command -v git python3"
"""What a template does before it is saved, so that clones find it in memory."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What all guests run on. `digest` is of QEMU's version, the kernel and our agent."""

    program: str
    version: str
    kernel: Kernel
    digest: str


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
        self._state = state
        self._environ = os.environ if environ is None else environ
        self.images = catalogue.Catalogue(
            images or state / "images",
            NamespaceWorkshop(lambda directory: NamespaceProvider(directory, environ=environ)),
        )
        self._store = store or state / "vm"
        self._kernels = Kernels(self._store / "kernel")
        self._templates = Templates(self._store / "templates")
        self._verdicts = Verdicts(self._store / "kvm.json")
        self._disks = disk.Templates(state / "disks")
        self._launcher = Launcher(module="cupel.host.providers.vm.cage")
        self._tree = cgroups.Tree(state, cgroups.detect(cgroups.MOUNTINFO.read_text()))
        self._enforced: frozenset[str] | None = None
        self._made: dict[int, VmMachine] = {}
        self._known: Ground | None = None
        self._booting = asyncio.Lock()

    async def prepare(self, spec: MachineSpec, progress: Progress) -> str:
        await self.images.sweep()
        image = await self.images.ensure(_define(spec.image), progress)
        ground = await self._ground(progress)
        key = self._key(image, spec, ground)
        if not self._templates.has(key):
            progress("Making a template of the machine: it boots once, later ones are clones of it")
        try:
            await self._template(key, ground)
        except InfraError as error:  # `create` boots cold then, and says why
            log.warning("no template of machines", label=spec.label, error=str(error))
        return image

    def shares(self, spec: MachineSpec) -> bool:
        return False

    def find(self, spec: MachineSpec) -> str | None:
        return self.images.find(_define(spec.image))

    async def create(
        self, machine: int, spec: MachineSpec, *, binds: Mapping[Path, str] = MappingProxyType({})
    ) -> VmMachine:
        image = self.find(spec)
        if image is None:
            raise InfraError(f"the image of {spec.label} is not built yet")
        if spec.network not in ("none", "full"):
            raise InfraError(f"a virtual machine can't reach {spec.network} alone")
        self._check_new(machine)
        ground = await self._ground(_silent)
        key = self._key(image, spec, ground)
        notes = [*self._verdicts.notes(key.shape.accelerator), *self._limits(spec, key)]
        template = None
        try:
            template = await self._template(key, ground)
            key = self._key(image, spec, ground)  # KVM may have been disproved
        except InfraError as error:
            notes.append(f"it was booted, not cloned from a template: {error.message}")
        grant = None if spec.network == "none" else network.grant(self._environ)
        made = self._machine(machine, key, spec, grant, notes)
        try:
            async with asyncio.timeout(CLONE_SECONDS if template else BOOT_SECONDS):
                if template is None:
                    await self._cold(made, key.disk, ground)
                else:
                    await self._clone(made, ground, template)
                await made.running.port.renew(_renewal(machine, grant))
            await self._show(made, binds)
        except BaseException as error:
            await self._give_up(made, error)
        return made

    async def reopen(self, machine: int, checkpoint: Path) -> VmMachine:
        """A machine that goes on where another was when `VmMachine.checkpoint` saved it.

        It is the same machine again, not a sibling: its names and its randomness are as they were,
        and only its clock is set. Open a checkpoint once at a time.
        """
        self._check_new(machine)
        ground = await self._ground(_silent)
        try:
            identity = machines.read(checkpoint)
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise InfraError(f"{checkpoint} is no saved machine: {error}") from error
        directory = self._directory(machine)
        directory.mkdir(parents=True, mode=0o700)
        made = self._enroll(machine, identity, [f"it goes on from {checkpoint}"])
        try:
            async with asyncio.timeout(CHECKPOINT_SECONDS):
                await self._go_on(made, ground, checkpoint)
        except BaseException as error:
            await self._give_up(made, error)
        return made

    async def _go_on(self, made: VmMachine, ground: Ground, checkpoint: Path) -> None:
        directory = self._directory(made.id)
        await asyncio.to_thread(rootfs.copy_sparse, checkpoint / "disk.img", directory / "disk.img")
        await asyncio.to_thread(
            shutil.copyfile, checkpoint / "console.log", directory / "console.log"
        )
        state = os.open(checkpoint / "state", os.O_RDONLY | os.O_CLOEXEC)
        try:
            await self._start(
                made.id, made.running, made.identity, ground, Start.REOPENED, (state,)
            )
            await made.running.resume(qemu.RAM, shared_memory=False)
        finally:
            os.close(state)
        await made.running.port.renew({"time": time.time()})

    async def _show(self, made: VmMachine, binds: Mapping[Path, str]) -> None:
        """Give a machine copies: a guest has no way to see the host's files."""
        for source, target in binds.items():
            packed = await process.run(["tar", "-cf", "-", "-C", source, "."], timeout=BOOT_SECONDS)
            await made.copy_in(_pieces(packed.out), target)

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
            network=grant is not None,
            cpus=spec.cpus,
            pids=spec.pids,
        )
        self._directory(machine).mkdir(parents=True, mode=0o700)
        return self._enroll(machine, identity, [*notes, *(grant.notes if grant else ())])

    def _enroll(self, machine: int, identity: Identity, notes: Sequence[str]) -> VmMachine:
        directory = self._directory(machine)
        made = VmMachine(
            machine,
            identity,
            directory,
            Running(self._launcher, directory / "console.log"),
            notes=notes,
            remove=lambda: self.purge(machine),
        )
        self._made[machine] = made
        return made

    async def _give_up(self, made: VmMachine, error: BaseException) -> None:
        """Remove a machine that could not be made, and say why."""
        said = self._said(made.id)
        await asyncio.shield(made.destroy())
        if isinstance(error, OSError):  # TimeoutError is one
            why = str(error) or "it took too long"
            raise InfraError(f"machine {made.id} can't be made: {why}", hint=said) from error
        if isinstance(error, InfraError):
            raise InfraError(error.message, hint=error.hint or said) from error
        raise error

    def _said(self, machine: int) -> str | None:
        """What QEMU or the console said last."""
        for name in ("qemu.log", "console.log"):
            with contextlib.suppress(OSError):
                text = (self._directory(machine) / name).read_text(errors="replace").strip()
                if text:
                    return text[-1000:]
        return None

    async def _cold(self, made: VmMachine, disk_size: int, ground: Ground) -> None:
        empty = await self._disks.get(disk_size)
        target = self._directory(made.id) / "disk.img"
        await asyncio.to_thread(rootfs.copy_sparse, empty, target)
        await self._start(made.id, made.running, made.identity, ground, Start.COLD)
        await made.running.port.hello()

    async def _clone(self, made: VmMachine, ground: Ground, template: Template) -> None:
        directory = self._directory(made.id)
        await asyncio.to_thread(rootfs.copy_sparse, template.disk, directory / "disk.img")
        await asyncio.to_thread(shutil.copyfile, template.console, directory / "console.log")
        devices = os.open(template.devices, os.O_RDONLY | os.O_CLOEXEC)
        try:
            descriptors = (template.memory, devices)
            await self._start(
                made.id, made.running, made.identity, ground, Start.CLONE, descriptors
            )
            await made.running.resume(qemu.STATE, shared_memory=True)
        finally:
            os.close(devices)

    async def _start(
        self,
        machine: int,
        running: Running,
        identity: Identity,
        ground: Ground,
        start: Start,
        descriptors: Sequence[int] = (),
    ) -> None:
        with contextlib.closing(users.take(self._state, machine)) as taken:
            await self._start_as(taken, machine, running, identity, ground, start, descriptors)

    async def _start_as(
        self,
        taken: users.Taken,
        machine: int,
        running: Running,
        identity: Identity,
        ground: Ground,
        start: Start,
        descriptors: Sequence[int],
    ) -> None:
        directory = self._directory(machine)
        os.chown(directory / "disk.img", taken.first, taken.first)
        # Known by its pid before it may do anything that outlives an agent's crash.
        record.write(directory, record.of_process(await running.born()))
        enforced = self._enforce()
        memory = identity.shape.memory + qemu.OVERHEAD
        limits = cgroups.Limits(memory=memory, cpus=identity.cpus, pids=_QEMU_PIDS)
        group = self._tree.create(machine, limits, enforced)
        files = [(str(ground.kernel.image), qemu.KERNEL, False),
                 (str(ground.kernel.initramfs), qemu.INITRAMFS, False),
                 (str(self._file(identity.image)), qemu.IMAGE, False),
                 (str(directory / "disk.img"), qemu.DISK, True)]  # fmt: skip
        plan = cage.Plan(
            argv=qemu.arguments(ground.program, identity.shape, start, network=identity.network),
            directory=str(directory),
            uid=taken.first,
            shown=files,
            files={"/etc/resolv.conf": f"nameserver {network.RESOLVER}\n"},
            init_groups=group.init,
            build_groups=group.build,
            cpus=[],
            network=_network_command() if identity.network else [],
            unreachable=network.unreachable() if identity.network else [],
        )
        await running.start(plan, directory / "qemu.log", taken.descriptor, descriptors)

    # Templates.

    async def _template(self, key: Key, ground: Ground) -> Template:
        """The template of a key; of the emulated sister of it where KVM turns out not to work."""
        if key.shape.accelerator is Accelerator.KVM:
            key = await self._prove(key, ground)
        return await self._templates.get(
            key, functools.partial(self._boot_template, key, ground, BOOT_SECONDS)
        )

    async def _prove(self, key: Key, ground: Ground) -> Key:
        """Prove KVM by a boot, once; the key of what can be had here."""
        if not self._verdicts.is_open:
            return key
        boot = functools.partial(self._boot_template, key, ground, PROOF_SECONDS)
        try:
            await self._templates.get(key, boot)
        except InfraError as error:
            log.warning("KVM does not work here", error=str(error))
            self._verdicts.write(works=False)
            slow = dataclasses.replace(key.shape, accelerator=Accelerator.EMULATION)
            return dataclasses.replace(key, shape=slow)
        self._verdicts.write(works=True)
        return key

    async def _boot_template(
        self, key: Key, ground: Ground, seconds: float, target: Path, memory: int
    ) -> None:
        """Boot a machine and save it in `target`; its memory is the descriptor's."""
        async with self._booting:
            await self.purge(_TEMPLATE)
            directory = self._directory(_TEMPLATE)
            directory.mkdir(parents=True, mode=0o700)
            running = Running(self._launcher, directory / "console.log")
            try:
                async with asyncio.timeout(seconds):
                    await self._boot(running, key, ground, memory)
                await self._finish(running, target)
            except TimeoutError:
                raise InfraError(
                    f"it did not boot within {seconds:g} s", hint=self._said(_TEMPLATE)
                ) from None
            except InfraError as error:
                raise InfraError(error.message, hint=self._said(_TEMPLATE) or error.hint) from error
            finally:
                running.hang_up()
                await asyncio.shield(self.purge(_TEMPLATE))

    async def _boot(self, running: Running, key: Key, ground: Ground, memory: int) -> None:
        target = self._directory(_TEMPLATE) / "disk.img"
        await asyncio.to_thread(rootfs.copy_sparse, await self._disks.get(key.disk), target)
        identity = Identity(
            image=key.image, shape=key.shape, env=(), network=False, cpus=key.shape.cpus, pids=0
        )
        await self._start(_TEMPLATE, running, identity, ground, Start.TEMPLATE, (memory,))
        await running.port.hello()

    async def _finish(self, running: Running, target: Path) -> None:
        """Save a machine that stands."""
        async with asyncio.timeout(BOOT_SECONDS):
            # Rehearsed: what a clone has to do is in its memory then, and its files are open.
            await running.port.renew(_renewal(_TEMPLATE, None))
            await self._warm(running)
            await running.save(target / "devices", shared_memory=True, timeout=BOOT_SECONDS)
            await running.stop()
        for name, saved in (("disk.img", "disk"), ("console.log", "console.log")):
            source = self._directory(_TEMPLATE) / name
            await asyncio.to_thread(rootfs.copy_sparse, source, target / saved)

    async def _warm(self, running: Running) -> None:
        argv = ["/bin/sh", "-c", f"exec 2>&1; {_WARM}; bash -c true; sync"]
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
        for _ in range(2):
            told = await running.port.exec(argv, env=env, cwd="/", pids=64, stdin=False)
            async for _piece in told.output():
                continue
            await told.wait()

    async def _ground(self, tell: Progress) -> Ground:
        program = _program()
        kernel = await self._kernels.ensure(tell)
        if self._known is None:
            self._known = await _ground(program, kernel)
            self._verdicts.look(f"{self._known.version} {kernel.version}")
        return self._known

    def _key(self, image: str, spec: MachineSpec, ground: Ground) -> Key:
        size = disk.available(spec.disk, self._ready_state())
        if disk.tool() is None:
            raise InfraError("virtual machines need mkfs.ext4", hint="apt-get install e2fsprogs")
        if size < disk.SMALLEST:
            raise InfraError(
                f"the disk of {self._state} is full", hint="machines need at least 1 GiB of it"
            )
        shape = qemu.shape(spec, self._verdicts.accelerator, "erofs")
        return Key(image=image, shape=shape, disk=size, software=ground.digest)

    def _file(self, image: str) -> Path:
        path = self.images.file(image)
        if path is None:
            raise InfraError(
                f"{image} is kept as a tree of files, of which no virtual machine can be made",
                hint="apt-get install erofs-utils, and build the image again",
            )
        return path

    def _ready_state(self) -> Path:
        self._state.mkdir(parents=True, exist_ok=True)
        return self._state

    # What limits there are, and what is left of machines.

    def _enforce(self) -> frozenset[str]:
        if self._enforced is None:
            self._enforced = self._tree.prepare()
        return self._enforced

    def _limits(self, spec: MachineSpec, key: Key) -> list[str]:
        notes = []
        if "cpu" not in self._enforce() and spec.cpus != key.shape.cpus:
            notes.append(f"it has {key.shape.cpus} whole cpus, not {spec.cpus:g}")
        if key.disk < spec.disk:
            notes.append(f"the disk has {key.disk >> 20} MiB, not {spec.disk >> 20}")
        return notes

    def _check_new(self, machine: int) -> None:
        if self._directory(machine).exists() or machine in self._tree.machines():
            raise InfraError(f"something of machine {machine} exists already")

    async def join(
        self, spec: MachineSpec, machines: Mapping[str, Machine], links: Sequence[LinkSpec]
    ) -> Network:
        raise UserError(
            "virtual machines can't be joined with others in one build yet",
            hint="use labels whose provider is namespace",
        )

    async def list(self) -> Sequence[int]:
        machines = self._state / "machines"
        names = [path.name for path in machines.iterdir()] if machines.is_dir() else []
        found = self._tree.machines() | {int(name) for name in names if name.isdecimal()}
        if self._booting.locked():
            found.discard(_TEMPLATE)
        return sorted(found)

    async def purge(self, machine: int) -> None:
        directory = self._directory(machine)
        if (made := self._made.get(machine)) is not None:
            made.hang_up()
        await record.end(directory, patience=0)  # there is nothing that it could still do well
        await self._tree.remove(self._tree.group(machine))
        await asyncio.to_thread(record.forget, directory)
        self._made.pop(machine, None)

    async def close(self) -> None:
        self._launcher.close()
        self._templates.close()
        self._tree.close()

    def _directory(self, machine: int) -> Path:
        return self._state.resolve() / "machines" / str(machine)


def _program() -> str:
    program = qemu.path()
    if program is None:
        raise InfraError(
            "virtual machines need QEMU", hint="apt-get install qemu-system-x86 erofs-utils"
        )
    return program


async def _ground(program: str, kernel: Kernel) -> Ground:
    told = await process.run([program, "--version"], timeout=30)
    version = told.out.decode(errors="replace").partition("\n")[0]
    digest = hashlib.sha256(version.encode())
    for path in (kernel.image, kernel.initramfs):
        digest.update(hashlib.sha256(await asyncio.to_thread(path.read_bytes)).digest())
    return Ground(program=program, version=version, kernel=kernel, digest=digest.hexdigest())


def _renewal(machine: int, grant: network.Grant | None) -> dict[str, object]:
    """What makes this machine unlike every other of its template."""
    name = f"cupel-m{machine}"
    resolver = f"nameserver {qemu.RESOLVER}\n" if grant else ""
    files = {
        "/etc/hostname": f"{name}\n",
        "/etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost ip6-localhost\n",
        "/etc/resolv.conf": f"{resolver}options timeout:2 attempts:3\n",
        "/etc/machine-id": f"{uuid.uuid4().hex}\n",
    }
    for path, source in grant.copies if grant else ():
        files[f"/{path.lstrip('/')}"] = Path(source).read_text(errors="replace")
    mac = bytes([0x52, 0x54, 0x00, *secrets.token_bytes(3)]).hex(":")
    address = {
        "mac": mac,
        "address": qemu.ADDRESS,
        "netmask": qemu.NETMASK,
        "gateway": qemu.GATEWAY,
    }
    return {
        "entropy": secrets.token_hex(64),
        "time": time.time(),
        "hostname": name,
        "boot_id": f"{uuid.uuid4()}\n",
        "files": files,
        "network": address if grant else None,
    }


def _network_command() -> list[str]:
    program = shutil.which("slirp4netns")
    if program is None:
        raise InfraError(
            "a machine with a network needs slirp4netns", hint="apt-get install slirp4netns"
        )
    return [program, *network.COMMAND]


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _define(spec: ImageSpec) -> definition.Definition:
    return definition.define(spec, base.architecture())


def _silent(text: str) -> None:
    log.info("preparing virtual machines", text=text)
