"""Builds an image: base, provisioning, one read-only file, tests."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path

from cupel.errors import InfraError
from cupel.image import base, pack, provision, tree
from cupel.image.definition import Definition
from cupel.image.workshop import Workshop


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What came of a build; `size` in bytes, of the file or of all files in the tree."""

    digest: str
    packages: dict[str, str]
    size: int
    is_packed: bool


async def build(
    definition: Definition,
    directory: Path,
    scratch: Path,
    workshop: Workshop | None,
    tell: Callable[[str], None],
) -> Built:
    """Leave `rootfs`, perhaps packed, and the manifest in `directory`.

    Packed, `rootfs` is empty, to mount the file on. Raises `InfraError` with what failed.
    """
    image, rootfs = definition.config, directory / tree.ROOTFS
    await base.lay_out(definition, rootfs, scratch, tell)
    if definition.is_provisioned:
        await provision.provision(image, rootfs, scratch, _needed(workshop), tell)
    tell("Evening out, listing and packing")
    await asyncio.to_thread(tree.normalise, rootfs)
    packages = await asyncio.to_thread(tree.packages, rootfs)
    digest, size = await asyncio.to_thread(tree.write_manifest, rootfs, directory / tree.MANIFEST)
    file = directory / tree.FILE
    # A system is read as it lies there: by QEMU, not by a machine that mounts it.
    is_packed = not image.is_system and await pack.pack(rootfs, file, scratch, tell)
    if is_packed:
        await asyncio.to_thread(tree.empty, rootfs)
        size = file.stat().st_size
    if image.tests:
        mounted = file if is_packed else None
        await provision.test(image, rootfs, mounted, scratch, _needed(workshop), tell)
    return Built(digest=digest, packages=packages, size=size, is_packed=is_packed)


def _needed(workshop: Workshop | None) -> Workshop:
    if workshop is None:
        raise InfraError("this image takes a machine to build, and there is nobody to make one")
    return workshop
