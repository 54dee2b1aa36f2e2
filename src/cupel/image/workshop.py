"""What images are built on: single-use machines, which somebody above must make."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from cupel.config.image import ImageConfig


class Process(Protocol):
    """A process on a machine; see `cupel.host.providers.interface`."""

    def output(self) -> AsyncIterator[tuple[str, bytes]]: ...

    async def wait(self) -> int: ...

    async def kill(self) -> None: ...


class Machine(Protocol):
    """A machine; see `cupel.host.providers.interface`."""

    async def exec(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str) -> Process: ...

    async def copy_in(self, tar: AsyncIterator[bytes], target: str) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A machine to build on. `laid_over` are files of its own, that hide the image's."""

    machine: Machine
    laid_over: tuple[str, ...]


class Workshop(Protocol):
    """Makes machines to build images on; what it needs for one it keeps in `directory`."""

    def bench(
        self, rootfs: Path, file: Path | None, directory: Path, image: ImageConfig, *, network: bool
    ) -> AbstractAsyncContextManager[Bench]:
        """A machine of the tree `rootfs`, or of the packed `file` with `rootfs` to mount it on."""
        ...

    async def clear(self, directory: Path) -> None:
        """Remove what a killed build left of its machines. Repeatable."""
        ...
