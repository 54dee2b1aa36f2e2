"""What QEMU is shut into: the process beside the agent that forks a cage for each machine.

QEMU runs as a user of its own who owns nothing, sees the host's programs and its machine's files
and no more, has its own network, process and IPC namespaces, and can gain no privilege. It imports
the standard library and `inside` alone, as `inside.launch` does, and ends with the agent.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import resource
import signal
import socket
import stat
import subprocess
from pathlib import Path
from typing import NoReturn

from cupel.host.providers.inside import egress, netlink, syscalls, wire
from cupel.host.providers.inside.egress import Policy

_NAMESPACES = (
    # Mounts again: what stays beside QEMU goes on seeing the host's files.
    syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWIPC
)
_PROGRAMS = ("usr", "lib", "lib64", "bin", "nix", "gnu")
_DEVICES = ("null", "zero", "urandom")
_MADE_VICTIM = "500"
_KVM = Path("/dev/kvm")
_FIRST = 3
"""The first of the descriptors that QEMU is given; `qemu.arguments` knows their numbers."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A cage to make. Plain values, so that it travels as JSON.

    `uid` is whom QEMU runs as. `shown` are host's files, where QEMU finds them, and whether it may
    write there. `files` are texts by path.
    """

    argv: list[str]
    directory: str
    uid: int
    shown: list[tuple[str, str, bool]]
    files: dict[str, str]
    init_groups: list[str]
    build_groups: list[str]
    cpus: list[int]
    huge_pages: bool
    network: list[str]
    """The command of the user-space network, to which its last words are added; empty: none."""
    egress: Policy | None
    """What of that network QEMU may reach; None: all of it."""
    unreachable: list[str]


def main(descriptor: int) -> None:
    """Serve the agent: each frame carries the socket of a cage to come."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as agent:
        while (received := wire.receive(agent)) is not None:
            _, (connection,) = received
            if os.fork() == 0:
                agent.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _cage(socket.socket(fileno=connection))
            os.close(connection)


def _cage(agent: socket.socket) -> NoReturn:
    """Make a cage as the agent's first frame says, and say how QEMU ended."""
    os.setsid()
    syscalls.die_with_parent()
    try:
        wire.send(agent, {"event": "born", "pid": os.getpid()})
        received = wire.receive(agent)
        if received is not None:
            # What comes after the log is held open for as long as QEMU lives.
            frame, (log, _, *descriptors) = received
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.close(log)
            wire.send(agent, _hold(_decode(frame), agent, descriptors))
    except ConnectionError:
        pass
    finally:
        os._exit(0)


def _decode(frame: wire.Frame) -> Plan:
    policy = frame["egress"]
    return Plan(**{**frame, "egress": None if policy is None else egress.decode(policy)})


def _hold(plan: Plan, agent: socket.socket, descriptors: list[int]) -> wire.Frame:
    try:
        child = _make(plan, descriptors)
    except (OSError, subprocess.SubprocessError) as error:
        return {"event": "failed", "text": str(error)}
    wire.send(agent, {"event": "started", "pid": child})
    for descriptor in descriptors:
        os.close(descriptor)
    _, status = os.waitpid(child, 0)
    return {"event": "exited", "status": os.waitstatus_to_exitcode(status)}


def _make(plan: Plan, descriptors: list[int]) -> int:
    for procs in plan.init_groups:
        Path(procs).write_text("0")
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    groups = [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in plan.build_groups]
    ours, theirs = socket.socketpair()
    child = syscalls.clone(_NAMESPACES)
    if child == 0:
        ours.close()
        _become(plan, descriptors, groups, theirs)
    theirs.close()
    for group in groups:
        os.close(group)
    _connect(plan, child)
    ours.send(b"g")
    ours.close()
    return child


