"""No attempt to get out of a machine succeeds, and none harms what lies outside it."""

# ruff: noqa: E501, ISC004 -- scripts as texts: what matters is that each stands in one place

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

from cupel.errors import InfraError
from cupel.host.messages import MachineSpec
from cupel.host.providers.interface import Machine, Provider, Stream
from integration import escapes
from integration.escapes import Attempt
from integration.provider_contract import ProviderContract, machine_of, run, shell

PATIENCE = 60.0
SHOWN = "/build/.shown"
_ALTERABLE = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/sysrq",
    "/proc/sys/kernel/hostname",
    "/sys/kernel/uevent_helper",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """How an attempt ended: `HELD`, `ESCAPED`, or what else it did."""

    word: str
    text: str


class Host:
    """What a machine could reach of the computer, were it not kept in; all of it made for the test."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.shown = directory / "shown"
        self._services: list[socket.socket] = []
        self._before = _state()
        self._booted = time.time() - time.monotonic()

    def open(self, stack: contextlib.ExitStack) -> dict[str, str]:
        """Lay out the baits; what attempts are told of them."""
        secret = self._directory / "secret"
        secret.write_text("the host's")
        secret.chmod(0o666)
        self.shown.mkdir()
        (self.shown / "file").write_text("held fast")
        canary = subprocess.Popen(
            [sys.executable, "-c", "import signal; signal.pause()", "cupel-canary"]
        )
        stack.callback(canary.wait)
        stack.callback(canary.kill)
        everywhere = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        abstract, path = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        name = f"cupel-test-{os.getpid()}"
        abstract.bind(f"\0{name}")
        path.bind(str(self._directory / "socket"))
        (self._directory / "socket").chmod(0o666)
        for service in (abstract, path):
            service.listen()
        for service in (everywhere, abstract, path):
            stack.callback(service.close)
        return {
            "secret": str(secret),
            "pid": str(canary.pid),
            "port": str(everywhere.getsockname()[1]),
            "abstract": name,
            "socket": str(self._directory / "socket"),
            "addresses": ",".join(own_addresses()),
            "shown": SHOWN,
        }

    def unharmed(self) -> None:
        """The computer is as it was, and still does what every program needs."""
        assert _state() == self._before
        assert abs(time.time() - time.monotonic() - self._booted) < 2, "the clock was set"
        assert (self._directory / "secret").read_text() == "the host's"
        assert (self.shown / "file").read_text() == "held fast"
        assert (self.shown / "file").stat().st_mode & 0o7777 == 0o644
        for descriptor in (*pty.openpty(), os.pidfd_open(os.getpid())):
            os.close(descriptor)
        watch = subprocess.run(
            [sys.executable, "-c", _WATCH], capture_output=True, timeout=PATIENCE, check=False
        )
        assert watch.returncode == 0, watch.stderr.decode()


_WATCH = (
    "import ctypes, os; libc = ctypes.CDLL(None); assert libc.inotify_init() >= 0;"
    "os.setuid(65534); assert os.fork() >= 0; os.open('/dev/null', 0)"
)


def _state() -> dict[str, str]:
    texts: dict[str, str] = {}
    for name in _ALTERABLE:
        with contextlib.suppress(OSError):
            texts[name] = Path(name).read_text()
    return texts


def own_addresses() -> list[str]:
    """The address from which this computer would speak to others; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.254", 9))
        except OSError:
            return []
        return [str(sock.getsockname()[0])]


@contextlib.contextmanager
def baited() -> Iterator[tuple[Host, dict[str, str]]]:
    """A host with baits, in a directory that everybody may enter."""
    directory = Path(tempfile.mkdtemp(prefix="cupel-bait-"))
    directory.chmod(0o755)
    try:
        with contextlib.ExitStack() as stack:
            host = Host(directory)
            yield host, host.open(stack)
    finally:
        shutil.rmtree(directory)


