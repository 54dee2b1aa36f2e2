"""Packs a root filesystem into one read-only file that the kernel mounts: erofs, lz4hc.

Chosen by measurement (docs/explanation/machines.md): squashfs with zstd is smaller by two fifths
and takes seven times as much processor time to make. Erofs can be mapped to a machine's users since
Linux 5.19.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from cupel import process
from cupel.errors import InfraError
from cupel.image import tree

PROGRAM = "mkfs.erofs"
_UUID = "c0ffee00-0000-4000-8000-000000000000"
_TIMEOUT = 3600.0
_PROOF = 30.0


async def pack(source: Path, target: Path, mountpoint: Path, tell: Callable[[str], None]) -> bool:
    """Pack a tree into `target`, always the same for the same tree.

    False where this computer can't make or mount such a file: it says why, and leaves none.
    `mountpoint` is any empty directory, to prove with, in a mount namespace of its own, that the
    kernel mounts the file.
    """
    if shutil.which(PROGRAM) is None:
        tell(
            f"The image stays a directory: there is no {PROGRAM} here (apt-get install erofs-utils)"
        )
        return False
    await process.run(
        [
            PROGRAM, "--quiet", "-zlz4hc", "--preserve-mtime", f"-U{_UUID}", "-x1", target, source,
        ],
        # Bounds times, and dates the file system itself; -T would give that time to every file.
        env={"SOURCE_DATE_EPOCH": str(tree.EPOCH), "PATH": os.environ.get("PATH", os.defpath)},
        timeout=_TIMEOUT,
    )  # fmt: skip
    try:
        await process.run(
            ["unshare", "--mount", "mount", "-t", "erofs", "-o", "ro", target, mountpoint],
            timeout=_PROOF,
        )
    except InfraError as error:
        tell(f"The image stays a directory: {error.hint or error.message}")
        target.unlink()
        return False
    return True
