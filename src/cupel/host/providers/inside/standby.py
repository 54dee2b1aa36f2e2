"""A process of the build's that is there before there is anything to run.

To fork takes longer than to hand over an order. Above all, a process that joins a control group
makes the kernel wait until every cpu has passed through its scheduler, ten milliseconds on an idle
computer. So init keeps a process that has joined already.

A build may do to it what root may do to any process: kill it, or stop it. It runs nothing before it
has answered init and has heard from it again, so that one which does not answer in time can be
killed and another be forked, and nothing ever runs twice.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
from typing import NoReturn

from cupel.host.providers.inside import syscalls, terminal, wire

_ANSWER = 0.05
"""Seconds that it has to answer in."""
_YES = b"."
_MADE_VICTIM = "500"
"""Added to the badness of what a build starts, so that the kernel kills it and not its init."""
_SOCKET = 3
_DEFAULTS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
"""All signals do what they do by themselves: the interpreter and the launcher change some, and an
agent that was started with nohup, or in the background of a script, would hand on that it ignores
others."""


class Standby:
    """One of them, as its init sees it."""

    def __init__(self, pid: int, sock: socket.socket) -> None:
        self.pid = pid
        self._sock = sock

    @classmethod
    def fork(cls, groups: list[int]) -> Standby | None:
        """Fork one into these control groups; None where no more processes can be had."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                pid = os.fork()
            except OSError:
                ours.close()
                return None
            if pid == 0:
                _wait(theirs, groups)
        ours.settimeout(_ANSWER)
        return cls(pid, ours)

    def take(self, frame: wire.Frame, descriptors: list[int]) -> bool:
        """Have it become what the frame says; False if it will not, ever."""
        with self._sock, contextlib.suppress(OSError):
            wire.send(self._sock, frame, descriptors)
            if self._sock.recv(1) == _YES:
                self._sock.sendall(_YES)
                return True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return False

    def close(self) -> None:
        self._sock.close()


def _wait(sock: socket.socket, groups: list[int]) -> NoReturn:
    try:
        stand_ready(groups)
        os.dup2(sock.detach(), _SOCKET, inheritable=False)
        syscalls.close_from(_SOCKET + 1)
        init = socket.socket(fileno=_SOCKET)
        received = wire.receive(init)
        if received is None:
            os._exit(0)
        frame, descriptors = received
        init.sendall(_YES)
        if init.recv(1) == _YES:
            become(frame, descriptors)
    finally:
        os._exit(126)


def join(groups: list[int]) -> None:
    for procs in groups:
        os.write(procs, b"0")


def stand_ready(groups: list[int]) -> None:
    """Do, in a fork of init, what does not depend on what it is to run."""
    signal.set_wakeup_fd(-1)
    os.setsid()
    join(groups)
    for number in _DEFAULTS:
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)


def become(frame: wire.Frame, descriptors: list[int]) -> NoReturn:
    """Run what an order of the agent says, with the descriptors as stdin, stdout and stderr."""
    argv: list[str] = frame["argv"]
    try:
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target)
        syscalls.close_from(3)
        if frame.get("terminal") is not None:
            terminal.take(0)
        # Not before: to kill what only waits gives back next to nothing.
        syscalls.offer("/proc/self/oom_score_adj", _MADE_VICTIM)
        if frame["cpus"]:
            os.sched_setaffinity(0, frame["cpus"])
        for name, value in frame["rlimits"].items():
            resource.setrlimit(getattr(resource, name), (value, value))
        os.chdir(frame["cwd"])
        os.execvpe(argv[0], argv, frame["env"])  # noqa: S606
    except OSError as error:
        where = error.filename or argv[0]
        os.write(2, f"cupel: can't start {argv[0]}: {where}: {error.strerror}\n".encode())
        os._exit(127 if error.errno == errno.ENOENT else 126)
    finally:
        os._exit(126)