async def attempt(machine: Machine, what: Attempt, told: Mapping[str, str]) -> Verdict:
    """Let root of the machine try, and see how that ended."""
    arguments = [f"{name}={value}" for name, value in told.items()]
    process = await machine.exec(["python3", "-c", what.program, *arguments], env={}, cwd="/build")
    written = {Stream.OUT: bytearray(), Stream.ERR: bytearray()}
    try:
        async with asyncio.timeout(PATIENCE):
            async for stream, data in process.output():
                if len(written[stream]) < 1 << 16:
                    written[stream] += data
            status = await process.wait()
    except TimeoutError:
        await process.kill()
        return Verdict("STUCK", what.name)
    except InfraError as error:
        return Verdict("GONE", str(error))
    return verdict(what, status, bytes(written[Stream.OUT]), bytes(written[Stream.ERR]))


async def attempts(
    machine: Machine, several: Sequence[Attempt], told: Mapping[str, str]
) -> dict[str, Verdict]:
    """Let root of the machine try one after the other; those that follow the machine's end: none."""
    by_name = {what.name: what for what in several}
    job = {
        "programs": {what.name: what.program for what in several},
        "told": [f"{name}={value}" for name, value in told.items()],
    }
    process = await machine.exec(
        ["python3", "-c", escapes.DRIVER], env={}, cwd="/build", stdin=json.dumps(job).encode()
    )
    out, err = bytearray(), bytearray()
    async with asyncio.timeout(5 * PATIENCE):
        async for stream, data in process.output():
            (out if stream is Stream.OUT else err).extend(data)
    found = {}
    for line in out.decode().splitlines():
        name, status, said = json.loads(line)
        ended = Verdict("STUCK", said) if status is None else None
        found[name] = ended or verdict(by_name[name], status, said.encode(), said.encode())
    assert found.keys() == by_name.keys(), err.decode()[-1000:]
    return found


def verdict(what: Attempt, status: int, out: bytes, err: bytes) -> Verdict:
    """What an attempt came to; `kills` and the filter's SIGSYS are ways of being held."""
    lines = out.decode(errors="replace").split("\n")
    for line in lines:
        word, _, text = line.partition(" ")
        if word in ("HELD", "ESCAPED"):
            return Verdict(word, text)
    if -status in (*what.kills, signal.SIGSYS):
        return Verdict("HELD", f"by signal {-status}")
    return Verdict("BROKEN", f"status {status}: {err.decode(errors='replace')[-500:]}")


