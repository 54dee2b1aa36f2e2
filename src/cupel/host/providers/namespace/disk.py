"""The limited disk of a machine: an ext4 file system in a sparse file, else memory."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

from cupel import process

RESERVE = 1 << 30
"""Bytes of the host's disk that machines leave alone."""
SMALLEST = 64 << 20
TOOLS = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
# No journal and no reserve: a crash ends the machine anyway, and its root is not real root.
_OPTIONS = ("-q", "-F", "-b", "4096", "-m", "0", "-O", "^has_journal,^resize_inode")
_EXTENDED = "lazy_itable_init=1,nodiscard"


def tool() -> str | None:
    """Where mkfs.ext4 is; None where machines' files must stay in memory."""
    if not os.access("/dev/loop-control", os.W_OK):
        return None
    return shutil.which("mkfs.ext4", path=TOOLS)


def available(wanted: int, state: Path) -> int:
    """How many bytes of `wanted` a machine may have, so that the host keeps its reserve."""
    free = shutil.disk_usage(state).free - RESERVE
    if free >= wanted:
        return wanted
    # Powers of two, so that a filling disk does not ask for a new template with each machine.
    return 1 << (free.bit_length() - 1) if free > 0 else 0


class Templates:
    """Empty file systems, made once for each size and copied in a millisecond."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._making = asyncio.Lock()

    async def get(self, size: int) -> Path:
        path = self._directory / f"ext4-{size}.img"
        async with self._making:
            if not path.exists():
                await self._make(path, size)
        return path

    async def _make(self, path: Path, size: int) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.truncate(size)
        mkfs = tool()
        assert mkfs is not None
        await process.run([mkfs, *_OPTIONS, "-E", _EXTENDED, temporary], timeout=60)
        temporary.replace(path)
