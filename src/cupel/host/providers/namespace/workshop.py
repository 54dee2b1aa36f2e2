"""Namespace machines to build images on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cupel.config.image import ImageConfig
from cupel.host.messages import MachineSpec
from cupel.host.providers.namespace import network
from cupel.image.catalogue import Kept
from cupel.image.workshop import Bench

if TYPE_CHECKING:
    from cupel.host.providers.namespace.provider import NamespaceProvider

MACHINE = 1
"""The only machine of a directory."""

_OWN_FILES = ("etc/hostname", "etc/hosts", "etc/resolv.conf", network.BUNDLE.lstrip("/"))


class NamespaceWorkshop:
    """See `cupel.image.workshop.Workshop`. `provider` makes one whose machines are in a directory.

    Each build has a provider of its own, so that no agent takes its machine for one of a build.
    """

    def __init__(self, provider: Callable[[Path], NamespaceProvider]) -> None:
        self._provider = provider

    @contextlib.asynccontextmanager
    async def bench(
        self, rootfs: Path, file: Path | None, directory: Path, image: ImageConfig, *, network: bool
    ) -> AsyncIterator[Bench]:
        spec = MachineSpec(
            label="image",
            image=image,
            network="full" if network else "none",
            cpus=float(os.cpu_count() or 1),
            disk=image.size,
        )
        provider = self._provider(directory)
        try:
            kept = Kept(digest="", rootfs=rootfs, file=file)
            machine = await provider.create_on(kept, MACHINE, spec)
            yield Bench(machine=machine, laid_over=_OWN_FILES)
        finally:
            await self._end(provider)

    async def clear(self, directory: Path) -> None:
        await self._end(self._provider(directory))

    async def _end(self, provider: NamespaceProvider) -> None:
        for machine in await provider.list():
            await provider.purge(machine)
        await provider.close()
