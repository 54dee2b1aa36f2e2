"""Process 1 of a virtual machine: loads drivers, lays out the root, and serves the host.

It runs from the initial RAM file system, with an interpreter that came with it. Everything is
imported before that file system goes out of sight. The kernel's command line says `cupel.init=`:
a program of the image that shall become process 1 (systemd), else this stays it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import traceback
from pathlib import Path
from typing import NoReturn

from cupel.host.providers.inside import netlink, syscalls
from cupel.host.providers.vm.guest import frames
from cupel.host.providers.vm.guest.agent import Agent, Group

_MODULES = Path("/cupel/modules")
_ROOT = "/root"
_PATIENCE = 10.0
_BLKFLSBUF = 0x1261
_SYSTEM_SECONDS = "120"
_QUIET = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
_PLAIN = syscalls.MS_NOSUID | syscalls.MS_NOEXEC
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}


def main() -> NoReturn:
    try:
        _main()
    except BaseException:
        traceback.print_exc()
    finally:
        # Were process 1 to end, the kernel would panic, which is for builds to be blamed for.
        if os.getpid() == 1:
            syscalls.power_off()
        os._exit(1)


def _main() -> None:
    for name in ("proc", "sys", "dev"):
        Path(f"/{name}").mkdir(exist_ok=True)
    syscalls.mount("proc", "/proc", "proc", _QUIET)
    syscalls.mount("sysfs", "/sys", "sysfs", _QUIET)
    syscalls.mount("devtmpfs", "/dev", "devtmpfs", _PLAIN)
    _load_modules()
    port = _open_port()
    _lay_out()
    program = _option("cupel.init")
    if program and os.fork() > 0:
        os.execv(program, [program])  # noqa: S606
    if program:
        os.setsid()
        Path("/proc/self/oom_score_adj").write_text("-1000")
        _await_system()
    netlink.up("lo")
    Agent(port, Group(), is_init=not program).serve()


def _load_modules() -> None:
    for line in (_MODULES / "order").read_text().split():
        descriptor = os.open(_MODULES / line, os.O_RDONLY | os.O_CLOEXEC)
        syscalls.load_module(descriptor)
        os.close(descriptor)


def _open_port() -> int:
    """The port to the host. It can be opened once only: nobody else gets at it."""
    for path in _eventually("the port", "/sys/class/virtio-ports/*/name"):
        if path.read_text().strip() == frames.PORT:
            flags = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK
            return os.open(f"/dev/{path.parent.name}", flags)
    raise OSError(f"there is no port {frames.PORT}")


def _disk(serial: str) -> str:
    """The device of a disk that the host named so."""
    for path in _eventually("a disk", "/sys/block/vd*/serial"):
        if path.read_text().strip() == serial:
            device = f"/dev/{path.parent.name}"
            with Path(device).open("rb") as file:
                fcntl.ioctl(file, _BLKFLSBUF)
            return device
    raise OSError(f"there is no disk {serial}")


def _eventually(what: str, pattern: str) -> list[Path]:
    deadline = time.monotonic() + _PATIENCE
    while not (found := sorted(Path("/").glob(pattern.lstrip("/")))):
        if time.monotonic() > deadline:
            raise OSError(f"{what} does not appear")
        time.sleep(0.01)
    return found


def _lay_out() -> None:
    """Mount the root, an overlay of the disk on the image, and make it the only one."""
    for path in ("/image", "/disk", _ROOT):
        Path(path).mkdir(exist_ok=True)
    image = _option("cupel.image")
    syscalls.mount(_disk("image"), "/image", image, syscalls.MS_RDONLY | syscalls.MS_NODEV)
    syscalls.mount(
        _disk("disk"), "/disk", "ext4", syscalls.MS_NODEV | syscalls.MS_NOATIME, "noinit_itable"
    )
    for name in ("upper", "work"):
        Path(f"/disk/{name}").mkdir(mode=0o755, exist_ok=True)
    layers = "lowerdir=/image,upperdir=/disk/upper,workdir=/disk/work,volatile"
    syscalls.mount("overlay", _ROOT, "overlay", 0, layers)
    for name in ("proc", "sys", "dev"):
        Path(f"{_ROOT}/{name}").mkdir(exist_ok=True)
        syscalls.mount(f"/{name}", f"{_ROOT}/{name}", None, syscalls.MS_MOVE)
    os.chdir(_ROOT)
    syscalls.mount(".", "/", None, syscalls.MS_MOVE)
    os.chroot(".")
    os.chdir("/")
    _mount_the_rest()


def _mount_the_rest() -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    shared = syscalls.MS_NOSUID | syscalls.MS_NODEV
    for name in ("dev/pts", "dev/shm", "run", "sys/fs/cgroup"):
        Path(f"/{name}").mkdir(parents=True, exist_ok=True)
    syscalls.mount("devpts", "/dev/pts", "devpts", _PLAIN, "ptmxmode=666,mode=620,gid=5")
    size = f"size={memory}"
    syscalls.mount("tmpfs", "/dev/shm", "tmpfs", shared, f"mode=1777,{size}")  # noqa: S108
    syscalls.mount("tmpfs", "/run", "tmpfs", shared, f"mode=755,{size}")
    syscalls.mount("cgroup2", "/sys/fs/cgroup", "cgroup2", _QUIET, "favordynmods")
    for name, target in _LINKS.items():
        with contextlib.suppress(FileExistsError):
            Path(f"/dev/{name}").symlink_to(target)


def _await_system() -> None:
    """Until the image's own init says that everything is started, or will not be."""
    command = ["timeout", _SYSTEM_SECONDS, "systemctl", "is-system-running", "--wait"]
    deadline = time.monotonic() + _PATIENCE
    while not Path("/run/systemd/private").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.spawnvp(os.P_WAIT, command[0], command)  # noqa: S606


def _option(name: str) -> str:
    words = Path("/proc/cmdline").read_text().split()
    found = [word.partition("=")[2] for word in words if word.startswith(f"{name}=")]
    return found[-1] if found else ""


if __name__ == "__main__":
    main()
