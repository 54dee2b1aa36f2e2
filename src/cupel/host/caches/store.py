"""The caches that are kept on this computer: a read-only image each, by the name that it was saved
under.

A name is there when its image is whole and on the disk; until then it is a file of `incoming`,
which is cleared by the next life. What a machine has in use can be removed: it goes on with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import struct
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path

from cupel import process
from cupel.errors import InfraError, UserError
from cupel.host.providers import interface

SECONDS = 900.0
"""What saving one may take."""

IDLE_SECONDS = 3600.0
"""One that no build has used for so long goes when the disk is nearly full."""

_NAME = re.compile(r"[0-9]{1,20}\.[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SOURCES = Path(__file__).parents[3]
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from cupel.host.caches import pack; pack.main(int(sys.argv[2]), int(sys.argv[3]))"
)
_LENGTH = struct.Struct("!I")
_LEAST_FREE = 2 << 30
"""Bytes of the disk that saving leaves free."""


class Caches:
    """The store in a directory, which one agent has for itself. `now` is as `time.time`."""

    def __init__(self, directory: Path, *, now: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._incoming = directory / "incoming"
        self._now = now
        shutil.rmtree(self._incoming, ignore_errors=True)  # what an earlier life did not finish

    def names(self) -> tuple[str, ...]:
        found = self._directory.iterdir() if self._directory.is_dir() else ()
        return tuple(sorted(path.name for path in found if _NAME.fullmatch(path.name)))

    def find(self, name: str) -> Path | None:
        """The image of this name, which counts as used now; None if there is none (any more)."""
        path = self._path(name)
        try:
            os.utime(path, (self._now(), self._now()))
        except FileNotFoundError:
            return None
        return path

    def remove(self, name: str) -> None:
        """Remove it, if it is there."""
        self._path(name).unlink(missing_ok=True)

    def prune(self) -> list[str]:
        """Remove what was not used lately; the names."""
        since = self._now() - IDLE_SECONDS
        idle = [name for name in self.names() if self._path(name).stat().st_mtime <= since]
        for name in idle:
            self.remove(name)
        return idle

    async def save(
        self, name: str, directories: Sequence[AsyncIterator[bytes]], *, limit: int
    ) -> int:
        """Keep what these tars hold; the bytes that it takes.

        Raises `UserError` for what can't be kept, or not within `limit` bytes, and `InfraError`.
        Nothing stays of it then.
        """
        target = self._path(name)
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        room = shutil.disk_usage(self._incoming).free - _LEAST_FREE
        if room <= 0:
            raise InfraError("the disk has too little room")
        incoming = self._incoming / name
        try:
            with incoming.open("x+b") as file:
                await self._pack(directories, file.fileno(), min(limit, room))
                size = os.fstat(file.fileno()).st_size
            incoming.rename(target)
            await asyncio.to_thread(_sync, self._directory)
        finally:
            incoming.unlink(missing_ok=True)
        return size

    async def _pack(
        self, directories: Sequence[AsyncIterator[bytes]], file: int, limit: int
    ) -> None:
        words = (str(_SOURCES), str(len(directories)), str(limit))
        argv = ["nice", sys.executable, "-I", "-S", "-c", _PROGRAM, *words]
        async with contextlib.aclosing(_framed(directories)) as pieces:
            packed = await process.pour(
                argv, pieces, file, env={"PATH": os.defpath}, timeout=SECONDS
            )
        if packed.exit_status != 0:
            said = packed.err.decode(errors="replace").strip().splitlines()
            raise UserError(said[-1] if said else "what is in it can't be kept")

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise InfraError(f"{name!r} is no name of a cache")
        return self._directory / name


async def _framed(directories: Sequence[AsyncIterator[bytes]]) -> AsyncGenerator[bytes, None]:
    """The tars as `pack` reads them."""
    for each in directories:
        async with interface.closing(each) as tar:
            async for data in tar:
                yield _LENGTH.pack(len(data)) + data
        yield _LENGTH.pack(0)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
