"""The host's hand in a virtual machine: starts what it is told to and carries what that writes."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import select
import signal
import struct
import termios
import time
from pathlib import Path
from typing import Any, NoReturn

from cupel.host.providers.vm.guest import frames, renew
from cupel.host.providers.vm.guest.frames import Kind

GRACE = 0.25
"""Seconds that a grandchild may go on writing after the process itself has ended."""
_GROUP = Path("/sys/fs/cgroup/cupel")
_RESERVE = 32 << 20
"""Bytes of memory that builds leave to the kernel."""
_DEFAULTS = (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that an interpreter handles in its own way."""


@dataclasses.dataclass(slots=True)
class Started:
    """A process that the host asked for. `stdin`, `out` and `err` are -1 once they are closed."""

    number: int
    pid: int
    stdin: int
    out: int
    err: int
    input: bytearray = dataclasses.field(default_factory=bytearray)
    is_fed: bool = False
    """Whether all of its stdin has come from the host."""
    room: int = frames.WINDOW
    deadline: float | None = None
    """When no more is read, once the process has ended; it is put off by what it left."""
    left: int = 0
    """Bytes that it had written and nobody had read when it ended."""


class Agent:
    """Serves the host until the port fails. As process 1 it also reaps whatever is orphaned."""

    def __init__(self, port: int, *, is_init: bool) -> None:
        self._port = port
        self._is_init = is_init
        self._decoder = frames.Decoder()
        self._started: dict[int, Started] = {}
        self._pids: dict[int, Started] = {}
        self._renewal = renew.Renewal()
        self._orders = {
            Kind.EXEC: self._exec,
            Kind.STDIN: self._stdin,
            Kind.ROOM: self._room,
            Kind.KILL: self._kill,
            Kind.SHUT: self._shut,
            Kind.RENEW: self._renew,
        }

    def serve(self) -> NoReturn:
        _prepare_group()
        wake, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.umask(0o022)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._send(Kind.HELLO, 0, {"kernel": os.uname().release})
        while True:
            ready = self._poll(wake)
            if wake in ready:
                os.read(wake, 4096)
                self._reap()
            if self._port in ready:
                self._receive()
            for each in tuple(self._started.values()):
                self._serve_process(each, ready)

    def _poll(self, wake: int) -> set[int]:
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        poll.register(self._port, select.POLLIN)
        timeout = None
        for each in self._started.values():
            if each.room > 0:
                for descriptor in (each.out, each.err):
                    if descriptor >= 0:
                        poll.register(descriptor, select.POLLIN)
            if each.stdin >= 0 and each.input:
                poll.register(each.stdin, select.POLLOUT)
            if each.deadline is not None and each.left <= 0:
                remaining = max(0.0, each.deadline - time.monotonic())
                timeout = remaining if timeout is None else min(timeout, remaining)
        return {fd for fd, _ in poll.poll(None if timeout is None else timeout * 1000 + 1)}

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
                self._send(Kind.REFUSED, number, {"why": str(error)})

    def _send(self, kind: Kind, number: int, content: Any) -> None:
        self._write(frames.encode_json(kind, number, content))

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._port, view) :]
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._port, select.POLLOUT)
                poll.poll()

    # What the host orders.

    def _exec(self, number: int, content: bytes) -> None:
        order = json.loads(content)
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
        (stdin, feed), (out, out_inside), (err, err_inside) = pipes
        inside = (stdin, out_inside, err_inside)
        try:
            pid = self._spawn(order, inside)
        except OSError as error:
            for descriptor in (stdin, feed, out_inside):
                os.close(descriptor)
            self._not_started(number, order["argv"][0], (out, err), err_inside, error)
            return
        for descriptor in inside:
            os.close(descriptor)
        for descriptor in (feed, out, err):
            os.set_blocking(descriptor, False)
        started = Started(number, pid, feed, out, err)
        self._started[number] = self._pids[pid] = started
        if not order["stdin"]:
            started.is_fed = True
            self._feed(started)

    def _spawn(self, order: dict[str, Any], inside: tuple[int, ...]) -> int:
        """The pid of a new process; OSError as execve says it."""
        argv: list[str] = order["argv"]
        with contextlib.suppress(OSError):
            (_GROUP / "pids.max").write_text(str(order["pids"] + 1))
        path = _program(argv[0], order["env"].get("PATH", os.defpath))
        os.chdir(order["cwd"])
        try:
            # Not a fork: copying the tables of an interpreter's memory takes 70 ms of emulation.
            pid = os.posix_spawn(
                path,
                argv,
                order["env"],
                file_actions=[(os.POSIX_SPAWN_DUP2, inside[at], at) for at in range(3)],
                setsid=True,
                setsigdef=_DEFAULTS,
            )
        finally:
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
                return
            except BrokenPipeError:
                started.is_fed = True
                written = len(started.input)
            del started.input[:written]
            self._grant(started, written)
        if started.is_fed:
            started.stdin = _closed(started.stdin)

    def _grant(self, started: Started, count: int) -> None:
        if count:
            self._send(Kind.MORE, started.number, count)

    def _room(self, number: int, content: bytes) -> None:
        if (started := self._started.get(number)) is not None:
            started.room += json.loads(content)

    def _kill(self, number: int, content: bytes) -> None:
        if (started := self._started.get(number)) is not None and started.deadline is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)

    def _shut(self, number: int, content: bytes) -> None:
        if (started := self._started.get(number)) is not None:
            self._close_output(started)

    def _renew(self, number: int, content: bytes) -> None:
        self._renewal.apply(json.loads(content))
        self._send(Kind.RENEWED, 0, {})

    # What becomes of processes.

    def _reap(self) -> None:
        for pid in (-1,) if self._is_init else tuple(self._pids):
            while True:
                try:
                    ended, status = os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    break
                if ended == 0:
                    break
                if (started := self._pids.pop(ended, None)) is not None:
                    self._ended(started, os.waitstatus_to_exitcode(status))

    def _ended(self, started: Started, status: int) -> None:
        started.deadline = time.monotonic() + GRACE
        pipes = (started.out, started.err)
        started.left = sum(_pending(descriptor) for descriptor in pipes if descriptor >= 0)
        started.stdin = _closed(started.stdin)
        self._grant(started, len(started.input))
        started.input.clear()
        self._send(Kind.ENDED, started.number, {"status": status, "usage": usage()})

    def _serve_process(self, started: Started, ready: set[int]) -> None:
        if started.stdin in ready:
            self._feed(started)
        for kind in (Kind.OUT, Kind.ERR):
            descriptor = started.out if kind is Kind.OUT else started.err
            if descriptor >= 0 and descriptor in ready:
                self._forward(started, kind, descriptor)
        is_over = started.deadline is not None and time.monotonic() >= started.deadline
        if is_over and started.left <= 0:
            self._close_output(started)
        if started.deadline is not None and started.out < 0 and started.err < 0:
            del self._started[started.number]
            self._write(frames.encode(Kind.CLOSED, started.number))

    def _forward(self, started: Started, kind: Kind, descriptor: int) -> None:
        if started.room <= 0:  # its other stream took it all, and nothing read is no end
            return
        try:
            data = os.read(descriptor, min(frames.PIECE, started.room))
        except BlockingIOError:
            return
        if not data:
            os.close(descriptor)
            if kind is Kind.OUT:
                started.out = -1
            else:
                started.err = -1
            return
        started.room -= len(data)
        started.left -= len(data)
        self._write(frames.encode(kind, started.number, data))

    def _close_output(self, started: Started) -> None:
        started.left = 0
        started.out, started.err = _closed(started.out), _closed(started.err)


