"""The machine's init: process 1 of its pid namespace, and the agent's hand in it.

It is the same Python process that was forked for the machine: all modules are loaded before the
host's files go out of sight. It ends when the agent's socket closes; the kernel then kills all
that is left in the machine. A build can't signal it (process 1), trace it or read its memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import signal
import socket
import traceback
from pathlib import Path
from typing import NoReturn

from cupel.host.providers.inside import confine, netlink, syscalls, terminal, wire
from cupel.host.providers.inside import plan as plans
from cupel.host.providers.inside.plan import Plan, Shell
from cupel.host.providers.inside.standby import Standby, become, join, stand_ready

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
# Addresses and pages of the kernel, keys of other users, what other machines do, firmware.
_MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/bootconfig", "/proc/bus", "/proc/config.gz", "/proc/fs",
    "/proc/interrupts", "/proc/irq", "/proc/kallsyms", "/proc/kcore", "/proc/key-users",
    "/proc/keys", "/proc/kmsg", "/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags",
    "/proc/latency_stats", "/proc/modules", "/proc/sched_debug", "/proc/scsi", "/proc/slabinfo",
    "/proc/sysrq-trigger", "/proc/timer_list", "/proc/timer_stats", "/proc/vmallocinfo",
    "/sys/bus/pci", "/sys/devices/virtual/powercap", "/sys/firmware", "/sys/fs", "/sys/hypervisor",
    "/sys/kernel", "/sys/module", "/sys/power",
)  # fmt: skip
_MOST_DESCRIPTORS = 250
"""As many as the kernel lets travel with one message, nearly."""
_WATCHES_OF_A_USER = "32"
_REST = 5
"""Milliseconds without anything to do, after which it is time for a standby."""


@dataclasses.dataclass(frozen=True, slots=True)
class Groups:
    """The control groups of the machine as open files: their paths are not to be seen inside."""

    init: list[int]
    build: list[int]

    @classmethod
    def open(cls, shell: Shell) -> Groups:
        return cls(
            [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in shell.init_groups],
            [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in shell.build_groups],
        )

    def close(self) -> None:
        for descriptor in (*self.init, *self.build):
            os.close(descriptor)


def main(shell: Shell, agent: socket.socket, groups: Groups, parent: socket.socket) -> NoReturn:
    """Become the init of a machine and serve the agent until it goes away."""
    try:
        syscalls.die_with_parent()
        with parent:
            settler = _lay_out(shell, groups, agent, parent)
        # From here on nothing is changed but by the settler. What builds are forked of has given up
        # what they must not have, and with it what they share: the bounds of Landlock, within which
        # alone init may kill them.
        confine.for_good(keep_core_limit=shell.keep_core_limit)
        standby = Standby.fork(groups.build)
        _, status = os.waitpid(settler, 0)
        if status == 0:
            wire.send(agent, {"event": "ready"})
            Init(agent, groups.build, standby).serve()
    except OSError as error:
        _fail(agent, error)
    finally:
        os._exit(0)


def _fail(agent: socket.socket, error: OSError) -> None:
    traceback.print_exc()
    with contextlib.suppress(OSError):
        wire.send(agent, {"event": "failed", "text": str(error)})


def _lay_out(shell: Shell, groups: Groups, agent: socket.socket, parent: socket.socket) -> int:
    """Make all that does not depend on whose machine it is to be; the pid of the settler."""
    # At once after the parent has joined: the kernel waits long for the first of several only.
    join(groups.build)
    syscalls.unshare(syscalls.CLONE_NEWCGROUP)
    join(groups.init)
    if (received := wire.receive(parent)) is None:
        os._exit(0)
    _, (root,) = received
    if shell.has_many_ids:  # with one alone, groups can't be left
        os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    syscalls.die_with_parent()  # forgotten by the kernel when the uid changed
    syscalls.hide_memory()
    os.fchdir(root)  # before the mounts are copied, so that the copy is where we are
    os.close(root)
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    _change_root(shell)
    netlink.up("lo")
    pid = os.fork()
    if pid == 0:
        _wait_to_settle(agent, parent)
    return pid


def _wait_to_settle(agent: socket.socket, parent: socket.socket) -> NoReturn:
    """Be the process that makes what is laid out the machine of a plan, and ends then."""
    try:
        if (received := wire.receive(parent, _MOST_DESCRIPTORS)) is not None:
            frame, held = received
            _settle(plans.decode(frame), held)
            os._exit(0)
    except OSError as error:
        _fail(agent, error)
    finally:
        os._exit(1)


def _settle(plan: Plan, held: list[int]) -> None:
    """Be the machine of a plan; `held` are files to copy and directories to show, in this order."""
    copies, trees = held[: len(plan.copies)], held[len(plan.copies) :]
    _write_files(plan, copies)
    shared = syscalls.MS_NOSUID | syscalls.MS_NODEV
    size = f"mode=1777,size={plan.shared_memory},nr_inodes={plan.shared_memory >> 14}"
    syscalls.mount("tmpfs", "/dev/shm", "tmpfs", shared, size)  # noqa: S108
    for (_, target), tree in zip(plan.binds, trees, strict=True):
        Path(target).mkdir(parents=True, exist_ok=True)
        syscalls.move_mount(tree, target)
        os.close(tree)
    socket.sethostname(plan.name)
    for network in plan.unreachable:
        netlink.unreachable(network)


def _write_files(plan: Plan, copies: list[int]) -> None:
    for path, text in plan.files.items():
        _write(path, text.encode())
    for path, source in zip(plan.copies, copies, strict=True):
        with os.fdopen(source, "rb") as file:
            _write(path, file.read())


def _write(path: str, data: bytes) -> None:
    """Write a file in the place of the image's, which may be a link that leads anywhere."""
    target = Path("/", path.strip("/"))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.write_bytes(data)


