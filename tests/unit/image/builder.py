"""A build of images that plants a small tree instead of a distribution."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from cupel.errors import InfraError
from cupel.image import definition, tree
from cupel.image.build import Built
from cupel.image.tree import FILE
from cupel.image.workshop import Workshop


class Builder:
    """Stands in for `build.build`."""

    def __init__(self) -> None:
        self.built = 0
        self.fails = False
        self.content = b"content"
        self.packages = {"git": "1"}
        self.packs: bytes | None = None
        """What is in the one file, if there is one."""

    async def __call__(
        self,
        wanted: definition.Definition,
        directory: Path,
        scratch: Path,
        workshop: Workshop | None,
        tell: Callable[[str], None],
    ) -> Built:
        assert scratch.is_dir()
        self.built += 1
        tell("working")
        await asyncio.sleep(0.01)
        if self.fails:
            raise InfraError("the mirror is away")
        (directory / "rootfs/etc").mkdir(parents=True)
        (directory / "rootfs/etc/file").write_bytes(self.content)
        tree.normalise(directory / "rootfs")
        digest, size = tree.write_manifest(directory / "rootfs", directory / "manifest.gz")
        if self.packs is not None:
            (directory / FILE).write_bytes(self.packs)
        return Built(
            digest=digest, packages=self.packages, size=size, is_packed=self.packs is not None
        )