def _connect(plan: Plan, child: int) -> None:
    """Give the child's network namespace a way out and wait for it."""
    if not plan.network:
        return
    ready, ready_write = os.pipe()
    exit_read, exit_write = os.pipe()
    words = [f"--ready-fd={ready_write}", f"--exit-fd={exit_read}", "--netns-type=path"]
    subprocess.Popen(
        [*plan.network, *words, f"/proc/{child}/ns/net", "tap0"],
        pass_fds=(ready_write, exit_read), stdin=subprocess.DEVNULL, env={},
    )  # fmt: skip
    os.set_inheritable(exit_write, False)  # stays open: its end is the network's end
    os.close(ready_write)
    os.close(exit_read)
    if os.read(ready, 1) != b"1":
        raise OSError("the user-space network did not start")
    os.close(ready)
    if plan.egress is not None:
        # Here and not above: what it imports would make each fork of the launcher dearer.
        from cupel.host.providers.inside import resolver

        resolver.start(f"/proc/{child}/ns/net", plan.egress)


def _become(
    plan: Plan, descriptors: list[int], groups: list[int], parent: socket.socket
) -> NoReturn:
    try:
        syscalls.die_with_parent()
        if not parent.recv(1):
            os._exit(1)
        os.setsid()
        # The agent may be one that the kernel spares; a guest is what it should take instead.
        Path("/proc/self/oom_score_adj").write_text(_MADE_VICTIM)
        _enter(plan)
        for group in groups:
            os.write(group, b"0")
        _place(descriptors)
        _confine(plan)
        os.execve(plan.argv[0], plan.argv, {"PATH": "/usr/bin", "LC_ALL": "C.UTF-8"})  # noqa: S606
    except OSError as error:
        os.write(2, f"QEMU can't be started: {error}\n".encode())
    finally:
        os._exit(127)


def _enter(plan: Plan) -> None:
    """Leave the host's file system for one that shows what QEMU needs."""
    if plan.network:
        netlink.up("lo")
        for network in plan.unreachable:
            netlink.unreachable(network)
    root = Path(plan.directory) / "root"
    root.mkdir(exist_ok=True)
    syscalls.mount("tmpfs", str(root), "tmpfs", syscalls.MS_NOSUID, "mode=755,size=1m")
    for name in _PROGRAMS:
        source = Path("/", name)
        if source.is_symlink():
            (root / name).symlink_to(source.readlink())
        elif source.is_dir():
            _show(str(source), root / name, writable=False)
    for name in _DEVICES:
        if (device := Path("/dev", name)).exists():
            _show(str(device), root / "dev" / name, writable=True)
    if _KVM.exists():  # a node of its own: the host's may be root's alone
        node = root / "dev" / _KVM.name
        os.mknod(node, stat.S_IFCHR | 0o600, _KVM.stat().st_rdev)
        os.chown(node, plan.uid, plan.uid)
    for path, target, writable in plan.shown:
        _show(path, root / target.lstrip("/"), writable=writable)
    for path, text in plan.files.items():
        _made((root / path.lstrip("/")).parent)
        (root / path.lstrip("/")).write_text(text)
    syscalls.mount("proc", str(_made(root / "proc")), "proc", syscalls.MS_RDONLY)
    os.chdir(root)
    syscalls.pivot_root(".", ".")
    syscalls.umount(".", syscalls.MNT_DETACH)
    os.chdir("/")


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _show(source: str, target: Path, *, writable: bool) -> None:
    """Bind a file or a directory, with what is mounted below it left out."""
    _made(target.parent)
    if Path(source).is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    tree = syscalls.open_tree(source)
    if not writable:
        syscalls.mount_setattr(tree, syscalls.MountAttr.RDONLY | syscalls.MountAttr.NOSUID)
    syscalls.move_mount(tree, str(target))
    os.close(tree)


def _place(descriptors: list[int]) -> None:
    """Give the descriptors their numbers and close all others."""
    past = _FIRST + len(descriptors)
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, past) for descriptor in descriptors]
    for number, descriptor in enumerate(high, _FIRST):
        os.dup2(descriptor, number, inheritable=True)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    syscalls.close_from(past)


def _confine(plan: Plan) -> None:
    if plan.cpus:
        os.sched_setaffinity(0, plan.cpus)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.setgroups([])
    os.setresgid(plan.uid, plan.uid, plan.uid)
    os.setresuid(plan.uid, plan.uid, plan.uid)
    syscalls.die_with_parent()  # forgotten by the kernel when the uid changed
    if not plan.huge_pages:
        syscalls.no_huge_pages()
    syscalls.no_new_privileges()