def _change_root(shell: Shell) -> None:
    """Make the file system that we are in the only one."""
    devices = {name: syscalls.open_tree(f"/dev/{name}") for name in _DEVICES}
    # The kernel locks mounts that come from a namespace of more privilege; a copy is not locked.
    root = syscalls.open_tree(".")
    syscalls.move_mount(root, ".")
    os.fchdir(root)
    os.close(root)
    syscalls.pivot_root(".", ".")
    # From here on every path is the machine's own. The host's tree still lies on top of it, out
    # of reach but there: the kernel lets us mount /proc and /sys only while it sees the host's.
    _mount_kernel_files(rootless=shell.rootless)
    _mount_devices(shell, devices)
    _mask()
    syscalls.umount(".", syscalls.MNT_DETACH)
    os.chdir("/")


def _mount_kernel_files(*, rootless: bool) -> None:
    quiet = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    for path in ("/proc", "/sys", "/dev"):
        Path(path).mkdir(exist_ok=True)
    syscalls.mount("proc", "/proc", "proc", quiet)
    syscalls.mount("sysfs", "/sys", "sysfs", quiet | syscalls.MS_RDONLY)
    # User namespaces inside would hand builds the kernel's whole attack surface.
    syscalls.offer("/proc/sys/user/max_user_namespaces", "0")
    if rootless:  # they count as the user's, who has 128 by default
        syscalls.offer("/proc/sys/user/max_inotify_instances", _WATCHES_OF_A_USER)
    syscalls.offer("/proc/sys/net/ipv4/ping_group_range", "0 65535")
    syscalls.mount("/proc/sys", "/proc/sys", None, syscalls.MS_BIND)
    read_only = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY
    syscalls.mount("none", "/proc/sys", None, read_only | quiet)


