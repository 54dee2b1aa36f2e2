"""Shells: machines that are laid out and nobody's yet, as the agent sees them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

from cupel.errors import InfraError
from cupel.host.providers.inside import plan as plans
from cupel.host.providers.inside import wire
from cupel.host.providers.namespace import record, users
from cupel.host.providers.namespace.channel import Channel
from cupel.image.catalogue import Kept

PAUSE = 0.05
"""Seconds after a machine was made until a shell is laid out for the next."""
IDLE = 600.0
"""Seconds that a shell waits for its machine."""
_SAID = 2000


class Shell:
    """A process with namespaces, a disk and a root. It ends when its socket is closed.

    It has control groups, which are its maker's to remove, and nothing else that has a name.
    """

    def __init__(self, sock: socket.socket, group: str, taken: users.Taken | None) -> None:
        self.group = group
        """The name of its control groups."""
        self.owner = taken.first if taken else None
        """The host's id of the machine's root; None: it is ours."""
        self.pid = 0
        """Of the machine's process."""
        self.init = 0
        """Of its process 1, as the host sees it; a child of `pid`."""
        self._taken = taken
        self._log = os.memfd_create("machine")
        loop = asyncio.get_running_loop()
        self._born: asyncio.Future[record.Record] = loop.create_future()
        self._laid: asyncio.Future[None] = loop.create_future()
        self.channel = Channel(sock, self._await)

    async def lay_out(self, plan: plans.Shell) -> None:
        """Tell the process what to make, and wait until it is there.

        InfraError if it can't be.
        """
        held = [self._taken.descriptor] if self._taken else []
        await self.channel.send(dataclasses.asdict(plan), [self._log, *held])
        await self._laid

    @property
    def record(self) -> record.Record:
        """Of its process, once it is laid out."""
        return self._born.result()

    def said(self) -> str:
        """The last words that its processes have written."""
        size = os.fstat(self._log).st_size
        return os.pread(self._log, _SAID, max(size - _SAID, 0)).decode(errors="replace").strip()

    def _await(self, frame: wire.Frame | None) -> None:
        match frame:
            case {"event": "born", "pid": int(pid)}:
                self.pid = pid
                self._born.set_result(record.of_process(pid, self.group))
            case {"event": "laid out", "init": int(init)}:
                self.init = init
                self._laid.set_result(None)
            case {"event": "failed", "text": str(text)}:
                self._fail(text)
            case None:
                self._fail("it ended before it was ready")

    def _fail(self, why: str) -> None:
        for future in (self._born, self._laid):
            if not future.done():
                future.set_exception(InfraError(why))
                future.exception()  # it may be that nobody waits for it

    def forget(self) -> None:
        """Let go of what only its making needed. The process goes on."""
        with contextlib.suppress(OSError):
            os.close(self._log)
        if self._taken is not None:
            self._taken.close()
            self._taken = None

    def close(self) -> None:
        self.channel.close()
        self.forget()

    async def end(self) -> None:
        """Close it, and wait until its process is gone."""
        try:
            born = await self._born
        except InfraError:
            born = None
        self.close()
        if born is not None:
            await record.gone(born)


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """What shells of one kind have in common; two of a kind do for the same machines."""

    image: Kept
    disk_template: Path | None
    disk_size: int


class Ahead:
    """Keeps one shell ahead of need, of the kind that was needed last.

    A single machine is made sooner by it. One shell, as it takes memory and a loop device: who
    wants many at once wants a pool. `make` makes shells, and `end` removes all of one.
    """

    def __init__(
        self,
        make: Callable[[Kind], Awaitable[Shell]],
        end: Callable[[Shell], Coroutine[None, None, None]],
    ) -> None:
        self._make = make
        self._end = end
        self._ending: set[asyncio.Task[None]] = set()
        self._kept: tuple[Kind, Shell] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._making: asyncio.Task[None] | None = None

    def take(self, kind: Kind) -> Shell | None:
        """The shell that is there, if it is of this kind; another kind's is given up."""
        if self._kept is None:
            return None
        known, shell = self._kept
        if known != kind or not shell.channel.open:
            self._drop()
            return None
        self._forget()
        return shell

    def renew(self, kind: Kind) -> None:
        """See that there will be one soon."""
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._lay_out(kind))

    async def _lay_out(self, kind: Kind) -> None:
        await asyncio.sleep(PAUSE)
        self._drop()
        # What prevents it is said when a machine is made, which then has nothing ahead of it.
        with contextlib.suppress(InfraError, OSError):
            self._kept = (kind, await self._make(kind))
            self._expiry = asyncio.get_running_loop().call_later(IDLE, self._drop)

    def _drop(self) -> None:
        if self._kept is not None:
            task = asyncio.create_task(self._end(self._kept[1]))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            self._forget()

    def _forget(self) -> None:
        self._kept = None
        if self._expiry is not None:
            self._expiry.cancel()

    async def close(self) -> None:
        """Give up what is there, and wait until it is gone."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)
        self._drop()
        await asyncio.gather(*self._ending)
