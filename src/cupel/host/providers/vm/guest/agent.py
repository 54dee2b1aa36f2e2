"""The host's hand in a virtual machine: starts what it is told to and carries what that writes.

An emulated clone has to translate every instruction before it can run it for the first time, and
that of an interpreter is most of what a clone does. So this asks for little: the kernel tells of
ends by a descriptor, files stay open, and what can be worked out on the host is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import functools
import gc
import json
import marshal
import os
import select
import signal
import struct
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from cupel.host.providers.inside import syscalls
from cupel.host.providers.vm.guest import frames, layers, renew
from cupel.host.providers.vm.guest.frames import Kind

GRACE = 0.25
"""Seconds that a grandchild may go on writing after the process itself has ended."""
_GROUP = Path("/sys/fs/cgroup/cupel")
_RESERVE = 32 << 20
"""Bytes of memory that builds leave to the kernel."""
_DEFAULTS = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that an interpreter handles in its own way."""
_STREAMS = (Kind.OUT, Kind.ERR)
Actions = list[tuple[Any, ...]]
"""What `posix_spawn` does with descriptors before it runs a program."""
_LONGEST = 4096
"""Bytes of a control group's file, at most."""


@dataclasses.dataclass(slots=True)
class Started:
    """A process that the host asked for. `stdin`, `out` and `err` are -1 once they are closed; at a
    terminal, `stdin` and `out` are its other end."""

    number: int
    pid: int
    stdin: int
    out: int
    err: int
    input: bytearray = dataclasses.field(default_factory=bytearray)
    is_fed: bool = False
    """Whether all of its stdin has come from the host."""
    at_terminal: bool = False
    room: int = frames.WINDOW
    deadline: float | None = None
    """When no more is read, once the process has ended; it is put off by what it left."""
    left: int = 0
    """Bytes that it had written and nobody had read when it ended."""


