"""The guests' kernel: the distribution's for virtual machines, unpacked and never installed."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import lzma
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from cupel import process
from cupel.errors import InfraError
from cupel.host.providers.vm import initramfs

PACKAGES = ("linux-image-cloud-amd64", "linux-image-virtual", "linux-image-generic")
"""Debian's and Ubuntu's names, the smallest first; each depends on the one with the files."""
DRIVERS = (
    "virtio_pci", "virtio_blk", "virtio_console", "virtio_net", "virtio_rng", "erofs", "squashfs",
    "ext4", "overlay", "pvpanic-pci", "failover", "loop", "dummy", "veth", "bridge", "nf_tables",
    "sch_netem", "tun",
)  # fmt: skip
"""What guests load: the devices that they have, and what jobs that ask for a kernel use most."""
SECONDS = 300.0
_DEPENDS = re.compile(rb"(?:^|\0)depends=([^\0]*)\0")
Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A kernel and the initial RAM file system that goes with it; `version` as uname says it.

    `stub` is for machines that go on from a saved state: QEMU wants to see a kernel then as well,
    and would keep a copy of it.
    """

    version: str
    image: Path
    initramfs: Path
    stub: Path


class Kernels:
    """The kernels of a state directory; `ensure` fetches one when there is none."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._fetching = asyncio.Lock()
        self._ready: Kernel | None = None

    async def ensure(self, tell: Tell) -> Kernel:
        async with self._fetching:
            if self._ready is None:
                unpacked = self._directory / "unpacked"
                if not unpacked.exists():
                    await _fetch(unpacked, tell)
                self._ready = await self._complete(unpacked)
            return self._ready

    async def _complete(self, unpacked: Path) -> Kernel:
        image = next((unpacked / "boot").glob("vmlinuz-*"), None)
        if image is None:
            raise InfraError(f"there is no kernel in {unpacked}", hint=f"remove {unpacked}")
        version = image.name.removeprefix("vmlinuz-")
        content = f"{version} {DRIVERS} {initramfs.fingerprint()}"
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        target = self._directory / f"initramfs-{digest}"
        if not target.exists():
            for old in (*self._directory.glob("initramfs-*"), *self._directory.glob("stub-*")):
                old.unlink()
            modules = await asyncio.to_thread(load_order, unpacked, version)
            await initramfs.write(target, modules)
        stub = self._directory / f"stub-{digest}"
        if not stub.exists():
            stub.write_bytes(shortened(image.read_bytes()))
        return Kernel(version=version, image=image, initramfs=target, stub=stub)


def shortened(image: bytes) -> bytes:
    """So much of a kernel as QEMU takes for one: its header and setup sectors.

    The format is that of Documentation/arch/x86/boot.rst; 4 sectors is what 0 stands for.
    """
    sectors = image[0x1F1] or 4
    return image[: (sectors + 2) * 512]


async def _fetch(target: Path, tell: Tell) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise InfraError(
            "the kernel of virtual machines comes as a Debian package, and there is no apt here",
            hint=f"unpack a distribution's linux-image package to {target}",
        )
    temporary = target.with_suffix(".new")
    shutil.rmtree(temporary, ignore_errors=True)
    (temporary / "package").mkdir(parents=True)
    name = await _package()
    tell(f"Fetching the kernel of virtual machines: {name}")
    packages = [name]
    if name.startswith("linux-image-") and "Ubuntu" in _issue():
        packages.append(name.replace("linux-image-", "linux-modules-"))
    # As root apt drops to a user who can't write here, and says so: not an error.
    await process.run(
        ["apt-get", "download", "-q", *packages], cwd=temporary / "package", timeout=SECONDS
    )
    for package in (temporary / "package").glob("*.deb"):
        await process.run(["dpkg-deb", "-x", package, temporary], timeout=SECONDS)
    shutil.rmtree(temporary / "package")
    for path in ("usr/lib/modules", "lib/modules"):
        if (temporary / path).is_dir():
            (temporary / path).rename(temporary / "modules")
            break
    temporary.rename(target)


def _issue() -> str:
    try:
        return Path("/etc/os-release").read_text()
    except OSError:
        return ""


async def _package() -> str:
    """The package that has the files, of the first that this computer's sources know."""
    for name in PACKAGES:
        command = ["apt-cache", "depends", "--important", name]
        known = await process.run(command, check=False, timeout=60, env={"LC_ALL": "C"})
        found = re.search(r"Depends: (linux-image-\d\S*)", known.out.decode())
        if found is not None:
            return found[1]
    raise InfraError(
        f"no package source has a kernel for virtual machines: {', '.join(PACKAGES)}",
        hint="apt-get update",
    )


def load_order(unpacked: Path, version: str) -> list[tuple[str, bytes]]:
    """The drivers and what they depend on, each after what it needs; those built in are missing."""
    paths = {_name(path.name): path for path in (unpacked / "modules" / version).rglob("*.ko*")}
    ordered: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in ordered or name not in paths:
            return
        content = _content(paths[name])
        for needed in depends(content):
            add(needed)
        ordered[name] = content

    for name in DRIVERS:
        add(_name(name))
    return [(f"{name}.ko", content) for name, content in ordered.items()]


def depends(module: bytes) -> Sequence[str]:
    """The modules that a module says it needs."""
    found = _DEPENDS.search(module)
    return [_name(word) for word in found[1].decode().split(",") if word] if found else []


def _name(text: str) -> str:
    return text.partition(".")[0].replace("-", "_")


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    match path.suffix:
        case ".ko":
            return data
        case ".xz":
            return lzma.decompress(data)
        case _:
            raise InfraError(f"{path} is compressed in a way that is not known here")
