"""Shells: QEMUs that have been started, know which template they will go on from, and wait.

Starting one takes half as long as all the rest, and does not depend on whose machine it will be.
"""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

from cupel.host.providers.namespace import record
from cupel.host.providers.vm.ground import Ground
from cupel.host.providers.vm.machine import Identity
from cupel.host.providers.vm.running import Running
from cupel.host.providers.vm.templates import Template


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What the clones that a shell may become have in common."""

    identity: Identity
    template: Template
    ground: Ground


class Shell:
    """A QEMU in its cage, with a directory that becomes its machine's. It has no limits yet."""

    def __init__(self, directory: Path, running: Running) -> None:
        self.directory = directory
        self.running = running

    @property
    def is_there(self) -> bool:
        return not self.running.ended.is_set()

    async def end(self) -> None:
        """Remove it and all that it has. Repeatable."""
        self.running.hang_up()
        await remove(self.directory)


async def remove(directory: Path) -> None:
    """Remove a shell by its directory, also one that an agent's earlier life has left."""
    await record.end(directory, patience=0)
    await asyncio.to_thread(record.forget, directory)