class Agent:
    """Serves the host until the port fails. As process 1 it also reaps whatever is orphaned."""

    def __init__(self, port: int, group: Group, *, is_init: bool) -> None:
        self._port = port
        self._is_init = is_init
        self._decoder = frames.Decoder()
        self._poll = select.poll()
        self._watched: dict[int, Callable[[], None]] = {}
        self._started: dict[int, Started] = {}
        self._pids: dict[int, Started] = {}
        self._ending: dict[int, Started] = {}
        """Those that have ended while something may still write what they would have."""
        self._spare: list[tuple[int, int]] = []
        """Pipes for the output of the next process."""
        self._renewal = renew.Renewal(has_system=not is_init)
        self._group = group
        self._null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self._orders = {
            Kind.EXEC: self._exec,
            Kind.STDIN: self._stdin,
            Kind.ROOM: self._room,
            Kind.KILL: self._kill,
            Kind.SHUT: self._shut,
            Kind.SIZE: self._resize,
            Kind.RENEW: self._renew,
            Kind.LAY: self._lay,
        }

    def serve(self) -> NoReturn:
        os.umask(0o022)
        children = syscalls.child_signals()
        self._watch(children, functools.partial(self._reap, children))
        self._watch(self._port, self._receive)
        self._send(Kind.HELLO, 0, json.dumps({"kernel": os.uname().release}).encode())
        gc.freeze()  # a collection would write to all that there is, and clones share it
        while True:
            self.turn()

    def turn(self) -> None:
        """Wait until there is something to do, and do it."""
        for descriptor, _ in self._poll.poll(self._patience()):
            # One that was served before it may have closed it.
            if (serve := self._watched.get(descriptor)) is not None:
                serve()
        for started in tuple(self._ending.values()):
            self._settle(started)

    def _watch(
        self, descriptor: int, serve: Callable[[], None], event: int = select.POLLIN
    ) -> None:
        if descriptor not in self._watched:
            self._watched[descriptor] = serve
            self._poll.register(descriptor, event)

    def _ignore(self, descriptor: int) -> None:
        if descriptor in self._watched:
            del self._watched[descriptor]
            self._poll.unregister(descriptor)

    def _close(self, descriptor: int) -> int:
        if descriptor >= 0:
            self._ignore(descriptor)
            os.close(descriptor)
        return -1

    def _patience(self) -> float | None:
        """Milliseconds until something has to be given up; None: there is no such thing."""
        if not self._ending:
            return None
        times = [each.deadline for each in self._ending.values() if each.left <= 0]
        now = time.monotonic()
        return max(0.0, min(t for t in times if t is not None) - now) * 1000 + 1 if times else None

    def _receive(self) -> None:
        try:
            data = os.read(self._port, 65536)
        except BlockingIOError:
            return
        if not data:  # nobody holds the other end just now: a clone is being made
            time.sleep(0.005)
            return
        for kind, number, content in self._decoder.feed(data):
            try:
                self._orders[kind](number, content)
            except OSError as error:
                self._send(Kind.REFUSED, number, json.dumps({"why": str(error)}).encode())

    def _send(self, kind: Kind, number: int, content: bytes = b"") -> None:
        data = frames.HEADER.pack(len(content), kind, number) + content
        while data:
            try:
                data = data[os.write(self._port, data) :]
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._port, select.POLLOUT)
                poll.poll()

    # What the host orders.

    def _exec(self, number: int, content: bytes) -> None:
        order = marshal.loads(content)  # noqa: S302 - it comes from the host
        if "terminal" in order:
            self._exec_at_terminal(number, order)
            return
        out, out_inside = self._pipe()
        err, err_inside = self._pipe()
        stdin, feed = os.pipe2(os.O_CLOEXEC) if order["stdin"] else (self._null, -1)
        actions = [
            (os.POSIX_SPAWN_DUP2, stdin, 0),
            (os.POSIX_SPAWN_DUP2, out_inside, 1),
            (os.POSIX_SPAWN_DUP2, err_inside, 2),
        ]
        try:
            pid = self._spawn(order, actions)
        except OSError as error:
            os.close(out_inside)
            self._close(feed)
            self._not_started(number, order["argv"][0], (out, err), err_inside, error)
            return
        finally:
            if stdin != self._null:
                os.close(stdin)
        os.close(out_inside)
        os.close(err_inside)
        if feed >= 0:
            os.set_blocking(feed, False)
        started = Started(number, pid, feed, out, err)
        self._started[number] = self._pids[pid] = started
        self.read_on(started)

    def _exec_at_terminal(self, number: int, order: dict[str, Any]) -> None:
        try:
            master, slave = os.openpty()
        except OSError as error:
            err, err_inside = self._pipe()
            self._not_started(number, "a terminal", (-1, err), err_inside, error)
            return
        _resize(master, order["terminal"])
        # Opened by the leader of a session, which it is by then, it becomes that session's.
        place = os.ttyname(slave)
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, place, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2),
        ]
        try:
            pid = self._spawn(order, actions)
        except OSError as error:
            self._not_started(number, order["argv"][0], (master, -1), slave, error)
            return
        os.close(slave)
        os.set_blocking(master, False)
        started = Started(number, pid, os.dup(master), master, -1, at_terminal=True)
        started.room = frames.WINDOW_OF_TERMINAL
        self._started[number] = self._pids[pid] = started
        self.read_on(started)

    def _pipe(self) -> tuple[int, int]:
        return self._spare.pop() if self._spare else os.pipe2(os.O_CLOEXEC)

    def _spawn(self, order: dict[str, Any], file_actions: Actions) -> int:
        """The pid of a new process; OSError as execve says it."""
        argv: list[str] = order["argv"]
        self._group.limit(order["pids"])
        path = _program(argv[0], order["env"].get("PATH", os.defpath))
        if order["cwd"] != "/":
            os.chdir(order["cwd"])
        try:
            # Not a fork: copying the tables of an interpreter's memory takes 70 ms of emulation.
            pid = os.posix_spawn(
                path,
                argv,
                order["env"],
                file_actions=file_actions,
                setsid=True,
                setsigmask=(),
                setsigdef=_DEFAULTS,
            )
        finally:
            if order["cwd"] != "/":
                os.chdir("/")
        if not self._is_init:
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/oom_score_adj").write_text("0")
        return pid

    def _not_started(
        self, number: int, name: str, output: tuple[int, int], err: int, error: OSError
    ) -> None:
        """Let it look as if a shell had tried."""
        os.write(err, f"cupel: can't start {name}: {error.strerror}: {error.filename}\n".encode())
        os.close(err)
        started = Started(number, 0, -1, *output)
        self._started[number] = started
        self.read_on(started)
        self._ended(started, 127 if error.errno == errno.ENOENT else 126)

    def _stdin(self, number: int, content: bytes) -> None:
        if (started := self._started.get(number)) is not None:
            started.input += content
            started.is_fed = not content
            self._feed(started)

    def _feed(self, started: Started) -> None:
        if started.stdin < 0:
            self._grant(started, len(started.input))
            started.input.clear()
            return
        while started.input:
            try:
                written = os.write(started.stdin, started.input[: frames.PIECE])
            except BlockingIOError:
                serve = functools.partial(self._feed, started)
                self._watch(started.stdin, serve, select.POLLOUT)
                return
            except OSError:  # nobody will read it
                started.is_fed = True
                written = len(started.input)
            del started.input[:written]
            self._grant(started, written)
        self._ignore(started.stdin)
        if started.is_fed:
            started.stdin = self._close(started.stdin)

    def _grant(self, started: Started, count: int) -> None:
        if count:
            self._send(Kind.MORE, started.number, b"%d" % count)

    def _room(self, number: int, content: bytes) -> None:
        if (started := self._started.get(number)) is not None:
            started.room += marshal.loads(content)  # noqa: S302 - it comes from the host
            self.read_on(started)

    def _resize(self, number: int, content: bytes) -> None:
        if (started := self._started.get(number)) is not None and started.stdin >= 0:
            _resize(started.stdin, marshal.loads(content))  # noqa: S302 - it comes from the host

    def _kill(self, number: int, content: bytes) -> None:
        if (started := self._started.get(number)) is not None and started.deadline is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)

    def _shut(self, number: int, content: bytes) -> None:
        if (started := self._started.get(number)) is not None:
            self._close_output(started)
            if started.at_terminal:  # with both ends of ours closed, what runs at it is hung up on
                started.stdin = self._close(started.stdin)
            self._settle(started)

    def _renew(self, number: int, content: bytes) -> None:
        self._renewal.apply(marshal.loads(content))  # noqa: S302 - it comes from the host
        self._send(Kind.USED, 0, self._group.usage())  # what its template has used
        self._send(Kind.RENEWED, 0)

    def _lay(self, number: int, content: bytes) -> None:
        why = None
        try:
            layers.lay(*marshal.loads(content))  # noqa: S302 - it comes from the host
        except OSError as error:
            why = str(error)
        self._send(Kind.LAID, 0, json.dumps({"why": why}).encode())

    # What becomes of processes.

    def _reap(self, children: int) -> None:
        os.read(children, _LONGEST)
        for pid in (-1,) if self._is_init else tuple(self._pids):
            while self._pids or self._is_init:
                try:
                    ended, status = os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    break
                if ended == 0:
                    break
                if (started := self._pids.pop(ended, None)) is not None:
                    self._ended(started, os.waitstatus_to_exitcode(status))

    def _ended(self, started: Started, status: int) -> None:
        self._send(Kind.ENDED, started.number, b"%d" % status)
        started.deadline = time.monotonic() + GRACE
        for descriptor in (started.out, started.err):
            if descriptor >= 0:
                started.left += _pending(descriptor)
        started.stdin = self._close(started.stdin)
        self._grant(started, len(started.input))
        started.input.clear()
        self._ending[started.number] = started

    def _settle(self, started: Started) -> None:
        """Close what nobody will write to any more, and tell when all is over."""
        if started.deadline is None:
            return
        if started.left <= 0 and (started.out >= 0 or started.err >= 0):
            if time.monotonic() < started.deadline:
                return
            self._close_output(started)
        if started.out < 0 and started.err < 0:
            self._started.pop(started.number, None)
            self._ending.pop(started.number, None)
            self._send(Kind.USED, 0, self._group.usage())
            self._send(Kind.CLOSED, started.number)
            while len(self._spare) < len(_STREAMS):
                self._spare.append(os.pipe2(os.O_CLOEXEC))

    def read_on(self, started: Started) -> None:
        """Wait for output, if there is room for any."""
        for kind, descriptor in ((Kind.OUT, started.out), (Kind.ERR, started.err)):
            if descriptor < 0:
                continue
            if started.room > 0:
                self._watch(descriptor, functools.partial(self._forward, started, kind))
            else:
                self._ignore(descriptor)

    def _forward(self, started: Started, kind: Kind) -> None:
        if started.room <= 0:  # its other stream took it all, and nothing read is no end
            return
        descriptor = started.out if kind is Kind.OUT else started.err
        try:
            data = os.read(descriptor, min(frames.PIECE, started.room))
        except OSError:  # a terminal that nobody has open any more
            data = b""
        if not data:
            self._close(descriptor)
            if kind is Kind.OUT:
                started.out = -1
            else:
                started.err = -1
            return
        self._send(kind, started.number, data)
        started.left -= len(data)
        started.room -= len(data)
        if started.room <= 0:
            self.read_on(started)

    def _close_output(self, started: Started) -> None:
        started.left = 0
        started.out, started.err = self._close(started.out), self._close(started.err)


