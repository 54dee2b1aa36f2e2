"""The least that a machine of namespaces takes: its system calls, and nothing else.

A small process of its own, as forking a large one costs more. For each line that it reads it makes
one machine as Cupel's are made (user, pid, mount, network, uts, ipc and cgroup namespaces; limits
of memory and processes; an overlay in memory on an id-mapped image; a new root with /proc) without
an agent, a filter, devices or any check, lets it print a word, and says the seconds until then.

    bare.py ROOTFS SCRATCH GROUP...
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from cupel.host.providers.inside import rootfs, syscalls

BASE, UIDS = 1_879_048_192, 65536
NAMESPACES = (
    syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC
)
LIMITS = {
    "memory.limit_in_bytes": str(512 << 20),
    "memory.max": str(512 << 20),
    "pids.max": "256",
}


def user_namespace() -> int:
    """One for all machines, as an open file."""
    ready, wait = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        os.write(ready[1], b"r")
        os.read(wait[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    for table in ("uid_map", "gid_map"):
        Path(f"/proc/{child}/{table}").write_text(f"0 {BASE} {UIDS}")
    found = os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    os.write(wait[1], b"g")
    os.waitpid(child, 0)
    for descriptor in (*ready, *wait):
        os.close(descriptor)
    return found


def make(number: int, image: str, scratch: Path, groups: list[Path], users: int) -> float:
    """Seconds until the word is there."""
    begin = time.perf_counter()
    mine = [group / f"bare{number}" for group in groups]
    for group in mine:
        group.mkdir()
        for name, value in LIMITS.items():
            if (group / name).exists():
                (group / name).write_text(value)
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            become(image, scratch, mine, users, into)
        finally:
            os._exit(1)
    os.close(into)
    said = os.read(out, 16)
    seconds = time.perf_counter() - begin
    os.close(out)
    os.waitpid(child, 0)
    for group in mine:
        group.rmdir()
    if said != b"ready\n":
        sys.exit("a bare machine can't be made here")
    return seconds


def become(image: str, scratch: Path, groups: list[Path], users: int, out: int) -> None:
    for group in groups:
        (group / "cgroup.procs").write_text("0")
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("tmpfs", str(scratch), "tmpfs", 0, "size=1g")
    for name in ("lower", "upper", "work", "root"):
        (scratch / name).mkdir()
        os.chown(scratch / name, BASE, BASE)
    syscalls.move_mount(rootfs.shown(image, users), str(scratch / "lower"))
    layers = ",".join(f"{name}dir={scratch / name}" for name in ("lower", "upper", "work"))
    syscalls.mount("overlay", str(scratch / "root"), "overlay", 0, layers)
    os.chdir(scratch / "root")
    syscalls.setns(users, syscalls.CLONE_NEWUSER)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    first = syscalls.clone(NAMESPACES)
    if first:
        os.waitpid(first, 0)
        os._exit(0)
    syscalls.unshare(syscalls.CLONE_NEWCGROUP | syscalls.CLONE_NEWNS)
    root = syscalls.open_tree(".")
    syscalls.move_mount(root, ".")
    os.fchdir(root)
    syscalls.pivot_root(".", ".")
    syscalls.mount("proc", "/proc", "proc", 0)
    syscalls.umount(".", syscalls.MNT_DETACH)
    os.chdir("/")
    os.dup2(out, 1)
    os.execv("/bin/echo", ["echo", "ready"])


def main() -> None:
    image, scratch, *groups = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    users = user_namespace()
    for number, _ in enumerate(sys.stdin):
        print(
            make(number, image, Path(scratch), [Path(each) for each in groups], users), flush=True
        )


if __name__ == "__main__":
    main()
