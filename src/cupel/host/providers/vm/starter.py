"""Starts QEMU in its cage: with the files, limits and users of the machine whose number it has."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from cupel.errors import InfraError
from cupel.host.providers.inside import rootfs
from cupel.host.providers.namespace import cgroups, network, record, users
from cupel.host.providers.namespace import place as places
from cupel.host.providers.namespace.launcher import Launcher
from cupel.host.providers.namespace.place import Place
from cupel.host.providers.vm import cage, qemu
from cupel.host.providers.vm.ground import Ground
from cupel.host.providers.vm.machine import Identity
from cupel.host.providers.vm.qemu import Start
from cupel.host.providers.vm.running import Running
from cupel.image.catalogue import Catalogue

_QEMU_PIDS = 256


class Starter:
    """Starts the machines of a place from the images of a catalogue."""

    def __init__(self, place: Place, images: Catalogue) -> None:
        self._place = place
        self._images = images
        self._launcher = Launcher(module="cupel.host.providers.vm.cage")

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
        with contextlib.closing(users.take(self._place.state, machine)) as taken:
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
        directory = self._place.directory(machine)
        os.chown(directory / "disk.img", taken.first, taken.first)
        # Known by its pid before it may do anything that outlives an agent's crash.
        record.write(directory, record.of_process(await running.born()))
        memory = identity.shape.memory + qemu.OVERHEAD
        limits = cgroups.Limits(memory=memory, cpus=identity.cpus, pids=_QEMU_PIDS)
        group = self._place.tree.create(machine, limits, self._place.enforced())
        policy = network.policy(identity.network, identity.allow, self._place.environ)
        plan = cage.Plan(
            argv=qemu.arguments(
                ground.program, identity.shape, start, network=identity.is_connected
            ),
            directory=str(directory),
            uid=taken.first,
            shown=self._shown(directory, identity, ground, start),
            files={"/etc/resolv.conf": f"nameserver {network.resolver_of(identity.network)}\n"},
            init_groups=group.init,
            build_groups=group.build,
            cpus=[],
            network=places.network_command() if identity.is_connected else [],
            egress=policy,
            unreachable=network.unreachable(policy) if identity.is_connected else [],
        )
        await running.start(plan, directory / "qemu.log", taken.descriptor, descriptors)

    def _shown(
        self, directory: Path, identity: Identity, ground: Ground, start: Start
    ) -> list[tuple[str, str, bool]]:
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
        for name in ("qemu.log", "console.log"):
            with contextlib.suppress(OSError):
                path = self._place.directory(machine) / name
                text = path.read_text(errors="replace").strip()
                if text:
                    return text[-1000:]
        return None

    async def clear(self, machine: int) -> None:
        """Remove what is left of a machine. Repeatable."""
        # There is nothing that it could still do well.
        await record.end(self._place.directory(machine), patience=0)
        await self._place.tree.remove(self._place.tree.group(machine))
        await self._place.forget(machine)

    def close(self) -> None:
        self._launcher.close()
