"""Lays directories of a disk that the host has plugged in over paths, each by copy-on-write."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from cupel.host.providers.inside import syscalls

_PATIENCE = 10.0
_PAUSE = 0.005
_PLACE = "/run/cupel"
_QUIET = syscalls.MS_NOSUID | syscalls.MS_NODEV


def lay(name: str, paths: Sequence[str]) -> None:
    """Lay directory `N` of the disk of that name over the Nth path. Raises `OSError`."""
    lower, disk, whole = (f"{_PLACE}/{part}" for part in ("lower", "disk", "whole"))
    for path in (lower, disk, whole):
        os.makedirs(path, mode=0o700, exist_ok=True)  # noqa: PTH103 - less code to translate
    device = _device(name)
    # The disk is mounted already, where nobody sees it: this is another way to it.
    syscalls.mount(_device("disk"), disk, "ext4", syscalls.MS_NODEV | syscalls.MS_NOATIME)
    try:
        syscalls.mount(device, lower, "erofs", syscalls.MS_RDONLY | _QUIET)
        try:
            for number, path in enumerate(paths):
                _lay(f"{lower}/{number}", f"{disk}/{name}-{number}", whole, path)
        finally:
            syscalls.umount(lower, syscalls.MNT_DETACH)
    finally:
        syscalls.umount(disk, syscalls.MNT_DETACH)


def _lay(lower: str, disk: str, whole: str, path: str) -> None:
    os.makedirs(path, exist_ok=True)  # noqa: PTH103
    if os.path.realpath(path) != path:
        raise OSError(f"{path} leads through a symbolic link")
    top = os.stat(lower)  # noqa: PTH116
    upper, work = f"{disk}/upper", f"{disk}/work"
    for made in (disk, upper, work):
        os.mkdir(made, 0o755)  # noqa: PTH102
    os.chown(upper, top.st_uid, top.st_gid)
    os.chmod(upper, top.st_mode & 0o1777)  # noqa: PTH101
    options = f"lowerdir={lower},upperdir={upper},workdir={work},volatile"
    syscalls.mount("overlay", whole, "overlay", _QUIET, options)
    syscalls.mount(whole, path, None, syscalls.MS_MOVE)


def _device(name: str) -> str:
    """The device of a disk that the host named so, once it has appeared."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        for path in sorted(Path("/sys/block").glob("vd*/serial")):
            if path.read_text().strip() == name:
                return f"/dev/{path.parent.name}"
        time.sleep(_PAUSE)
    raise OSError(f"there is no disk {name}")
