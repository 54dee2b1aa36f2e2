"""What all virtual machines of a host run on: QEMU, a kernel, and our agent inside."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib

from cupel import process
from cupel.errors import InfraError
from cupel.host.providers.vm import qemu
from cupel.host.providers.vm.kernel import Kernel


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """`digest` is of QEMU's version, the kernel and our agent."""

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


async def survey(program: str, kernel: Kernel) -> Ground:
    told = await process.run([program, "--version"], timeout=30)
    version = told.out.decode(errors="replace").partition("\n")[0]
    digest = hashlib.sha256(version.encode())
    for path in (kernel.image, kernel.initramfs):
        digest.update(hashlib.sha256(await asyncio.to_thread(path.read_bytes)).digest())
    return Ground(program=program, version=version, kernel=kernel, digest=digest.hexdigest())