def _mask() -> None:
    """Hide what the kernel tells of itself and of the computer: files as empty, directories too."""
    options = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC | syscalls.MS_RDONLY
    nothing: str | None = None
    for path in filter(os.path.exists, _MASKED):
        if not Path(path).is_dir():
            syscalls.mount("/dev/null", path, None, syscalls.MS_BIND)
        elif nothing is None:
            syscalls.mount("tmpfs", path, "tmpfs", options, "mode=555,size=4k,nr_inodes=1")
            nothing = path
        else:
            syscalls.mount(nothing, path, None, syscalls.MS_BIND)


def _mount_devices(shell: Shell, devices: dict[str, int]) -> None:
    plain = syscalls.MS_NOSUID | syscalls.MS_NOEXEC
    syscalls.mount("tmpfs", "/dev", "tmpfs", plain, "mode=755,size=64k,nr_inodes=256")
    for name, tree in devices.items():
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666))
        syscalls.move_mount(tree, f"/dev/{name}")
        os.close(tree)
    for name, target in _LINKS.items():
        Path(f"/dev/{name}").symlink_to(target)
    for name in ("pts", "shm"):
        Path(f"/dev/{name}").mkdir()
    terminals = "newinstance,ptmxmode=666,mode=620,max=256"
    if shell.has_many_ids:
        terminals += ",gid=5"
    syscalls.mount("devpts", "/dev/pts", "devpts", plain, terminals)


class Init:
    """Starts what the agent asks for, says how it ended, and reaps everything."""

    def __init__(self, agent: socket.socket, groups: list[int], standby: Standby | None) -> None:
        self._agent = agent
        self._groups = groups
        self._standby = standby
        self._wants_standby = False
        self._started: dict[int, int] = {}
        """The agent's number of each process that it asked for, by pid."""

    def serve(self) -> None:
        wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        poll = select.poll()
        poll.register(self._agent, select.POLLIN)
        poll.register(wake_read, select.POLLIN)
        while True:
            events = poll.poll(_REST if self._wants_standby else None)
            if not events:
                self._wants_standby = False
                self._standby = Standby.fork(self._groups)
            for descriptor, _ in events:
                if descriptor == wake_read:
                    os.read(wake_read, 4096)
                    self._reap()
                elif not self._obey():
                    return

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self._standby is not None and pid == self._standby.pid:
                self._standby.close()
                self._standby = None
            number = self._started.pop(pid, None)
            if number is not None:
                code = os.waitstatus_to_exitcode(status)
                wire.send(self._agent, {"event": "exited", "number": number, "status": code})

    def _obey(self) -> bool:
        received = wire.receive(self._agent)
        if received is None:
            return False
        frame, descriptors = received
        if frame["order"] == "exec":
            self._exec(frame, descriptors)
        else:
            self._kill(frame["number"])
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def _kill(self, number: int) -> None:
        for pid, known in self._started.items():
            if known == number:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)

    def _exec(self, frame: wire.Frame, descriptors: list[int]) -> None:
        if frame.get("terminal") is None:
            self._start(frame, descriptors)
            return
        try:
            slave = terminal.make(*frame["terminal"], to=descriptors[0])
        except OSError as error:
            terminal.refuse(error, to=descriptors[0])
            wire.send(self._agent, {"event": "exited", "number": frame["number"], "status": 126})
            return
        self._start(frame, [slave, slave, slave])
        os.close(slave)

    def _start(self, frame: wire.Frame, descriptors: list[int]) -> None:
        standby, self._standby = self._standby, None
        self._wants_standby = True
        if standby is not None and standby.take(frame, descriptors):
            self._started[standby.pid] = frame["number"]
            return
        try:
            pid = os.fork()
        except OSError as error:
            os.write(descriptors[2], f"cupel: can't start a process: {error}\n".encode())
            wire.send(self._agent, {"event": "exited", "number": frame["number"], "status": 126})
            return
        if pid == 0:
            try:
                stand_ready(self._groups)
                become(frame, descriptors)
            finally:
                os._exit(126)
        self._started[pid] = frame["number"]
