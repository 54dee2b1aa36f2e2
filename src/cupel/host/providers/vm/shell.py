"""Shells: QEMUs that have been started, know which template they will go on from, and wait.

Starting one takes half as long as all the rest, and does not depend on whose machine it will be.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path

from cupel.errors import InfraError
from cupel.host.providers.namespace import record
from cupel.host.providers.vm.ground import Ground
from cupel.host.providers.vm.machine import Identity
from cupel.host.providers.vm.running import Running
from cupel.host.providers.vm.templates import Template

IDLE = 600.0
"""Seconds that a shell waits for its machine."""


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


class Ahead:
    """Keeps one shell ahead of need, of the kind that was needed last.

    It is started while the machine before it comes up, on another core if there is one. One shell,
    as it takes 20 MiB: who wants many at once wants a pool.
    """

    def __init__(self, make: Callable[[Kind], Awaitable[Shell]]) -> None:
        self._make = make
        self._next: tuple[Kind, asyncio.Task[Shell]] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._given_up: set[asyncio.Task[None]] = set()

    async def take(self, kind: Kind) -> Shell:
        """A shell of a kind: the one that is there, or else a new one; InfraError if none can."""
        shell = await self._taken(kind) or await self._make(kind)
        self._next = (kind, asyncio.ensure_future(self._make(kind)))
        self._expiry = asyncio.get_running_loop().call_later(IDLE, self._drop)
        return shell

    async def _taken(self, kind: Kind) -> Shell | None:
        if self._next is None:
            return None
        known, making = self._next
        if known != kind:
            self._drop()
            return None
        self._forget()
        # What prevented it is said of the next attempt, if it prevents that too.
        with contextlib.suppress(InfraError, OSError):
            shell = await making
            if shell.is_there:
                return shell
            await shell.end()
        return None

    def _forget(self) -> None:
        self._next = None
        if self._expiry is not None:
            self._expiry.cancel()

    def _drop(self) -> None:
        if self._next is not None:
            _, making = self._next
            self._forget()
            task = asyncio.create_task(_end(making))
            self._given_up.add(task)
            task.add_done_callback(self._given_up.discard)

    async def close(self) -> None:
        """Give up what is there, and wait until its process is gone."""
        self._drop()
        await asyncio.gather(*self._given_up)


async def _end(making: asyncio.Task[Shell]) -> None:
    with contextlib.suppress(InfraError, OSError):
        await (await making).end()
