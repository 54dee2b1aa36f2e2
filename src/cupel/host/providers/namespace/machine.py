"""A namespace machine, as the agent sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from cupel.errors import InfraError
from cupel.host.providers import archive, oom
from cupel.host.providers.inside import plan as plans
from cupel.host.providers.inside import terminal, wire
from cupel.host.providers.inside.plan import Plan
from cupel.host.providers.interface import Size, Stream, Usage
from cupel.host.providers.namespace import cgroups
from cupel.host.providers.namespace.process import NamespaceProcess, NamespaceTalk
from cupel.host.providers.namespace.shell import Shell
from cupel.host.providers.oom import Killed

TERMINAL_SECONDS = 10.0
"""How long a machine may take to make a terminal."""

Lay = Callable[[Shell, Path, Sequence[str]], Awaitable[None]]

STANDBY = 1
"""Processes among those of a build that wait for what it is to run next."""
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


class NamespaceMachine:
    """See `interface.Machine`."""

    def __init__(
        self,
        machine: int,
        *,
        image: str,
        env: Mapping[str, str],
        notes: Sequence[str],
        shell: Shell,
        group: cgroups.Group,
        limits: wire.Frame,
        remove: Callable[[], Awaitable[None]],
        lay: Lay,
    ) -> None:
        self.id = machine
        self.image = image
        self.notes = tuple(notes)
        self.env = {**ENVIRONMENT, **env}
        """What every process gets, unless it is given other values."""
        self.pid = shell.pid
        self.init = shell.init
        """The pid of its process 1, as the host sees it; a child of `pid`."""
        self.shell = shell
        """What it is made of."""
        self._owner = shell.owner
        """Whom pipes are given to, on the host; None: whoever we are."""
        self._group = group
        self._limits = limits
        """Of each process, as its order says them."""
        self._remove = remove
        self._lay = lay
        self._channel = shell.channel
        self._destroyed = False
        self._processes: dict[int, NamespaceProcess] = {}
        self._running: dict[int, NamespaceProcess] = {}
        self._number = 0
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def settle(self, plan: Plan) -> None:
        """Become what the plan says, and wait until that is so."""
        self._channel.on_frame = self._hear
        await self._channel.send(plans.encode(plan))
        await self._ready

    def _hear(self, frame: wire.Frame | None) -> None:
        match frame:
            case None:
                self._fail("it ended before it was ready")
                for process in self._running.values():
                    process.end(None)
                self._running.clear()
            case {"event": "ready"}:
                self._ready.set_result(None)
            case {"event": "failed", "text": str(text)}:
                self._fail(text)
            case {"event": "exited", "number": int(number), "status": int(status)}:
                if (ended := self._running.pop(number, None)) is not None:
                    ended.end(status)

    def _fail(self, why: str) -> None:
        if not self._ready.done():
            self._ready.set_exception(InfraError(why))
            self._ready.exception()  # it may be that nobody waits for it

    async def exec(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        stdin: bytes | None = None,
    ) -> NamespaceProcess:
        descriptor = os.open("/dev/null", os.O_RDONLY) if stdin is None else _in_memory(stdin)
        return await self._exec(argv, env=env, cwd=cwd, stdin=descriptor)

    async def _exec(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str, stdin: int
    ) -> NamespaceProcess:
        """Start a process; takes `stdin` over, which is closed here whatever happens."""
        channel = self._channel
        with contextlib.ExitStack() as ours:
            ours.callback(os.close, stdin)
            if not channel.open:
                raise InfraError(f"machine {self.id} is gone")
            (out, out_inside), (err, err_inside) = os.pipe(), os.pipe()
            ours.callback(os.close, out_inside)
            ours.callback(os.close, err_inside)
            self._number += 1
            number = self._number
            process = NamespaceProcess(
                {out: Stream.OUT, err: Stream.ERR}, lambda: self._kill(number)
            )
            self._processes[number] = self._running[number] = process
            # Owned by the machine's root, who may open them again as /dev/stdout.
            self._give(out_inside)
            self._give(err_inside)
            order = self._order(number, argv, env, cwd)
            await self._tell(process, order, [stdin, out_inside, err_inside])
            return process

    def _order(
        self, number: int, argv: Sequence[str], env: Mapping[str, str], cwd: str
    ) -> wire.Frame:
        return {
            "order": "exec",
            "number": number,
            "argv": list(argv),
            "env": {**self.env, **env},
            "cwd": cwd,
            **self._limits,
        }

    async def _tell(
        self, process: NamespaceProcess, order: wire.Frame, descriptors: Sequence[int]
    ) -> None:
        try:
            await self._channel.send(order, descriptors)
        except BaseException:
            self._running.pop(order["number"], None)
            process.close()
            raise

    async def talk(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str, size: Size | None
    ) -> NamespaceTalk:
        if not self._channel.open:
            raise InfraError(f"machine {self.id} is gone")
        if size is None:
            return await self._talk_by_pipes(argv, env=env, cwd=cwd)
        return await self._talk_at_terminal(argv, env=env, cwd=cwd, size=size)

    async def _talk_by_pipes(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str
    ) -> NamespaceTalk:
        number, process = self._new_talk(at_terminal=False)
        with contextlib.ExitStack() as ours:
            (stdin, feed), (out, out_inside), (err, err_inside) = os.pipe(), os.pipe(), os.pipe()
            for inside in (stdin, out_inside, err_inside):
                ours.callback(os.close, inside)
                self._give(inside)
            process.attach({out: Stream.OUT, err: Stream.ERR}, feed)
            order = self._order(number, argv, env, cwd)
            await self._tell(process, order, [stdin, out_inside, err_inside])
        return process

    def _new_talk(self, *, at_terminal: bool) -> tuple[int, NamespaceTalk]:
        """Known before it is started, as its end may be told before its terminal is here."""
        self._number += 1
        number = self._number
        process = NamespaceTalk(lambda: self._kill(number), at_terminal=at_terminal)
        self._processes[number] = self._running[number] = process
        return number, process

    async def _talk_at_terminal(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str, size: Size
    ) -> NamespaceTalk:
        number, process = self._new_talk(at_terminal=True)
        order = self._order(number, argv, env, cwd) | {"terminal": [size.rows, size.columns]}
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                await self._tell(process, order, [theirs.fileno()])
            master = await _received(ours, self.id)
        process.attach({master: Stream.OUT}, os.dup(master))
        return process

    def _give(self, pipe: int) -> None:
        if self._owner is not None:
            os.fchown(pipe, self._owner, self._owner)

    async def _kill(self, number: int) -> None:
        if self._channel.open:
            with contextlib.suppress(InfraError):  # gone with the machine: just as dead
                await self._channel.send({"order": "kill", "number": number})

    async def copy_in(self, tar: AsyncIterator[bytes], target: str) -> None:
        stdin, feed = os.pipe()
        self._give(stdin)
        os.set_blocking(feed, False)
        try:
            argv = archive.unpacking(target)
            process = await self._exec(argv, env={}, cwd="/", stdin=stdin)
        except BaseException:
            os.close(feed)
            raise
        try:
            async with asyncio.TaskGroup() as group:
                errors = group.create_task(archive.said(process))
                await _pour(tar, feed)
        except ExceptionGroup as failed:
            await process.kill()
            raise failed.exceptions[0] from None
        what = f"unpacking to {target} on machine {self.id}"
        await archive.succeeded(process, errors.result(), what)

    async def copy_out(self, source: str, *, smallest_first: bool = False) -> AsyncIterator[bytes]:
        packing = archive.packing(source, smallest_first=smallest_first)
        process = await self.exec(packing, env={}, cwd="/")
        what = f"packing {source} on machine {self.id}"
        async with contextlib.aclosing(archive.packed(process, what)) as pieces:
            async for piece in pieces:
                yield piece

    @property
    def lays(self) -> bool:
        return self._owner is not None  # without ids of its own, the agent is not root

    async def lay(self, image: Path, paths: Sequence[str]) -> None:
        if self._destroyed:
            raise InfraError(f"machine {self.id} is gone")
        await self._lay(self.shell, image, paths)

    def usage(self) -> Usage:
        if self._destroyed:
            raise InfraError(f"machine {self.id} is gone")
        read, written = self._group.moved()
        processes = self._group.processes()
        return Usage(
            cpu_seconds=self._group.cpu_seconds(),
            memory_peak=self._group.memory_peak(),
            oom_kills=self._group.oom_kills(),
            memory=self._group.memory_now(),
            processes=None if processes is None else max(processes - STANDBY, 0),
            disk=self._group.disk(),
            waits=(
                self._group.waits("cpu"),
                self._group.waits("memory"),
                self._group.waits("io"),
            ),
            read=read,
            written=written,
        )

    async def fault(self) -> str | None:
        return None  # the kernel is the host's: what runs in it can't end it

    def casualties(self) -> Sequence[Killed]:
        path = self._group.path
        return [] if path is None else oom.parse(oom.kernel_log(), path)

    def records(self) -> Mapping[str, Path]:
        return {}

    async def destroy(self) -> None:
        self.hang_up()
        await self._remove()

    def hang_up(self) -> None:
        """Tell the machine to end, and have no more to do with it."""
        self._destroyed = True
        self._channel.close()
        for process in self._processes.values():
            process.close()
        self._processes.clear()


async def _received(line: socket.socket, machine: int) -> int:
    """The other end of a terminal that the machine's init makes."""
    try:
        async with asyncio.timeout(TERMINAL_SECONDS):
            await _readable(line)
        master = terminal.receive(line)
    except (OSError, TimeoutError) as error:
        why = str(error) or "it does not answer"
        raise InfraError(f"machine {machine} has no terminal: {why}") from error
    if os.fstat(master).st_rdev != terminal.MULTIPLEXER:
        os.close(master)
        raise InfraError(f"machine {machine} has no terminal: what it gave is none")
    return master


async def _readable(line: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(line, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(line)


def _in_memory(data: bytes) -> int:
    descriptor = os.memfd_create("stdin")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


async def _pour(source: AsyncIterator[bytes], pipe: int) -> None:
    """Write a stream to a pipe at the pace of its reader, until either ends."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(pipe, "wb", buffering=0)
    )
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    try:
        async for data in source:
            writer.write(data)
            await writer.drain()
    except (BrokenPipeError, ConnectionResetError):
        return
    finally:
        writer.close()