def usage() -> dict[str, int]:
    """What all that the host started has used: microseconds of cpu, bytes, kills for memory."""
    return {
        "cpu": _keyed("cpu.stat").get("usage_usec", 0),
        "memory": int(_read("memory.peak") or 0),
        "oom_kills": _keyed("memory.events").get("oom_kill", 0),
    }


def _keyed(name: str) -> dict[str, int]:
    pairs = (line.split() for line in _read(name).splitlines())
    return {key: int(value) for key, value in pairs}


def _read(name: str) -> str:
    try:
        return (_GROUP / name).read_text()
    except OSError:
        return ""


def _available() -> int:
    """Bytes of memory that nobody needs now."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))


def _prepare_group() -> None:
    """A group for all that the host starts, and for this, which starts it.

    It leaves the kernel some memory. This is never killed for memory: as process 1, or by its
    score, which is not handed on.
    """
    with contextlib.suppress(OSError):
        (_GROUP.parent / "cgroup.subtree_control").write_text("+memory +pids +cpu")
    with contextlib.suppress(OSError):
        _GROUP.mkdir(exist_ok=True)
        (_GROUP / "memory.max").write_text(str(_available() - _RESERVE))
        (_GROUP / "cgroup.procs").write_text("0")


def _program(name: str, path: str) -> str:
    """Where a program is, as execvp looks for it."""
    if "/" in name:
        return name
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        if os.access(candidate, os.X_OK) and not Path(candidate).is_dir():
            return candidate
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def _closed(descriptor: int) -> int:
    if descriptor >= 0:
        os.close(descriptor)
    return -1


def _pending(descriptor: int) -> int:
    answer = fcntl.ioctl(descriptor, termios.FIONREAD, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])
