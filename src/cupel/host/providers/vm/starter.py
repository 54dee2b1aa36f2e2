"""Starts QEMU in its cage: with the files, limits and users of the machine whose number it has."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from cupel.errors import InfraError
from cupel.host.providers.inside import rootfs, syscalls
from cupel.host.providers.namespace import cgroups, network, record, users
from cupel.host.providers.namespace import place as places
from cupel.host.providers.namespace.launcher import Launcher
from cupel.host.providers.namespace.place import Place
from cupel.host.providers.vm import cage, qemu
from cupel.host.providers.vm.ground import Ground
from cupel.host.providers.vm.machine import Identity
from cupel.host.providers.vm.qemu import Accelerator, Start
from cupel.host.providers.vm.running import Running
from cupel.host.providers.vm.shell import Kind, Shell, remove
from cupel.image.catalogue import Catalogue

SHELL_SECONDS = 30.0
_QEMU_PIDS = 256
_SHELL = "vm-"
Shown = list[tuple[str, str, bool]]
"""Files of the host, where QEMU finds them, and whether it may write to them."""


class Starter:
    """Starts the machines of a place from the images of a catalogue."""

    def __init__(self, place: Place, images: Catalogue) -> None:
        self._place = place
        self._images = images
        self._launcher = Launcher(module="cupel.host.providers.vm.cage")
        self._shells = place.state.resolve() / "shells"
        self._numbers = itertools.count()
        self._sweeping = asyncio.Lock()
        self._swept = False

    def directory(self, machine: int) -> Path:
        """A new directory for a machine, which is known by it from now on."""
        directory = self._place.directory(machine)
        directory.mkdir(parents=True, mode=0o700)
        return directory

    def running(self, machine: int) -> Running:
        return Running(self._launcher, self._place.directory(machine) / "console.log")

    async def boot(
        self,
        machine: int,
        running: Running,
        identity: Identity,
        ground: Ground,
        disk: int,
        *,
        memory: int | None = None,
    ) -> None:
        """Boot it on an empty disk until its agent answers; for a template, in that memory."""
        target = self._place.directory(machine) / "disk.img"
        await asyncio.to_thread(rootfs.copy_sparse, await self._place.disks.get(disk), target)
        start = Start.COLD if memory is None else Start.TEMPLATE
        descriptors = () if memory is None else (memory,)
        await self.start(machine, running, identity, ground, start, descriptors)
        await running.port.hello()

    async def start(
        self,
        machine: int,
        running: Running,
        identity: Identity,
        ground: Ground,
        start: Start,
        descriptors: Sequence[int] = (),
    ) -> None:
        """Start QEMU on the machine's `disk.img`; with what is said of `qemu.arguments`."""
        argv = qemu.arguments(ground.program, identity.shape, start, network=identity.is_connected)
        shown = self._shown(self._place.directory(machine), identity, ground, start)
        await self.stand(machine, running, identity, argv, shown, descriptors)

    async def stand(
        self,
        machine: int,
        running: Running,
        identity: Identity,
        argv: list[str],
        shown: Shown,
        descriptors: Sequence[int] = (),
    ) -> None:
        """Start QEMU by any command, on these files."""
        directory = self._place.directory(machine)
        with contextlib.closing(users.take(self._place.state, machine)) as taken:
            await _prepare(shown, directory, running, taken, group_of(machine))
            group = self._limited(machine, identity)
            plan = self._plan(directory, identity, argv, shown, taken, group)
            await running.start(plan, directory / "qemu.log", taken.descriptor, descriptors)

    async def lay_out(self, kind: Kind) -> Shell:
        """Start the QEMU of a clone that is nobody's yet; InfraError if that fails."""
        await self.sweep()
        number = next(self._numbers)
        directory = self._shells / f"{_SHELL}{number}"
        directory.mkdir(parents=True, mode=0o700)
        shell = Shell(directory, Running(self._launcher, directory / "console.log"))
        try:
            async with asyncio.timeout(SHELL_SECONDS):
                await self._start_shell(shell, kind, number)
        except BaseException as error:
            said = _said(directory)
            await asyncio.shield(shell.end())
            if isinstance(error, OSError):  # TimeoutError is one
                why = str(error) or "it took too long"
                raise InfraError(f"QEMU can't be started: {why}", hint=said) from error
            raise
        return shell

    async def _start_shell(self, shell: Shell, kind: Kind, number: int) -> None:
        template, directory = kind.template, shell.directory
        await copy(template.disk, template.console, directory)
        with (
            template.devices.open("rb") as devices,
            contextlib.closing(users.take(self._place.state, number)) as taken,
        ):
            identity, ground = kind.identity, kind.ground
            shown = self._shown(directory, identity, ground, Start.CLONE)
            argv = qemu.arguments(
                ground.program, identity.shape, Start.CLONE, network=identity.is_connected
            )
            await _prepare(shown, directory, shell.running, taken, "")
            plan = self._plan(directory, identity, argv, shown, taken, None)
            descriptors = (template.memory, devices.fileno())
            log = directory / "qemu.log"
            await shell.running.start(plan, log, taken.descriptor, descriptors)

    async def sweep(self) -> None:
        """Remove shells of an agent's earlier life, which ended with it but for their files."""
        async with self._sweeping:
            if not self._swept:
                for left in self._shells.glob(f"{_SHELL}*"):
                    await remove(left)
                self._swept = True

    def settle(self, shell: Shell, machine: int, identity: Identity) -> cgroups.Group:
        """Give what is laid out the directory of a machine; the groups where `limit` puts it."""
        directory = self._place.directory(machine)
        directory.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        # Its groups are known before they are made, as its process was.
        record.write(shell.directory, record.of_process(shell.running.pid, group_of(machine)))
        shell.directory.rename(directory)
        return self._limited(machine, identity)

    async def limit(self, shell: Shell, group: cgroups.Group) -> None:
        """Move a shell to its groups: some milliseconds, in which the kernel waits for itself."""
        await asyncio.to_thread(_move, shell.running.pid, shell.running.qemu, group)

    def _limited(self, machine: int, identity: Identity) -> cgroups.Group:
        memory = identity.shape.memory + qemu.OVERHEAD
        limits = cgroups.Limits(memory=memory, cpus=identity.cpus, pids=_QEMU_PIDS)
        enforced, name = self._place.enforced(), group_of(machine)
        group = self._place.tree.create(name, enforced)
        self._place.tree.limit(name, limits, enforced)
        return group

    def _plan(
        self,
        directory: Path,
        identity: Identity,
        argv: list[str],
        shown: Shown,
        taken: users.Taken,
        group: cgroups.Group | None,
    ) -> cage.Plan:
        policy = network.policy(identity.network, identity.allow, self._place.environ)
        return cage.Plan(
            argv=argv,
            directory=str(directory),
            uid=taken.first,
            shown=shown,
            files={"/etc/resolv.conf": f"nameserver {network.resolver_of(identity.network)}\n"},
            init_groups=group.init if group else [],
            build_groups=group.build if group else [],
            cpus=[],
            # An emulator asks for huge ones for what it translates and uses little of them.
            huge_pages=identity.shape.accelerator is Accelerator.KVM,
            network=places.network_command() if identity.is_connected else [],
            egress=policy,
            unreachable=network.unreachable(policy) if identity.is_connected else [],
        )

    def _shown(self, directory: Path, identity: Identity, ground: Ground, start: Start) -> Shown:
        kernel = ground.kernel
        boots = [(str(kernel.image), qemu.KERNEL, False),
                 (str(kernel.initramfs), qemu.INITRAMFS, False)]  # fmt: skip
        return [
            *([(str(kernel.stub), qemu.KERNEL, False)] if start.goes_on else boots),
            (str(self._file(identity.image)), qemu.IMAGE, False),
            (str(directory / "disk.img"), qemu.DISK, True),
        ]

    def _file(self, image: str) -> Path:
        path = self._images.file(image)
        if path is None:
            raise InfraError(
                f"{image} is kept as a tree of files, of which no virtual machine can be made",
                hint="apt-get install erofs-utils, and build the image again",
            )
        return path

    def said(self, machine: int) -> str | None:
        """What QEMU or the console said last."""
        return _said(self._place.directory(machine))

    async def clear(self, machine: int) -> None:
        """Remove what is left of a machine. Repeatable."""
        # There is nothing that it could still do well.
        await self._place.remove(machine, patience=0)

    def close(self) -> None:
        self._launcher.close()


async def _prepare(
    shown: Shown, directory: Path, running: Running, taken: users.Taken, group: str
) -> None:
    for path, _, writable in shown:
        if writable:
            os.chown(path, taken.first, taken.first)
    # Known by its pid before it may do anything that outlives an agent's crash.
    record.write(directory, record.of_process(await running.born(), group))


async def copy(disk: Path, console: Path, directory: Path) -> None:
    """Give a machine the disk, and what the console has said, of what it goes on from."""
    await asyncio.to_thread(rootfs.copy_sparse, disk, directory / "disk.img")
    await asyncio.to_thread(shutil.copyfile, console, directory / "console.log")


def _move(cage: int, qemu_pid: int, group: cgroups.Group) -> None:
    for pid in (cage, *_children(cage)):
        for procs in group.build if pid == qemu_pid else group.init:
            syscalls.put(procs, str(pid))


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _said(directory: Path) -> str | None:
    for name in ("qemu.log", "console.log"):
        with contextlib.suppress(OSError):
            text = (directory / name).read_text(errors="replace").strip()
            if text:
                return text[-1000:]
    return None


def group_of(machine: int) -> str:
    """The name of a machine's control groups."""
    return f"m{machine}"
