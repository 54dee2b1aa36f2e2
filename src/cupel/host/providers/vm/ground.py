"""What all virtual machines of a host run on: QEMU, a kernel, and our agent inside."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
from pathlib import Path

from cupel import process
from cupel.errors import InfraError
from cupel.host.providers.vm import qemu
from cupel.host.providers.vm.kernel import Kernel

CPUINFO = Path("/proc/cpuinfo")
_OURS = sorted(Path(__file__).parent.glob("*.py"))
"""How templates are started, warmed up and saved; what runs inside is in the kernel's RAM disk."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """`digest` is of all that a saved machine depends on, but for its image and its shape."""

    program: str
    version: str
    kernel: Kernel
    digest: str


def program() -> str:
    found = qemu.path()
    if found is None:
        raise InfraError(
            "virtual machines need QEMU", hint="apt-get install qemu-system-x86 erofs-utils"
        )
    return found


class Survey:
    """Looks at what guests run on, and again once QEMU or the kernel has been replaced."""

    def __init__(self) -> None:
        self._seen: tuple[tuple[int, int], ...] = ()
        self._ground: Ground | None = None

    async def ground(self, program: str, kernel: Kernel) -> Ground:
        files = (Path(program), kernel.image, kernel.initramfs)
        seen = tuple((stat.st_ino, stat.st_mtime_ns) for stat in map(os.stat, files))
        if self._ground is None or seen != self._seen:
            self._ground = await _survey(program, kernel)
            self._seen = seen
        return self._ground


async def _survey(program: str, kernel: Kernel) -> Ground:
    told = await process.run([program, "--version"], timeout=30)
    version = told.out.decode(errors="replace").partition("\n")[0]
    files = (kernel.image, kernel.initramfs, *_OURS, Path(program))
    digests = [await asyncio.to_thread(_digest, path) for path in files]
    text = " ".join([version, _processor(CPUINFO.read_text()), *digests])
    return Ground(
        program=program,
        version=version,
        kernel=kernel,
        digest=hashlib.sha256(text.encode()).hexdigest(),
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _processor(cpuinfo: str) -> str:
    """What a guest under KVM sees of the host's processor, and its kernel has adapted itself to."""
    lines = cpuinfo.partition("\n\n")[0].splitlines()
    told = ("vendor_id", "cpu family", "model", "stepping", "flags")
    return "\n".join(line for line in lines if line.partition(":")[0].strip() in told)
