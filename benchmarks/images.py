"""Compares file systems for images: size, and time to make, to mount and to read all at first.

    benchmarks/images.py TREE        a root filesystem as a directory; as root

Needs erofs-utils and squashfs-tools. All mounts are made in a mount namespace of its own.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EROFS = ["mkfs.erofs", "--quiet", "-T1", "--preserve-mtime", "-x1"]
SQUASHFS = ["-noappend", "-quiet", "-no-progress", "-mkfs-time", "1"]
TURNS = 5


def main(tree: Path) -> None:
    print("| | size | to make | mount | read all, first time |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for name, kind, command in formats(tree, Path(scratch) / "image"):
            file = Path(scratch) / "image"
            file.unlink(missing_ok=True)
            before = os.times()
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            wall = time.perf_counter() - began
            after = os.times()
            cpu = after.children_user + after.children_system
            cpu -= before.children_user + before.children_system
            mounted, read = measure(kind, file, Path(scratch) / "mnt")
            size = file.stat().st_size / 1e6
            print(
                f"| {name} | {size:.0f} MB | {wall:.1f} s ({cpu:.1f} s of processor) |"
                f" {mounted * 1e3:.1f} ms | {read:.2f} s |",
                flush=True,
            )


def formats(tree: Path, file: Path) -> list[tuple[str, str, list[str]]]:
    target = [str(file), str(tree)]
    squash = ["mksquashfs", str(tree), str(file), *SQUASHFS]
    return [
        ("erofs, uncompressed", "erofs", [*EROFS, *target]),
        ("erofs, lz4hc", "erofs", [*EROFS, "-zlz4hc", *target]),
        ("squashfs, lz4hc", "squashfs", [*squash, "-comp", "lz4", "-Xhc"]),
        ("squashfs, zstd", "squashfs", [*squash, "-comp", "zstd"]),
    ]


def measure(kind: str, file: Path, mountpoint: Path) -> tuple[float, float]:
    """Medians of seconds to mount, and to read everything with nothing of the file in memory."""
    mountpoint.mkdir(exist_ok=True)
    mounts, reads = [], []
    for _ in range(TURNS):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        began = time.perf_counter()
        subprocess.run(["mount", "-t", kind, "-o", "ro", str(file), str(mountpoint)], check=True)
        mounts.append(time.perf_counter() - began)
        began = time.perf_counter()
        for directory, _, names in os.walk(mountpoint):
            for name in names:
                path = Path(directory, name)
                if path.is_file() and not path.is_symlink():
                    path.read_bytes()
        reads.append(time.perf_counter() - began)
        subprocess.run(["umount", str(mountpoint)], check=True)
    return statistics.median(mounts), statistics.median(reads)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if "CUPEL_PRIVATE" not in os.environ:
        command = ["unshare", "--mount", sys.executable, *sys.argv]
        os.execvpe("unshare", command, {**os.environ, "CUPEL_PRIVATE": "1"})
    main(Path(sys.argv[1]))
