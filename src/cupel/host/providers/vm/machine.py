"""A virtual machine, as the agent sees it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from cupel import logger
from cupel.config.egress import Allowed, Ports
from cupel.errors import InfraError, UserError
from cupel.host.providers import archive, oom
from cupel.host.providers.interface import Size, Usage
from cupel.host.providers.namespace import cgroups
from cupel.host.providers.namespace.machine import ENVIRONMENT
from cupel.host.providers.oom import Killed
from cupel.host.providers.vm.port import VmProcess
from cupel.host.providers.vm.qemu import Accelerator, Shape
from cupel.host.providers.vm.running import SETTLE, Running

log = logger.of(__name__)

DUMP_LIMIT = 256 << 20
"""Bytes of a memory dump, at most; a larger one is not kept."""
DUMP_SECONDS = 60.0
CHECKPOINT_SECONDS = 300.0
LAY_SECONDS = 30.0
_PANIC = re.compile(r"Kernel panic - not syncing: ([^\r\n]*)")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a machine is known by on its host; a checkpoint keeps it.

    `network` and `allow` are as in `MachineSpec`.
    """

    image: str
    shape: Shape
    env: tuple[tuple[str, str], ...]
    cpus: float
    pids: int
    network: str = "none"
    allow: tuple[Allowed, ...] = ()

    @property
    def is_connected(self) -> bool:
        return self.network != "none"


def read(checkpoint: Path) -> Identity:
    """What was saved. Raises `OSError` and others of what is no checkpoint."""
    found = json.loads((checkpoint / "machine.json").read_text())
    shape = found["shape"] | {"accelerator": Accelerator(found["shape"]["accelerator"])}
    env = tuple((name, value) for name, value in found["env"])
    allow = tuple(
        Allowed(host=each["host"], ports=_ports(each["ports"])) for each in found["allow"]
    )
    return Identity(**(found | {"shape": Shape(**shape), "env": env, "allow": allow}))


def _ports(saved: Sequence[Sequence[int]]) -> Ports:
    return tuple((first, last) for first, last in saved)


class VmMachine:
    """See `interface.Machine`."""

    def __init__(
        self,
        machine: int,
        identity: Identity,
        directory: Path,
        running: Running,
        *,
        notes: Sequence[str],
        group: cgroups.Group,
        remove: Callable[[], Awaitable[None]],
    ) -> None:
        self.id = machine
        self.image = identity.image
        self.notes = tuple(notes)
        self.env = {**ENVIRONMENT, **dict(identity.env)}
        self.running = running
        self.identity = identity
        self._directory = directory
        self._group = group
        self._remove = remove
        self._layers = 0
        self._destroyed = False

    async def exec(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        stdin: bytes | None = None,
    ) -> VmProcess:
        process = await self._exec(argv, env=env, cwd=cwd, stdin=stdin is not None)
        if stdin is not None:
            # No more than fits is sent before anybody reads: its reader may be another task.
            await process.feed(_once(stdin))
        return process

    async def talk(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str, size: Size | None
    ) -> VmProcess:
        return await self._exec(argv, env=env, cwd=cwd, stdin=True, size=size)

    async def _exec(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        stdin: bool,
        size: Size | None = None,
    ) -> VmProcess:
        self._check()
        whole = {**self.env, **env}
        return await self.running.port.exec(
            argv, env=whole, cwd=cwd, pids=self.identity.pids, stdin=stdin, size=size
        )

    def _check(self) -> None:
        if self._destroyed:
            raise InfraError(f"machine {self.id} is gone")

    async def copy_in(self, tar: AsyncIterator[bytes], target: str) -> None:
        process = await self._exec(archive.unpacking(target), env={}, cwd="/", stdin=True)
        try:
            async with asyncio.TaskGroup() as group:
                errors = group.create_task(archive.said(process))
                await process.feed(tar)
        except ExceptionGroup as failed:
            with contextlib.suppress(InfraError):
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
        return True

    async def lay(self, image: Path, paths: Sequence[str]) -> None:
        self._check()
        self._layers += 1
        name = f"cache{self._layers}"
        try:
            descriptor = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UserError(f"{image} can't be opened: {error.strerror}") from error
        try:
            async with asyncio.timeout(LAY_SECONDS):
                await self.running.plug(name, descriptor)
                why = await self.running.port.lay(name, paths)
        except TimeoutError:
            why = f"the machine has not taken a disk within {LAY_SECONDS:g} s"
        finally:
            os.close(descriptor)
        if why is not None:
            raise UserError(why)

    def usage(self) -> Usage:
        """Cpu and peak as the guest says at the end of each process; the rest is QEMU's own."""
        self._check()
        read, written = self._group.moved()
        return dataclasses.replace(
            self.running.port.usage,
            cpu_of_host=self._group.cpu_seconds(),
            memory=self._group.memory_now(),
            disk=_occupied(self._directory / "disk.img"),
            waits=(
                self._group.waits("cpu"),
                self._group.waits("memory"),
                self._group.waits("io"),
            ),
            read=read,
            written=written,
        )

    async def fault(self) -> str | None:
        if self._destroyed:
            return None
        await asyncio.sleep(SETTLE)
        self.running.console.drain()
        if self.running.panicked:
            found = _PANIC.findall(self.running.console.tail)
            await self._dump()
            return f"the machine's kernel panicked: {found[-1] if found else 'it did not say why'}"
        if self.running.was_shut_down:
            return "the machine was shut down or restarted by what ran in it"
        return None

    async def _dump(self) -> None:
        """Keep the memory of a machine whose kernel has panicked, if that is not too much."""
        target = self._directory / "memory.dump"
        try:
            await self.running.dump(target, timeout=DUMP_SECONDS)
            if target.stat().st_size > DUMP_LIMIT:
                raise InfraError(f"it has more than {DUMP_LIMIT >> 20} MiB")
        except (InfraError, OSError) as error:
            log.warning("no memory dump", machine=self.id, error=str(error))
            target.unlink(missing_ok=True)

    def casualties(self) -> Sequence[Killed]:
        self.running.console.drain()
        return oom.parse(self.running.console.tail)

    def records(self) -> Mapping[str, Path]:
        self.running.console.drain()
        names = ("console.log", "memory.dump")
        return {name: path for name in names if (path := self._directory / name).exists()}

    async def checkpoint(self, target: Path) -> None:
        """Save memory and disk to a new directory, for `VmProvider.reopen`; it stands still then.

        Raises `InfraError`; what was written is removed then.
        """
        self._check()
        new = target.with_name(f"{target.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True, mode=0o700)
        try:
            await self.running.save(new / "state", shared_memory=False, timeout=CHECKPOINT_SECONDS)
            for name in ("disk.img", "console.log"):
                await asyncio.to_thread(shutil.copyfile, self._directory / name, new / name)
            (new / "machine.json").write_text(json.dumps(dataclasses.asdict(self.identity)))
            new.rename(target)
        except (InfraError, OSError) as error:
            shutil.rmtree(new, ignore_errors=True)
            raise InfraError(f"machine {self.id} can't be saved: {error}") from error
        finally:
            self.running.port.close("it was saved to be opened again")

    async def destroy(self) -> None:
        self.hang_up()
        await self._remove()

    def hang_up(self) -> None:
        self._destroyed = True
        self.running.hang_up()


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _occupied(file: Path) -> int | None:
    """Bytes of the disk that a sparse file takes."""
    with contextlib.suppress(OSError):
        return file.stat().st_blocks * 512
    return None
