"""A machine's root file system: a limited disk laid over an image by copy-on-write.

All mounts are made in the machine's private mount namespace: they vanish with its processes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cupel.host.providers.inside import syscalls
from cupel.host.providers.inside.plan import Shell

_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LO_FLAGS_READ_ONLY = 1
_LO_FLAGS_AUTOCLEAR = 4
_LOOP_CONFIG = struct.Struct("=II 5Q4I64s64s32s2Q 8Q")
_EXT4_IOC_SHUTDOWN = 0x8004587D
_WITHOUT_FLUSH = struct.pack("=I", 2)
_PIECE = 4 << 20
_ATTEMPTS = 100

# A machine's disk never outlives it: nothing needs to be on the platter at any moment.
_EXT4_OPTIONS = "nobarrier,noinit_itable,noauto_da_alloc"


def assemble(shell: Shell, user_namespace: int | None) -> Path:
    """Mount a machine's root; the path. Its root user owns new files.

    `user_namespace` is a descriptor of the machine's; None: its ids are ours.
    """
    directory = Path(shell.directory)
    disk, lower, root = directory / "disk", directory / "lower", directory / "root"
    for path in (disk, lower, root):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    _mount_disk(shell, directory, disk)
    upper, work = disk / "upper", disk / "work"
    for path in (upper, work):
        path.mkdir(mode=0o755)
        os.chown(path, shell.base, shell.base)
    # The upper must not be mapped: an overlay with a mapped upper silently becomes read-only.
    syscalls.move_mount(shown(shell.image, user_namespace), str(lower))
    layers = f"lowerdir={lower},upperdir={upper},workdir={work}"
    own = "userxattr" if shell.rootless else "redirect_dir=on"
    syscalls.mount("overlay", str(root), "overlay", 0, f"{layers},{own},volatile")
    return root


def mount_image(file: str, target: str) -> None:
    """Mount the file of an image, read-only, in the mount namespace that we are in."""
    flags = syscalls.MS_RDONLY | syscalls.MS_NODEV | syscalls.MS_NOSUID
    try:
        syscalls.mount(file, target, "erofs", flags)
    except OSError as error:
        if error.errno != errno.ENOTBLK:  # kernels before 6.12 want a block device
            raise
    else:
        return
    with Path(file).open("rb") as image:
        device, loop = _attach(image.fileno(), _LO_FLAGS_READ_ONLY)
    try:
        syscalls.mount(device, target, "erofs", flags)
    finally:
        os.close(loop)


def abandon(shell: Shell) -> None:
    """Drop what the machine wrote and has not reached its disk: nobody will ever read it."""
    if shell.disk_template is not None:
        disk = os.open(Path(shell.directory) / "disk", os.O_RDONLY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # it is written out then, which is slow but right
            fcntl.ioctl(disk, _EXT4_IOC_SHUTDOWN, _WITHOUT_FLUSH)
        os.close(disk)


def shown(source: str, user_namespace: int | None) -> int:
    """A read-only mount of a directory, not attached yet, whose root user is the machine's."""
    tree = syscalls.open_tree(source)
    attributes = syscalls.MountAttr
    flags = attributes.RDONLY | attributes.NODEV | attributes.NOSUID
    if user_namespace is not None:
        flags |= attributes.IDMAP
    syscalls.mount_setattr(tree, flags, user_namespace or 0)
    return tree


def _mount_disk(shell: Shell, directory: Path, target: Path) -> None:
    if shell.disk_template is None:
        size = f"size={shell.disk_size},nr_inodes={shell.disk_size >> 13}"
        syscalls.mount("tmpfs", str(target), "tmpfs", syscalls.MS_NODEV, size)
        return
    path = directory / f"disk-{os.getpid()}.img"
    with path.open("x+b") as image:
        # Without a name the space is free again the moment that the machine's mounts are gone,
        # even when nobody is left to clean up, and what was written need not reach the disk.
        path.unlink()
        with Path(shell.disk_template).open("rb") as empty:
            _copy(empty, image)
        device, loop = _attach(image.fileno())
    try:
        syscalls.mount(
            device, str(target), "ext4", syscalls.MS_NODEV | syscalls.MS_NOATIME, _EXT4_OPTIONS
        )
    finally:
        os.close(loop)


def copy_sparse(source: Path, target: Path) -> None:
    """Copy the parts of a file that hold data to a new file; the rest stays a hole."""
    with source.open("rb") as old, target.open("xb") as new:
        _copy(old, new)


def _copy(old: BinaryIO, new: BinaryIO) -> None:
    new.truncate(os.fstat(old.fileno()).st_size)
    for start, end in extents(old.fileno()):
        new.seek(start)
        for position in range(start, end, _PIECE):
            new.write(os.pread(old.fileno(), min(_PIECE, end - position), position))
    new.flush()


def extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """Where a file holds data: the first byte of each part, and the one after its last."""
    position = 0
    while True:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        position = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, position


def _attach(image: int, flags: int = 0) -> tuple[str, int]:
    """A free loop device with the file in it, and its descriptor; it frees itself when unused."""
    with Path("/dev/loop-control").open("rb") as control:
        for _ in range(_ATTEMPTS):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            device = f"/dev/loop{number}"
            mode = os.O_RDONLY if flags & _LO_FLAGS_READ_ONLY else os.O_RDWR
            loop = os.open(device, mode | os.O_CLOEXEC)
            try:
                fcntl.ioctl(loop, _LOOP_CONFIGURE, _loop_config(image, flags))
            except OSError as error:
                os.close(loop)
                if error.errno != errno.EBUSY:  # another took it first
                    raise
            else:
                return device, loop
    raise OSError(errno.EBUSY, "no loop device is free")


def _loop_config(image: int, flags: int) -> bytes:
    info = (0, 0, 0, 0, 0, 0, 0, 0, _LO_FLAGS_AUTOCLEAR | flags, b"", b"", b"", 0, 0)
    return _LOOP_CONFIG.pack(image, 4096, *info, *(0,) * 8)
