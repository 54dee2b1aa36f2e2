"""The system calls that Python has no function for. Every failure is an `OSError` that says where.

Numbers from 424 on are the same on every architecture; the others are called through libc.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import errno
import os
import signal
import struct
from collections.abc import Iterator

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_NOATIME = 0x400
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MNT_DETACH = 0x2

_OPEN_TREE_CLONE = 0x1
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_MOVE_MOUNT_F_EMPTY_PATH = 0x4

_POWER_OFF = 0x4321FEDC

_SYS_FINIT_MODULE = 313
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_CLONE3 = 435
_SYS_CLOSE_RANGE = 436
_SYS_MOUNT_SETATTR = 442

_CAPABILITIES_OF_64_BITS = 0x20080522
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_THP_DISABLE = 41
_PR_SET_SECUREBITS = 28
_NO_SETUID_FIXUP = 4

# The GIL stays held: `clone3` returns twice, and the child must find it as its parent left it.
_libc = ctypes.PyDLL(None, use_errno=True)


class MountAttr(enum.IntFlag):
    """Attributes for `mount_setattr`."""

    RDONLY = 0x1
    NOSUID = 0x2
    NODEV = 0x4
    IDMAP = 0x100000


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def mount(
    source: str, target: str, kind: str | None = None, flags: int = 0, data: str | None = None
) -> None:
    done = _libc.mount(
        source.encode(),
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )
    _checked(done, f"mount {kind or 'bind'} on {target}")


def load_module(descriptor: int) -> None:
    """Load a kernel module from an open file, unless it is there already. x86-64 only."""
    done = _syscall(_SYS_FINIT_MODULE, descriptor, b"", 0)
    if done < 0 and ctypes.get_errno() != errno.EEXIST:
        _checked(done, "finit_module")


def power_off() -> None:
    _checked(_libc.reboot(_POWER_OFF), "reboot")


def umount(target: str, flags: int = 0) -> None:
    _checked(_libc.umount2(os.fsencode(target), flags), f"umount {target}")


def pivot_root(new_root: str, put_old: str) -> None:
    done = _libc.pivot_root(os.fsencode(new_root), os.fsencode(put_old))
    _checked(done, f"pivot_root to {new_root}")


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags), f"unshare {flags:#x}")


def setns(namespace: int, kind: int) -> None:
    """Join the namespace that a descriptor stands for."""
    _checked(_libc.setns(namespace, kind), f"setns {kind:#x}")


def clone(flags: int) -> int:
    """Fork into new namespaces: 0 in the child, its pid in the parent. One thread must exist."""
    arguments = struct.pack("=8Q", flags, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    return _checked(_syscall(_SYS_CLONE3, arguments, len(arguments)), f"clone3 {flags:#x}")


def open_tree(path: str) -> int:
    """A detached copy of the mount at `path`, as a descriptor that dies with the program."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
    tree = _syscall(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags)
    return _checked(tree, f"open_tree {path}")


def move_mount(tree: int, target: str) -> None:
    """Attach a detached mount at `target`."""
    done = _syscall(
        _SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH
    )
    _checked(done, f"move_mount to {target}")


def mount_setattr(tree: int, attributes: MountAttr, user_namespace: int = 0) -> None:
    """Set attributes of a detached mount; `user_namespace` is a descriptor, for IDMAP."""
    arguments = struct.pack("=4Q", attributes, 0, 0, user_namespace)
    done = _syscall(_SYS_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, arguments, len(arguments))
    _checked(done, f"mount_setattr {attributes!r}")


def close_from(first: int) -> None:
    """Close every descriptor from `first` on."""
    _checked(_syscall(_SYS_CLOSE_RANGE, first, 0xFFFFFFFF, 0), "close_range")


def put(path: str, text: str) -> None:
    """Write to a file of the kernel's, at once."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def offer(path: str, text: str) -> None:
    """Write to a file of the kernel's, if it takes it."""
    with contextlib.suppress(OSError):
        put(path, text)


def die_with_parent() -> None:
    """SIGKILL for this process when the thread that forked it ends."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def child_signals() -> int:
    """A descriptor that is readable when a child has ended; SIGCHLD does not come otherwise.

    What this process starts has to unblock it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    mask = struct.pack("=16Q", 1 << signal.SIGCHLD - 1, *[0] * 15)
    return _checked(_libc.signalfd(-1, mask, os.O_CLOEXEC | os.O_NONBLOCK), "signalfd")


def hide_memory() -> None:
    """Nobody but real root may trace this process or read its memory."""
    prctl(_PR_SET_DUMPABLE, 0)


def no_huge_pages() -> None:
    """No huge pages for this process and what it executes."""
    prctl(_PR_SET_THP_DISABLE, 1)


def no_new_privileges() -> None:
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_from_bounding_set(capability: int) -> None:
    prctl(_PR_CAPBSET_DROP, capability)


@contextlib.contextmanager
def acting_as(uid: int) -> Iterator[None]:
    """Be another effective user, with root's capabilities nevertheless."""
    prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        prctl(_PR_SET_SECUREBITS, 0)


def limit_capabilities(mask: int) -> None:
    """Keep none but the capabilities of a bit mask, and let none be inherited."""
    header = struct.pack("=Ii", _CAPABILITIES_OF_64_BITS, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    _checked(_libc.capset(header, struct.pack("=6I", low, low, 0, high, high, 0)), "capset")


def prctl(option: int, value: int, third: int | bytes = 0) -> None:
    argument = ctypes.c_ulong(third) if isinstance(third, int) else third
    done = _libc.prctl(option, ctypes.c_ulong(value), argument, 0, 0)
    _checked(done, f"prctl {option} {value}")


def call(number: int, *arguments: int | bytes, what: str) -> int:
    """A call by its number, from 424 on; `what` is for the error."""
    return _checked(_syscall(number, *arguments), what)


def _syscall(number: int, *arguments: int | bytes) -> int:
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *words)
    return result
