"""A QEMU in its cage, as the agent sees it: the guest's port, its console, and its control."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import os
import socket
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cupel.errors import InfraError
from cupel.host.providers.inside import wire
from cupel.host.providers.namespace.channel import Channel
from cupel.host.providers.namespace.launcher import Launcher
from cupel.host.providers.vm import cage
from cupel.host.providers.vm.port import Port
from cupel.host.providers.vm.qmp import Control

CONSOLE_LIMIT = 16 << 20
"""Bytes of a console that are kept; a guest may write to it without end."""
_TAIL = 64 << 10
SETTLE = 0.1
"""Seconds for the last words of a kernel to come over the console."""
_AHEAD = 1 << 20
"""Bytes of a console that a reader may be behind."""
_PANIC = "GUEST_PANICKED"
_SHUTDOWN = "SHUTDOWN"


class Console:
    """Writes what a guest prints to a file; the end of it stays at hand."""

    def __init__(self, sock: socket.socket, path: Path) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._file = path.open("ab", buffering=0)
        self._room = CONSOLE_LIMIT
        self._loop = asyncio.get_running_loop()
        self._tail = b""
        self._heard: collections.deque[bytes] | None = None
        self._waiting = 0
        self._is_over = False
        self._news = asyncio.Event()
        self._loop.add_reader(sock, self.drain)

    @property
    def tail(self) -> str:
        return self._tail.decode(errors="replace")

    def drain(self) -> None:
        """Read what is there."""
        try:
            data = self._sock.recv(1 << 16) if self._sock.fileno() >= 0 else b""
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._tail = (self._tail + data)[-_TAIL:]
        self._file.write(data[: self._room])
        self._room = max(0, self._room - len(data))
        if self._heard is not None:
            self._heard.append(data)
            self._waiting += len(data)
            self._news.set()
            if self._waiting > _AHEAD:  # the guest waits for its reader
                self._loop.remove_reader(self._sock)

    def listen(self) -> AsyncGenerator[bytes, None]:
        """What comes from now on, as it comes, until it is closed or nothing more is to come."""
        self._heard = collections.deque()
        return self._stream(self._heard)

    async def _stream(self, heard: collections.deque[bytes]) -> AsyncGenerator[bytes, None]:
        try:
            while heard or (self._sock.fileno() >= 0 and not self._is_over):
                if not heard:
                    self._news.clear()
                    await self._news.wait()
                    continue
                data = heard.popleft()
                yield data
                self._release(len(data))
        finally:
            self._heard = None
            self._release(self._waiting)

    def _release(self, count: int) -> None:
        """Let so much more come."""
        held = self._waiting > _AHEAD
        self._waiting -= count
        if held and self._waiting <= _AHEAD and self._sock.fileno() >= 0:
            self._loop.add_reader(self._sock, self.drain)

    def finish(self) -> None:
        """Nothing more is to come, though it stays open."""
        self._is_over = True
        self._news.set()

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()
            self._file.close()
        self._news.set()


class Running:
    """One QEMU, from the order to start it until it has ended.

    `panicked` and `was_shut_down` say what the guest did, and `was_reset` that it wanted to begin
    anew; the port is closed then. `status` is what QEMU ended with.
    """

    def __init__(self, launcher: Launcher, console: Path) -> None:
        self.pid = 0
        """Of the cage's process."""
        self.qemu = 0
        """Of QEMU itself."""
        self.panicked = False
        self.was_shut_down = False
        self.was_reset = False
        self.status: int | None = None
        self._plugged = 0
        self._loop = asyncio.get_running_loop()
        self._born: asyncio.Future[None] = self._loop.create_future()
        self._started: asyncio.Future[None] = self._loop.create_future()
        self.ended = asyncio.Event()
        self._theirs: list[socket.socket] = []
        self.port = Port(self._pair())
        self.console = Console(self._pair(), console)
        self.control = Control(self._pair(), self._on_event)
        self._channel = Channel(launcher.connect(), self._hear)

    def _pair(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self._theirs.append(theirs)
        return ours

    async def born(self) -> int:
        """The pid of the cage's process, once it exists."""
        await self._born
        return self.pid

    async def start(
        self, plan: cage.Plan, log: Path, held: int, descriptors: Sequence[int] = ()
    ) -> None:
        """Start QEMU with these descriptors besides its three sockets; its cage has `held`."""
        with log.open("ab") as file:
            sockets = [theirs.fileno() for theirs in self._theirs]
            frame: wire.Frame = dataclasses.asdict(plan)
            await self._channel.send(frame, [file.fileno(), held, *sockets, *descriptors])
        self._close_theirs()
        await self.control.execute("qmp_capabilities")
        await self._started

    def _close_theirs(self) -> None:
        for theirs in self._theirs:
            theirs.close()
        self._theirs.clear()

    def _hear(self, frame: wire.Frame | None) -> None:
        match frame:
            case {"event": "born", "pid": int(pid)}:
                self.pid = pid
                _resolve(self._born)
            case {"event": "started", "pid": int(pid)}:
                self.qemu = pid
                _resolve(self._started)
            case {"event": "failed", "text": str(text)}:
                self._end(f"QEMU can't be started: {text}")
            case {"event": "exited", "status": int(status)}:
                self.status = status
                self._end(f"QEMU ended with {status}")
            case _:
                self._end("QEMU's cage ended")

    def _end(self, why: str) -> None:
        for future in (self._born, self._started):
            if not future.done():
                future.set_exception(InfraError(why))
                future.exception()  # it may be that nobody waits for it
        self.port.close(why)
        self.ended.set()

    def _on_event(self, name: str | None, data: Mapping[str, Any]) -> None:
        if name == _PANIC:
            self.panicked = True
            self._loop.call_later(SETTLE, self.console.finish)
            self.port.close("its kernel panicked")
        elif name == _SHUTDOWN and data.get("guest"):
            self.was_shut_down = True
            self.was_reset = data.get("reason") == "guest-reset"
            self.port.close("it was shut down from inside")

    async def dump(self, target: Path, *, timeout: float) -> None:
        """Write the guest's memory to a file that `crash` and `drgn` read; InfraError if not."""
        await self._to_file(
            target,
            "dump-guest-memory",
            timeout,
            paging=False,
            protocol="fd:out",
            format="kdump-zlib",
        )

    async def save(self, target: Path, *, shared_memory: bool, timeout: float) -> None:
        """Write the machine's state, without the memory that is a file of its own, if it is."""
        await self._share_memory(shared_memory)
        limit = {"max-bandwidth": 1 << 40, "downtime-limit": 60_000}
        await self.control.execute("migrate-set-parameters", **limit)
        await self._to_file(target, "migrate", timeout, uri="fd:out")
        async with asyncio.timeout(timeout):
            while (state := await self.control.execute("query-migrate"))["status"] != "completed":
                if state["status"] == "failed":
                    raise InfraError(f"QEMU can't save the machine: {state.get('error-desc')}")
                await asyncio.sleep(0.01)

    async def resume(self, descriptor: int, *, shared_memory: bool) -> None:
        """Go on from a saved state, which is one of the descriptors that QEMU was given."""
        await self._share_memory(shared_memory)
        await self.control.execute("migrate-incoming", uri=f"fd:{descriptor}")

    async def _share_memory(self, is_shared: bool) -> None:
        """Whether the memory is a file of its own, of which a saved state says nothing."""
        capability = {"capability": "x-ignore-shared", "state": is_shared}
        await self.control.execute("migrate-set-capabilities", capabilities=[capability])

    async def _to_file(self, target: Path, command: str, timeout: float, **arguments: Any) -> None:
        descriptor = os.open(target, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            async with asyncio.timeout(timeout):
                await self.control.execute("getfd", descriptor=descriptor, fdname="out")
                await self.control.execute(command, **arguments)
        except TimeoutError:
            raise InfraError(f"QEMU's {command} took longer than {timeout:g} s") from None
        finally:
            os.close(descriptor)

    async def plug(self, name: str, file: int) -> None:
        """Give the guest a disk, read-only, that has a name and is this file."""
        self._plugged += 1
        number = self._plugged
        fdset: dict[str, Any] = {"fdset-id": number}
        await self.control.execute("add-fd", descriptor=file, **fdset)
        source = {"driver": "file", "filename": f"/dev/fdset/{number}", "locking": "off"}
        node: dict[str, Any] = {"node-name": name, "read-only": True, "file": source}
        await self.control.execute("blockdev-add", driver="raw", **node)
        await self.control.execute(
            "device_add", driver="virtio-blk-pci", drive=name, serial=name, id=name
        )

    async def stop(self) -> None:
        """Let QEMU end by itself, if it still obeys, and wait for that a moment."""
        with contextlib.suppress(InfraError, TimeoutError):
            async with asyncio.timeout(2.0):
                await self.control.execute("quit")
                await self.ended.wait()
        self.hang_up()

    def hang_up(self) -> None:
        """Have no more to do with it."""
        self.console.drain()
        self.port.close("it was destroyed")
        self.control.close()
        self.console.close()
        self._channel.close()
        self._close_theirs()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
