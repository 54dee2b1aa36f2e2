"""Lays directories of a read-only image into a machine that exists, each by copy-on-write.

It is a fork of the launcher, which is root still, and ends when that is done. In the mount
namespace of the machine's process, where its disk is, it makes the overlays; the machine's root
owns what is written to them. Then it enters the machine and puts them in their places, as that root
and no more: nothing that a path of the machine leads to is beyond it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import NoReturn

from cupel.host.providers.inside import rootfs, syscalls, wire

_QUIET = syscalls.MS_NOSUID | syscalls.MS_NODEV


def main(agent: socket.socket) -> NoReturn:
    """Do what the agent's only frame says, and answer."""
    try:
        received = wire.receive(agent)
        if received is None:
            os._exit(0)
        frame, (outer, users, inner) = received
        try:
            syscalls.setns(outer, syscalls.CLONE_NEWNS)
            trees = _layers(frame, users)
            _enter(users, inner)
            for path, tree in zip(frame["paths"], trees, strict=True):
                _put(tree, path)
        except OSError as error:
            wire.send(agent, {"event": "failed", "text": str(error)})
        else:
            wire.send(agent, {"event": "laid"})
    finally:
        os._exit(0)


def _layers(frame: wire.Frame, users: int) -> list[int]:
    """An overlay for each of the image's directories, not attached yet."""
    directory = Path(frame["directory"])
    lower, whole = directory / "cache", directory / "cached"
    for path in (lower, whole):
        path.mkdir(mode=0o700, exist_ok=True)
    rootfs.mount_image(frame["image"], str(lower))
    tree = rootfs.shown(str(lower), users)
    syscalls.umount(str(lower), syscalls.MNT_DETACH)
    syscalls.move_mount(tree, str(lower))
    try:
        return [
            _layer(
                lower / str(number),
                directory / "disk" / f"{frame['name']}-{number}",
                whole,
                frame["base"],
            )
            for number in range(len(frame["paths"]))
        ]
    finally:
        syscalls.umount(str(lower), syscalls.MNT_DETACH)


def _layer(lower: Path, disk: Path, whole: Path, base: int) -> int:
    top = lower.lstat()
    for path in (disk, disk / "upper", disk / "work"):
        path.mkdir(mode=0o755)
    os.chown(disk / "upper", top.st_uid, top.st_gid)
    (disk / "upper").chmod(top.st_mode & 0o1777)
    os.chown(disk / "work", base, base)
    layers = f"lowerdir={lower},upperdir={disk / 'upper'},workdir={disk / 'work'}"
    options = f"{layers},redirect_dir=on,volatile"
    syscalls.mount("overlay", str(whole), "overlay", _QUIET, options)
    try:
        return syscalls.open_tree(str(whole))
    finally:
        syscalls.umount(str(whole), syscalls.MNT_DETACH)


def _enter(users: int, inner: int) -> None:
    """Be the machine's root, where it is."""
    syscalls.setns(users, syscalls.CLONE_NEWUSER)
    syscalls.setns(inner, syscalls.CLONE_NEWNS)
    with contextlib.suppress(PermissionError):  # not every machine has groups
        os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _put(tree: int, path: str) -> None:
    Path(path).mkdir(parents=True, exist_ok=True)
    if os.path.realpath(path) != path:
        raise OSError(f"{path} leads through a symbolic link")
    syscalls.move_mount(tree, path)
    os.close(tree)
