"""Shells: machines that are laid out and nobody's yet, as the agent sees them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from cupel.errors import InfraError
from cupel.host.providers.inside import plan as plans
from cupel.host.providers.inside import wire
from cupel.host.providers.namespace import record, users
from cupel.host.providers.namespace.channel import Channel
from cupel.image.catalogue import Kept

PAUSE = 0.05
"""Seconds after a machine was made until a shell is laid out for the next."""
_SAID = 2000


class Shell:
    """A process with namespaces, a disk and a root. It ends when its socket is closed.

    It has control groups, which `remove_groups` removes, and nothing else that has a name.
    """

    def __init__(
        self,
        sock: socket.socket,
        group: str,
        taken: users.Taken | None,
        remove_groups: Callable[[], Awaitable[None]],
    ) -> None:
        self.group = group
        """The name of its control groups."""
        self.remove_groups = remove_groups
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
        """Let go of what only its making needed. The process goes on. Repeatable."""
        if self._log >= 0:
            os.close(self._log)
            self._log = -1
        if self._taken is not None:
            self._taken.close()
            self._taken = None

    @property
    def is_there(self) -> bool:
        return self.channel.open

    async def end(self) -> None:
        """Close it, wait until its process is gone, and remove its control groups."""
        with contextlib.suppress(InfraError):  # it has ended before it could say who it is
            await self._born
        self.channel.close()
        self.forget()
        await self.gone()

    async def gone(self) -> None:
        """Wait until its process has ended, which its channel's end makes it, and tidy up."""
        if self._born.done() and self._born.exception() is None:
            await record.gone(self.record)
        await self.remove_groups()


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """What shells of one kind have in common; two of a kind do for the same machines."""

    image: Kept
    disk_template: Path | None
    disk_size: int
