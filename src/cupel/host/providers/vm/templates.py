"""Templates: machines that stand, saved so that clones of them start in a twentieth of a second.

A template's memory is a sealed file in memory: clones map it copy-on-write, and not even a QEMU
that a build has taken over can write to what its siblings run on. (A file on a disk would do once
QEMU 8.2, which can open it for reading alone, is everywhere.) On the disk is a copy for the next
life of the agent.

vm/templates/<key>/memory, devices, disk, console.log
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from cupel import logger
from cupel.errors import InfraError
from cupel.host.providers.inside import rootfs
from cupel.host.providers.vm.qemu import Shape

log = logger.of(__name__)

HELD = 6
"""Templates whose memory is kept at hand; those used longest ago are read again when needed."""
_SEALS = 0x1 | 0x2 | 0x4 | 0x8  # against more seals, shrinking, growing and writing
_F_ADD_SEALS = 1033


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """All that a template depends on. `software` is QEMU, kernel and agent; `disk` in bytes."""

    image: str
    shape: Shape
    disk: int
    software: str

    @property
    def name(self) -> str:
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """`memory` is a descriptor of the sealed file; the paths are files to start a clone with."""

    memory: int
    devices: Path
    disk: Path
    console: Path


Make = Callable[[Path, int], Awaitable[None]]
"""Boots a machine with its files in a directory and its memory in a descriptor, and saves it."""


class Templates:
    """The templates of a state directory; each is made once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: collections.OrderedDict[str, Template] = collections.OrderedDict()
        self._locks: collections.defaultdict[str, asyncio.Lock] = collections.defaultdict(
            asyncio.Lock
        )

    def has(self, key: Key) -> bool:
        return (self._directory / key.name).is_dir()

    async def get(self, key: Key, make: Make) -> Template:
        """The template of a key, made if it is not there; InfraError if that fails."""
        async with self._locks[key.name]:
            if key.name not in self._held:
                await self._hold(key, make)
            self._held.move_to_end(key.name)
            return self._held[key.name]

    async def _hold(self, key: Key, make: Make) -> None:
        path = self._directory / key.name
        if path.is_dir():
            memory = await asyncio.to_thread(_load, path / "memory", key.shape.memory)
        else:
            memory = await self._make(path, key, make)
        self._held[key.name] = Template(
            memory=memory,
            devices=path / "devices",
            disk=path / "disk",
            console=path / "console.log",
        )
        while len(self._held) > HELD:
            _, oldest = self._held.popitem(last=False)
            os.close(oldest.memory)

    async def _make(self, path: Path, key: Key, make: Make) -> int:
        self._sweep(key)
        new = path.with_suffix(f".{os.getpid()}")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True, mode=0o700)
        memory = _memory(key.shape.memory)
        try:
            await make(new, memory)
            fcntl.fcntl(memory, _F_ADD_SEALS, _SEALS)
            await asyncio.to_thread(_save, memory, new / "memory")
            (new / "key.json").write_text(json.dumps(dataclasses.asdict(key)))
            with contextlib.suppress(OSError):  # another process was faster
                new.rename(path)
        except BaseException as error:
            os.close(memory)
            shutil.rmtree(new, ignore_errors=True)
            if isinstance(error, OSError):
                raise InfraError(f"a template of machines can't be made: {error}") from error
            raise
        return memory

    def _sweep(self, key: Key) -> None:
        """Remove templates that older software made: none of them can be used again."""
        for path in self._directory.glob("*/key.json"):
            if json.loads(path.read_text())["software"] != key.software:
                log.info("template of other software removed", path=str(path.parent))
                shutil.rmtree(path.parent, ignore_errors=True)

    def close(self) -> None:
        for template in self._held.values():
            os.close(template.memory)
        self._held.clear()


def _memory(size: int) -> int:
    descriptor = os.memfd_create("cupel-template", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    return descriptor


def _save(memory: int, target: Path) -> None:
    rootfs.copy_sparse(Path(f"/proc/self/fd/{memory}"), target)


def _load(source: Path, size: int) -> int:
    descriptor = _memory(size)
    try:
        with source.open("rb") as file:
            for start, end in rootfs.extents(file.fileno()):
                position = start
                while position < end:
                    # Not copy_file_range, which file systems refuse between each other.
                    os.lseek(descriptor, position, os.SEEK_SET)
                    position += os.sendfile(descriptor, file.fileno(), position, end - position)
        fcntl.fcntl(descriptor, _F_ADD_SEALS, _SEALS)
    except OSError as error:
        os.close(descriptor)
        raise InfraError(f"{source} can't be read: {error}") from error
    return descriptor
