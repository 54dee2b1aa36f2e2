"""Machines that boot a system of their own: its serial console is all that is known of it.

Its disk is an overlay of the image's, which is never written to. What a build brings along is a tar
on a second disk: the sources as `src/…`, artefacts of needed jobs as `needs/JOB/…`.
"""

from __future__ import annotations

import asyncio
import shutil
import struct
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from cupel import process
from cupel.errors import InfraError, UserError
from cupel.host.providers.interface import Ending, How, Size
from cupel.host.providers.vm import qemu
from cupel.host.providers.vm.machine import VmMachine
from cupel.host.providers.vm.port import VmProcess
from cupel.host.providers.vm.starter import Shown
from cupel.image.system import System

_SECONDS = 60.0
_BLOCK = 512
_PLACE = PurePosixPath("/build")
"""What the paths on the second disk are below of."""
_BROUGHT = (("src",), ("needs",), ("projects",))
"""What is there for the system; the rest is for builds that leave something, and for git."""
_QCOW2 = struct.Struct(">4s20xQ")


class BootedMachine(VmMachine):
    """See `interface.Machine` and `interface.Bootable`."""

    async def exec(
        self, argv: object, *, env: Mapping[str, str], cwd: str, stdin: bytes | None = None
    ) -> VmProcess:
        self._check()
        raise InfraError(f"machine {self.id} runs a system of its own: nothing is started in it")

    async def talk(
        self, argv: object, *, env: Mapping[str, str], cwd: str, size: Size | None
    ) -> VmProcess:
        return await self.exec(argv, env=env, cwd=cwd)

    async def copy_in(self, tar: AsyncIterator[bytes], target: str) -> None:
        self._check()
        came = self._directory / "came.tar"
        try:
            with came.open("wb") as file:
                async for piece in tar:
                    await asyncio.to_thread(file.write, piece)
            below = PurePosixPath(target).relative_to(_PLACE)
            await asyncio.to_thread(_append, came, self._directory / SOURCE, below)
        except (OSError, ValueError, tarfile.TarError) as error:
            raise InfraError(f"{target} can't be brought to machine {self.id}: {error}") from error
        finally:
            came.unlink(missing_ok=True)

    @property
    def lays(self) -> bool:
        return False

    async def lay(self, image: Path, paths: Sequence[str]) -> None:
        self._check()
        raise UserError(f"machine {self.id} runs a system of its own: it is laid out by that")

    async def copy_out(self, source: str, *, smallest_first: bool = False) -> AsyncIterator[bytes]:
        self._check()
        nothing: tuple[bytes, ...] = ()  # that anybody could fetch
        for piece in nothing:
            yield piece

    async def boot(self) -> AsyncGenerator[bytes, None]:
        self._check()
        console = self.running.console.listen()
        await self.running.control.execute("cont")
        try:
            async for data in console:
                yield data
        finally:
            await console.aclose()
        if self.running.panicked:
            await self._dump()
            return
        async with asyncio.timeout(_SECONDS):  # its console ends first
            await self.running.ended.wait()

    def ending(self) -> Ending:
        running = self.running
        if running.panicked:
            return Ending(how=How.PANIC)
        if running.was_shut_down:
            return Ending(how=How.RESTART if running.was_reset else How.OFF)
        # The device for that makes the status odd: 2 × number + 1.
        if running.status is not None and running.status > 0 and running.status % 2:
            return Ending(how=How.EXIT, number=running.status >> 1)
        raise InfraError(f"the machine is gone: {running.port.gone}")


SOURCE = "source.tar"
OVERLAY = "disk.img"


async def lay_out(system: System, directory: Path, size: int) -> Shown:
    """Make the files of a machine; what QEMU is shown. `size` is how large its disks may be."""
    with (directory / SOURCE).open("wb") as file:
        file.truncate(size // _BLOCK * _BLOCK)
    shown = [(str(directory / SOURCE), qemu.SOURCE, False)]
    if system.kernel is not None:
        shown.append((str(system.kernel), qemu.KERNEL, False))
    if system.initrd is not None:
        shown.append((str(system.initrd), qemu.INITRAMFS, False))
    if system.disk is not None:
        shown.append((str(system.disk), qemu.IMAGE, False))
        if system.format != "iso":
            await _lay_over(system.disk, system.format, directory / OVERLAY, size)
            shown.append((str(directory / OVERLAY), qemu.DISK, True))
    return shown


async def _lay_over(disk: Path, format: str, target: Path, most: int) -> None:
    program = shutil.which("qemu-img")
    if program is None:
        raise InfraError("a system on a disk needs qemu-img", hint="apt-get install qemu-utils")
    size = _virtual_size(disk, format)
    if size > most:
        raise InfraError(
            f"the disk of the image has {size >> 20} MiB, the label's has {most >> 20}",
            hint="raise the label's `disk`",
        )
    # Without a look at the backing file (-u), which lies elsewhere in the cage.
    await process.run(
        [program, "create", "-q", "-u", "-f", "qcow2", "-F", format, "-b", qemu.IMAGE, target,
         str(size)],
        timeout=_SECONDS,
    )  # fmt: skip


def _virtual_size(disk: Path, format: str) -> int:
    if format == "raw":
        return -(-disk.stat().st_size // _BLOCK) * _BLOCK
    with disk.open("rb") as file:
        head = file.read(_QCOW2.size)
    magic, size = _QCOW2.unpack(head.ljust(_QCOW2.size, b"\0"))
    if magic != b"QFI\xfb":
        raise InfraError(f"{disk} is no qcow2 file")
    return int(size)


def _append(came: Path, source: Path, below: PurePosixPath) -> None:
    """Add what is in one tar to another, below a path; ValueError if it does not fit."""
    most = source.stat().st_size
    with (
        tarfile.open(came, "r:") as coming,
        source.open("r+b") as file,
        tarfile.open(fileobj=file, mode="a", format=tarfile.GNU_FORMAT) as tar,
    ):
        for member in coming:
            path = below / member.name.lstrip("/")
            if path.parts[:1] not in _BROUGHT:
                continue
            content = coming.extractfile(member) if member.isreg() else None
            member.name = str(path)
            if member.islnk():
                member.linkname = str(below / member.linkname.lstrip("/"))
            tar.addfile(member, content)
    if source.stat().st_size > most:
        raise ValueError(f"it is larger than the label's disk, {most >> 20} MiB")
