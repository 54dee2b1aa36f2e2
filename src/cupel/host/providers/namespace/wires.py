"""The agent's end of a build's private network."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from cupel.errors import InfraError
from cupel.host.messages import LinkSpec
from cupel.host.providers.inside import wire
from cupel.host.providers.namespace.channel import Channel

# The other half of the range that is set aside for benchmarks: no office network uses it, and the
# way out of a machine has the first half.
_ADDRESS = "198.19.0.{}"

SECONDS = 20.0
"""Within which the network must answer."""


class Wires:
    """See `interface.Network`."""

    def __init__(self, names: Sequence[str], sock: socket.socket) -> None:
        self.addresses: Mapping[str, str] = {
            name: _ADDRESS.format(number + 1) for number, name in enumerate(names)
        }
        self._numbers = {name: number for number, name in enumerate(names)}
        self._channel = Channel(sock, self._hear)
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked: dict[int, asyncio.Future[None]] = {}
        self._count = 0

    async def start(self, namespaces: Sequence[int], groups: Sequence[str]) -> None:
        """Join the machines that have these network namespaces, in the order of the names.

        The network's process enters control groups by these files.
        """
        order = {"addresses": list(self.addresses.values()), "groups": list(groups)}
        await self._answered(self._ready, order, namespaces)

    async def set(self, link: LinkSpec) -> None:
        self._count += 1
        asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked[self._count] = asked
        order = {
            "number": self._count,
            "between": [self._numbers[link.one], self._numbers[link.other]],
            "delay": link.delay,
            "loss": link.loss,
            "rate": link.rate,
            "cut": link.cut,
        }
        await self._answered(asked, order)

    async def _answered(
        self, answer: asyncio.Future[None], order: wire.Frame, descriptors: Sequence[int] = ()
    ) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                await self._channel.send(order, descriptors)
                await answer
        except TimeoutError:
            raise InfraError("the network of the build does not answer") from None

    def _hear(self, frame: wire.Frame | None) -> None:
        match frame:
            case {"event": "ready"}:
                self._ready.set_result(None)
            case {"event": "set", "number": int(number)}:
                self._asked.pop(number).set_result(None)
            case {"event": "failed", "text": str(text)}:
                self._fail(f"the machines can't be joined: {text}")
            case _:
                self._fail("the network of the build has ended")

    def _fail(self, why: str) -> None:
        for future in (self._ready, *self._asked.values()):
            if not future.done():
                future.set_exception(InfraError(why))
                future.exception()  # it may be that nobody waits for it
        self._asked.clear()

    def close(self) -> None:
        self._channel.close()


def namespace_of(pid: int, parent: int, kind: str = "net") -> int:
    """A namespace of a machine's init, which is a child of the machine's process.

    Raises `InfraError` when there is none: pids are used again.
    """
    try:
        namespace = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise InfraError(f"the {kind} namespace of a machine is gone: {error}") from error
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        is_child = int(fields[1]) == parent
    except OSError:
        is_child = False
    if not is_child:
        os.close(namespace)
        raise InfraError(f"the {kind} namespace of a machine is gone: it has ended")
    return namespace
