"""The launcher: a small process beside the agent that forks a process for each machine.

It imports nothing but the standard library, so a machine costs a fork of few pages instead of the
start of an interpreter; and nothing that has work to do in every fork: not `threading`, nor
`subprocess` with it, nor `random`. A machine's process (still real root) lays out the root file
system in its own mount namespace, starts the user-space network, and waits for the machine's init,
its child in the machine's namespaces, to end.

Images are mounted by the launcher, each once, in a mount namespace of its own that machines copy:
nobody else sees these mounts, and they end with it, or when the image is deleted. When the agent
dies, its sockets close: the launcher and every init see that and end, and with an init everything
that it started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket

from cupel.host.providers.inside import init, layers, rootfs, syscalls, wire, wires
from cupel.host.providers.inside import plan as plans
from cupel.host.providers.inside.plan import Plan, Shell

_NAMESPACES = (
    syscalls.CLONE_NEWUSER
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWIPC
)


_HELPERS = {"wires": wires.main, "layers": layers.main}
"""What is done for machines that exist, by a fork that ends with it."""


def main(descriptor: int) -> None:
    """Serve the agent: each frame carries the socket of a machine to make."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the agent alone
    syscalls.unshare(syscalls.CLONE_NEWNS)
    # What the host mounts from now on comes in; what is mounted here does not go out.
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_SLAVE)
    with socket.socket(fileno=descriptor) as agent:
        while (received := wire.receive(agent)) is not None:
            frame, (connection,) = received
            if frame.keys() & _HELPERS.keys():
                if os.fork() == 0:
                    agent.close()
                    (work,) = (_HELPERS[name] for name in frame)
                    work(socket.socket(fileno=connection))
                os.close(connection)
                continue
            lacking = _mount(frame.get("file"), frame.get("at"))
            if os.fork() == 0:
                agent.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _machine(socket.socket(fileno=connection), lacking)
            os.close(connection)


def _mount(file: str | None, at: str | None) -> str | None:
    """Mount the file of an image unless it is; why that can't be done."""
    if file is None or at is None or os.path.ismount(at):
        return None
    try:
        rootfs.mount_image(file, at)
    except OSError as error:
        return f"the image can't be mounted: {error}"
    return None


def _machine(agent: socket.socket, lacking: str | None) -> None:
    """Make one machine as the agent's frames say; never returns.

    `lacking` is why there is no image for it.
    """
    os.setsid()
    try:
        wire.send(agent, {"event": "born", "pid": os.getpid()})
        frame, (log, *held) = _next(agent)
        os.dup2(log, 2)
        os.close(log)
        shell = Shell(**frame)
        if lacking is not None:
            raise OSError(lacking)
        child, line = _lay_out(shell, agent, held)
        wire.send(agent, {"event": "laid out", "init": child})
        frame, _ = _next(agent)
        _settle(plans.decode(frame), child, line, mapped=not shell.rootless)
    except OSError as error:
        with contextlib.suppress(OSError):  # whoever wanted a machine may be gone
            wire.send(agent, {"event": "failed", "text": str(error)})
        os._exit(1)
    agent.close()
    os.waitpid(child, 0)
    rootfs.abandon(shell)
    os._exit(0)


def _next(agent: socket.socket) -> tuple[wire.Frame, list[int]]:
    received = wire.receive(agent)
    if received is None:
        raise ConnectionError("nobody wants the machine any more")
    return received


def _lay_out(shell: Shell, agent: socket.socket, held: list[int]) -> tuple[int, socket.socket]:
    """Make all of a machine that does not say whose it is: its init's pid, and our line to it."""
    for procs in shell.init_groups:
        syscalls.put(procs, "0")
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    ours, theirs = socket.socketpair()
    groups = init.Groups.open(shell)
    with syscalls.acting_as(shell.base):
        # The kernel counts what the machine's namespaces hold (inotify instances above all)
        # against their maker: that is to be the machine's own id and not the host's root.
        child = syscalls.clone(_NAMESPACES)
        if child == 0:
            ours.close()
            for descriptor in held:
                os.close(descriptor)
            init.main(shell, agent, groups, theirs)
    theirs.close()
    groups.close()
    for table in ("uid_map", "gid_map"):
        lines = (" ".join(map(str, entry)) for entry in shell.ids)
        syscalls.put(f"/proc/{child}/{table}", "\n".join(lines))
    root = rootfs.assemble(shell, None if shell.rootless else _users(child))
    # The init may not walk the host's paths to its root.
    wire.send(ours, {}, [os.open(root, os.O_PATH | os.O_DIRECTORY)])
    return child, ours


def _users(child: int) -> int:
    return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)


def _settle(plan: Plan, child: int, line: socket.socket, *, mapped: bool) -> None:
    """Make what is laid out the machine of a plan."""
    network = _start_network(plan, child)
    users = _users(child) if mapped else None
    descriptors = [
        *(os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in plan.copies.values()),
        *(rootfs.shown(source, users) for source, _ in plan.binds),
    ]
    if network is not None:
        _await_network(network)
    if plan.egress is not None:
        # Here and not above: what it imports would make each fork of the launcher dearer.
        from cupel.host.providers.inside import resolver

        resolver.start(f"/proc/{child}/ns/net", plan.egress)
    with line:
        wire.send(line, plans.encode(plan), descriptors)


def _start_network(plan: Plan, child: int) -> int | None:
    """Start the network of the child's network namespace; where it says that it is ready."""
    if not plan.network:
        return None
    ready_read, ready_write = os.pipe()
    exit_read, _ = os.pipe()
    command = [
        *plan.network,
        f"--ready-fd={ready_write}",
        f"--exit-fd={exit_read}",
        f"--userns-path=/proc/{child}/ns/user",
        "--netns-type=path",
        f"/proc/{child}/ns/net",
        "tap0",
    ]
    # It ends when the write end of the exit pipe, which stays open here, closes with us.
    for descriptor in (ready_write, exit_read):
        os.set_inheritable(descriptor, True)
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, 2, 1)]
    os.posix_spawn(command[0], command, {}, file_actions=actions)
    os.close(ready_write)
    os.close(exit_read)
    return ready_read


def _await_network(ready: int) -> None:
    if os.read(ready, 1) != b"1":
        raise OSError("the user-space network did not start")
    os.close(ready)