def escaped(found: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """Those that did not end as they should have."""
    return {name: verdict for name, verdict in found.items() if verdict.word != "HELD"}


def listed(found: Mapping[str, Verdict]) -> str:
    return "".join(f"\n{name}: {how.word} {how.text}" for name, how in found.items())


class EscapeContract(ProviderContract):
    """`own_kernel`: machines have one of their own, which root of the machine may well alter."""

    own_kernel = False
    permitted: frozenset[str] = frozenset()
    """Attempts that succeed by design, as they reach nothing but the machine's own."""
    uncounted: frozenset[str] = frozenset()
    """The bombs that nothing here holds: there are no control groups to count by, or what they use
    up is the machine's own."""

    def small(self) -> MachineSpec:
        return dataclasses.replace(
            self.spec(), pids=96, memory=self.smallest, disk=128 << 20, cpus=1.0
        )

    smallest = 128 << 20

    def test_no_attempt_to_escape_succeeds(self, tmp_path: Path) -> None:
        found: dict[str, Verdict] = {}

        async def scenario(provider: Provider) -> None:
            spec = self.spec()
            async with machine_of(provider, spec, 1) as neighbour:
                told["neighbour"] = str(await _serve(neighbour))
                machine = await provider.create(2, spec, binds={host.shown: SHOWN})
                # Those that may well alter a kernel of the machine's own come last: others need it whole.
                several = sorted(escapes.ATTEMPTS, key=lambda what: what.kernel)
                found.update(await attempts(machine, several, told))
                status, _, _ = await run(neighbour, "test -e /build/untouched")
                assert status == 0
            host.unharmed()

        with baited() as (host, told):
            self.play(tmp_path, scenario)
        aims = self.permitted | {
            what.name for what in escapes.ATTEMPTS if what.kernel and self.own_kernel
        }
        wrong = {name: how for name, how in escaped(found).items() if name not in aims}
        assert not wrong, listed(wrong)
        assert len(found) >= 100

    def test_no_bomb_harms_more_than_its_machine(self, tmp_path: Path) -> None:
        self.bomb(tmp_path, self.small(), [what.name for what in escapes.BOMBS])

    def bomb(self, tmp_path: Path, spec: MachineSpec, names: Sequence[str]) -> None:
        """Let these bombs off on one machine, one after the other."""
        found: dict[str, Verdict] = {}
        several = [what for what in escapes.BOMBS if what.name in names]
        assert len(several) == len(names)

        async def scenario(provider: Provider) -> None:
            machine = await provider.create(1, spec)
            for what in several:
                found[what.name] = await attempt(machine, what, told)
                await sweep(machine)
            host.unharmed()

        with baited() as (host, told):
            self.play(tmp_path, scenario)
        wrong = {name: how for name, how in escaped(found).items() if name not in self.uncounted}
        assert not wrong, listed(wrong)

    def test_what_a_build_uses_up_is_not_the_hosts(self, tmp_path: Path) -> None:
        """Looked at while it is held, for it is free again with the process."""

        async def scenario(provider: Provider) -> None:
            async with machine_of(provider, self.spec()) as machine:
                process = await machine.exec(["python3", "-c", HOLD], env={}, cwd="/")
                async for _, data in process.output():
                    assert data == b"held\n"
                    break
                host.unharmed()

        with baited() as (host, _):
            self.play(tmp_path, scenario)

    def test_whatever_runs_in_a_machine_ends_with_it(self, tmp_path: Path) -> None:
        async def scenario(provider: Provider) -> None:
            for number, (_, script) in enumerate(CLINGING, start=1):
                machine = await provider.create(number, self.small())
                process = await shell(machine, f"{script}\necho set; sleep 987654")
                async for _ in process.output():
                    break
                began = time.monotonic()
                await machine.destroy()
                assert time.monotonic() - began < 10, script
            assert list(await provider.list()) == []

        self.play(tmp_path, scenario)

    def test_what_is_carried_out_is_the_machines_own(self, tmp_path: Path) -> None:
        secret = b"the host's"

        async def scenario(provider: Provider) -> None:
            async with machine_of(provider, self.spec()) as machine:
                for name, script in CARRIED:
                    await run(machine, "rm -rf /build/out; mkdir /build/out")
                    lay = script.replace("SECRET", told["secret"])
                    status, _, err = await run(machine, f"cd /build/out\n{lay}")
                    assert status == 0, (name, err)
                    data = await _carried(machine)
                    assert secret not in data, name
                status, _, _ = await run(machine, "true")
                assert status == 0
            host.unharmed()

        with baited() as (host, told):
            self.play(tmp_path, scenario)

    def test_what_is_carried_in_stays_inside(self, tmp_path: Path) -> None:
        async def scenario(provider: Provider) -> None:
            async with machine_of(provider, self.spec()) as machine:
                for target in ("/proc/1/root", "/proc/self/cwd", "/../../../.."):
                    link = f"ln -sfn {target}{Path(told['secret']).parent} /build/in"
                    status, _, err = await run(machine, link)
                    assert status == 0, err
                    with contextlib.suppress(InfraError):
                        await machine.copy_in(_tarred({"secret": b"overwritten"}), "/build/in")
            host.unharmed()

        with baited() as (host, told):
            self.play(tmp_path, scenario)


HOLD = """
import ctypes, os, pty, time
libc = ctypes.CDLL(None)
while libc.inotify_init() >= 0:
    pass
kept = []
try:
    while True:
        kept.append(pty.openpty())
except OSError:
    print("held", flush=True)
time.sleep(987654)
"""

CLINGING: Sequence[tuple[str, str]] = (
    ("ignores every signal", "trap '' $(seq 1 64)"),
    ("daemons of daemons", "for i in 1 2 3; do (setsid sh -c 'trap \"\" 1 2 15; setsid sleep 987654 &' &); done"),
    ("stopped", "(sleep 987654 & kill -STOP $!) ; kill -STOP -1 2>/dev/null & true"),
    ("a fork loop", "(f() { f & f & sleep 987654; }; f) 2>/dev/null &"),
    ("its own reaper", "python3 -c 'import ctypes, os, time; ctypes.CDLL(None).prctl(36, 1);\n"
     "os.fork() or os.fork() or time.sleep(987654); time.sleep(987654)' &"),
    ("a flood of output", "yes $(seq 1000) & yes >&2 &"),
    ("a file deep down, held open", "cd /build; for i in $(seq 300); do mkdir d; cd d; done; sleep 987654 > x &"),
    ("a full disk", "dd if=/dev/zero of=/build/x bs=1M 2>/dev/null &"),
    ("sockets and timers to the end", "python3 -c 'import socket, time\nkept = []\n"
     "try:\n  while True: kept.append(socket.socket())\nexcept OSError: time.sleep(987654)' &"),
)  # fmt: skip
"""What outlives its parents in other places: each must go with its machine, and soon."""

CARRIED: Sequence[tuple[str, str]] = (
    ("a symbolic link to a file of the host", "ln -s SECRET link"),
    ("a link through process 1", "ln -s /proc/1/root/SECRET link"),
    ("a link that climbs", "ln -s ../../../../../../../..SECRET link"),
    ("a link to a directory", "ln -s / all"),
    ("the directory itself as a link", "cd ..; rmdir out; ln -s / linked; mkdir out"),
    ("a hard link to a file of the image", "ln /etc/passwd hard"),
    ("a pipe that nobody writes to", "mkfifo pipe"),
    ("a socket", "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'"),
    ("names that climb", "touch -- '-rf' '..x' $'new\\nline' $'\\033[2J' \"$(printf 'x%.0s' $(seq 255))\""),
    ("a deep path", "for i in $(seq 500); do mkdir d; cd d; done; echo deep > file"),
    ("a huge file of nothing", "truncate -s 500G sparse"),
    ("files that change while they are read", "(while :; do echo x >> grows; done) & echo $! > pid"),
    ("a directory and a link that swap", "mkdir a; (while :; do mv a b; ln -s SECRET a; rm a; mv b a; done)"
     " >/dev/null 2>&1 & true"),
    ("files that nobody may read", "echo x > closed; chmod 0 closed"),
)  # fmt: skip
"""What a build may leave where its artefacts are fetched from. Scripts run in that directory."""

_MOST = 8 << 20


async def _carried(machine: Machine) -> bytes:
    """What comes of /build/out, up to a limit: that of artefacts is the runner's."""
    data = bytearray()
    try:
        async with asyncio.timeout(PATIENCE), contextlib.aclosing(_generator(machine)) as tar:
            async for piece in tar:
                data += piece
                if len(data) > _MOST:
                    break
    except InfraError:  # tar says that a file changed as it was read
        pass
    await run(machine, "kill -9 -1")
    return bytes(data)


async def _generator(machine: Machine) -> AsyncIterator[bytes]:  # one that can be closed
    async for piece in machine.copy_out("/build/out"):
        yield piece


async def _tarred(files: Mapping[str, bytes]) -> AsyncIterator[bytes]:
    from integration.provider_contract import packed

    yield packed(files)


async def _serve(machine: Machine) -> int:
    """A service of a neighbour's, at some port; it keeps a file that nobody else may touch."""
    script = (
        "import socket, time; s = socket.create_server(('', 0)); open('/build/untouched', 'w');"
        " print(s.getsockname()[1], flush=True); time.sleep(987654)"
    )
    process = await machine.exec(["python3", "-c", script], env={}, cwd="/")
    async for _, data in process.output():
        return int(data)
    raise AssertionError("the neighbour does not serve")


async def sweep(machine: Machine) -> None:
    """Remove what a bomb left; the machine must answer, and soon."""
    script = (
        "kill -9 -1; sleep 0.05; rm -rf /build/x /build/d /dev/shm/*;"
        " find /dev -xdev -type f -delete; exit 0"
    )
    async with asyncio.timeout(PATIENCE):
        for _ in range(50):
            if (await run(machine, script))[0] == 0:
                break
            await asyncio.sleep(0.1)
        status, _, _ = await run(machine, "true")
        assert status == 0