class Group:
    """The control group of all that the host starts, and of the agent, which starts it.

    It leaves the kernel some memory. The agent is never killed for memory: as process 1, or by its
    score, which is not handed on.
    """

    def __init__(self, path: Path = _GROUP) -> None:
        with contextlib.suppress(OSError):
            (path.parent / "cgroup.subtree_control").write_text("+memory +pids +cpu")
        with contextlib.suppress(OSError):
            path.mkdir(exist_ok=True)
            (path / "memory.max").write_text(str(_available() - _RESERVE))
            (path / "cgroup.procs").write_text("0")
        self._pids = _opened(path / "pids.max", os.O_WRONLY)
        self._files = [_opened(path / name, os.O_RDONLY) for name in frames.USAGE]

    def limit(self, pids: int) -> None:
        """Let the host's processes be so many; one more is the agent."""
        if self._pids >= 0:
            os.pwrite(self._pids, b"%d" % (pids + 1), 0)

    def usage(self) -> bytes:
        """The content of a `USED` frame; it is read on the host."""
        texts = [os.pread(file, _LONGEST, 0) if file >= 0 else b"" for file in self._files]
        return frames.SEPARATOR.join(texts)


def _opened(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError:
        return -1


def _available() -> int:
    """Bytes of memory that nobody needs now."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))


def _program(name: str, path: str) -> str:
    """Where a program is, as execvp looks for it."""
    if "/" in name:
        return name
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        if os.access(candidate, os.X_OK) and not Path(candidate).is_dir():
            return candidate
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def _resize(terminal: int, size: tuple[int, int]) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))


def _pending(descriptor: int) -> int:
    answer = fcntl.ioctl(descriptor, termios.FIONREAD, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])
