"""Control groups: limits, accounting and killing as a whole, on v2, v1, a mix of both, or none.

Below the root of each hierarchy, or in what systemd has delegated to us (`delegation`), stands
`cupel-<hash of the state directory>`, in it one group for each machine, in that `init` for what
serves the machine and `build` for what runs in it. Only `build` is limited: a build that uses up
its share can't keep the machine's init from answering.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import os
import re
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path

from cupel.errors import InfraError
from cupel.host.providers.namespace import delegation, record

MOUNTINFO = Path("/proc/self/mountinfo")
MEMBERSHIP = Path("/proc/self/cgroup")
PERIOD = 100_000
"""Microseconds over which a cpu quota is counted."""
LIMITED = ("memory", "pids", "cpu")
_ACCOUNTED = ("memory", "pids", "cpu", "cpuacct")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """What this computer offers: mount points of v1 controllers and of the v2 hierarchy."""

    v1: tuple[tuple[str, Path], ...]
    v2: Path | None
    v2_controllers: frozenset[str]

    @property
    def enforced(self) -> frozenset[str]:
        """The limits that can be set here, of `LIMITED`."""
        return (frozenset(name for name, _ in self.v1) | self.v2_controllers) & frozenset(LIMITED)

    @property
    def text(self) -> str:
        if self.v1 and self.v2:
            return "hybrid: v1 controllers beside a v2 hierarchy"
        if self.v1:
            return "v1"
        return "v2" if self.v2 else "none"

    def controller(self, name: str) -> tuple[int, Path] | None:
        """The version (1 or 2) and the hierarchy of a controller."""
        for known, path in self.v1:
            if known == name:
                return 1, path
        if self.v2 is not None and name in self.v2_controllers:
            return 2, self.v2
        return None

    @property
    def hierarchies(self) -> tuple[Path, ...]:
        paths = [path for name, path in self.v1 if name in _ACCOUNTED]
        return tuple(dict.fromkeys([*paths, *([self.v2] if self.v2 else [])]))


def here() -> Flavour:
    """What this computer offers to this process."""
    return detect(MOUNTINFO.read_text(), _text(MEMBERSHIP))


def settle() -> delegation.Delegated | None:
    """Part the group that systemd has delegated to this process, where v2 has all controllers."""
    flavour = detect(MOUNTINFO.read_text())
    if flavour.v2 is None or flavour.v1:
        return None
    return delegation.settle(flavour.v2, _text(MEMBERSHIP))


def detect(mountinfo: str, membership: str = "") -> Flavour:
    """Read which hierarchies are mounted and writable, from the text of a mountinfo file.

    With that of a cgroup file: where in v2 machines belong that this process makes.
    """
    v1: dict[str, Path] = {}
    v2: Path | None = None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        path, kind = Path(_unescape(left.split()[4])), right.split()[0]
        if kind == "cgroup" and os.access(path, os.W_OK):
            v1.update(dict.fromkeys(right.split()[-1].split(","), path))
        elif kind == "cgroup2" and os.access(path, os.W_OK):
            v2 = path
    if v2 is not None and not v1:
        v2 = delegation.builds(v2, membership) or v2
    controllers = _words(v2 / "cgroup.controllers") if v2 else []
    return Flavour(
        v1=tuple((name, v1[name]) for name in _ACCOUNTED if name in v1),
        v2=v2,
        v2_controllers=frozenset(controllers) & frozenset((*LIMITED, "io")) - v1.keys(),
    )


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`memory` in bytes, `cpus` in cores."""

    memory: int
    cpus: float
    pids: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The control groups of one machine."""

    tops: tuple[Path, ...]
    memory: tuple[int, Path] | None
    cpu: Path | None
    """The directory whose accounting of cpu time counts."""
    io: Path | None = None
    """The directory whose accounting of io counts; without, what processes say of themselves."""

    @property
    def init(self) -> list[str]:
        return [str(top / "init" / "cgroup.procs") for top in self.tops]

    @property
    def build(self) -> list[str]:
        return [str(top / "build" / "cgroup.procs") for top in self.tops]

    def cpu_seconds(self) -> float | None:
        if self.cpu is None:
            return None
        with contextlib.suppress(OSError):
            if (self.cpu / "cpuacct.usage").exists():
                return int((self.cpu / "cpuacct.usage").read_text()) / 1e9
            return _keyed(self.cpu / "cpu.stat")["usage_usec"] / 1e6
        return None

    def memory_peak(self) -> int | None:
        if self.memory is None:
            return None
        version, path = self.memory
        with contextlib.suppress(OSError):
            name = "memory.max_usage_in_bytes" if version == 1 else "memory.peak"
            return int((path / name).read_text())
        return None

    def memory_now(self) -> int | None:
        """Without what the kernel could drop at once: page cache that was not used lately."""
        if self.memory is None:
            return None
        version, path = self.memory
        used, idle = (
            ("memory.usage_in_bytes", "total_inactive_file")
            if version == 1
            else ("memory.current", "inactive_file")
        )
        with contextlib.suppress(OSError):
            cache = _keyed(path / "memory.stat").get(idle, 0)
            return max(int((path / used).read_text()) - cache, 0)
        return None

    def processes(self) -> int | None:
        """Processes and threads that run in the build."""
        for top in self.tops:
            with contextlib.suppress(OSError):
                return int((top / "build" / "pids.current").read_text())
        return None

    def waits(self, resource: str) -> float | None:
        """The percent of ten seconds in which something waited for `cpu`, `memory` or `io`."""
        for top in self.tops:
            line = _first_line(top / "build" / f"{resource}.pressure")
            if line.startswith("some avg10="):
                return float(line.split()[1].partition("=")[2])
        return None

    def disk(self) -> int | None:
        """Bytes on the machine's own disk, as a process of the build sees it."""
        for top in self.tops[:1]:
            for pid in _words(top / "build" / "cgroup.procs"):
                with contextlib.suppress(OSError):
                    disk = os.statvfs(f"/proc/{pid}/root")
                    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        return None

    def moved(self) -> tuple[int | None, int | None]:
        """Bytes read from disks and written to them since the machine's beginning."""
        if self.io is not None:
            with contextlib.suppress(OSError, ValueError):
                return accounted((self.io / "io.stat").read_text())
        # The blkio controller of v1 does not know whose the pages are that are written later.
        # A process that is reaped leaves its count to its parent: init has those of all that ended.
        counts = [_moved_by(pid) for pid in _members(self.tops[:1])]
        known = [count for count in counts if count is not None]
        if not known:
            return None, None
        return sum(read for read, _ in known), sum(written for _, written in known)

    @property
    def path(self) -> str | None:
        """What the kernel calls it in every hierarchy: the part that nobody else's has."""
        if not self.tops:
            return None
        return f"/{self.tops[0].parent.name}/{self.tops[0].name}"

    def oom_kills(self) -> int:
        if self.memory is None:
            return 0
        version, path = self.memory
        with contextlib.suppress(OSError):
            name = "memory.oom_control" if version == 1 else "memory.events"
            return _keyed(path / name).get("oom_kill", 0)
        return 0


_LOOP = "7"
"""The number of the driver of loop devices."""


def accounted(text: str) -> tuple[int, int]:
    """Bytes read and written, of an `io.stat` (kernel: cgroup-v2.rst).

    A machine's disk is a loop device: what goes through it goes to the disk beneath as well, where
    the kernel may count it for the machine once more, or not. So the larger of both sums counts.
    """
    sums = {True: [0, 0], False: [0, 0]}
    for line in text.splitlines():
        device, *pairs = line.split()
        found = dict(pair.split("=") for pair in pairs)
        sums[device.startswith(f"{_LOOP}:")][0] += int(found.get("rbytes", 0))
        sums[device.startswith(f"{_LOOP}:")][1] += int(found.get("wbytes", 0))
    return max(sums[True][0], sums[False][0]), max(sums[True][1], sums[False][1])


def _moved_by(pid: int) -> tuple[int, int] | None:
    with contextlib.suppress(OSError, KeyError):
        pairs = (line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
        found = {key: int(value) for key, value in pairs}
        return found["read_bytes"], found["write_bytes"]
    return None


class Tree:
    """The control groups of all machines of one state directory."""

    def __init__(self, state: Path, flavour: Flavour) -> None:
        name = hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:12]
        self.flavour = flavour
        self.roots = tuple(path / f"cupel-{name}" for path in flavour.hierarchies)

    def prepare(self) -> frozenset[str]:
        """Make the groups that hold the machines; which of `LIMITED` can be enforced."""
        for root in self.roots:
            root.mkdir(exist_ok=True)
        enforced = {name for name in LIMITED if any(name == known for known, _ in self.flavour.v1)}
        if self.flavour.v2 is not None:
            for name in self.flavour.v2_controllers:
                if _enable(self.flavour.v2, name) and _enable(self.flavour.v2 / self._name, name):
                    enforced.add(name)
        return frozenset(enforced) & frozenset(LIMITED)

    @property
    def _name(self) -> str:
        return self.roots[0].name

    def group(self, name: str) -> Group:
        """The groups of a machine by their name, whether they exist or not."""
        return Group(
            tops=tuple(root / name for root in self.roots),
            memory=self._build_directory("memory", name),
            cpu=self._accounting(name),
            io=self._io(name),
        )

    def _io(self, group: str) -> Path | None:
        if self.flavour.v2 is None or "io" not in self.flavour.v2_controllers:
            return None
        return self.flavour.v2 / self._name / group / "build"

    def _build_directory(self, controller: str, group: str) -> tuple[int, Path] | None:
        if (found := self.flavour.controller(controller)) is None:
            return None
        return found[0], found[1] / self._name / group / "build"

    def _accounting(self, group: str) -> Path | None:
        found = self._build_directory("cpuacct", group)
        if found is not None:
            return found[1]
        v2 = self.flavour.v2
        return v2 / self._name / group / "build" if v2 else None

    def create(self, name: str, enforced: Iterable[str]) -> Group:
        """Make the groups of a machine, without limits yet."""
        self.prepare()  # the last machine that went took them along
        group = self.group(name)
        for top in group.tops:
            for path in (top, top / "init", top / "build"):
                path.mkdir()
        if group.io is not None:
            _enable(group.io.parent, "io")
        for controller in enforced:
            found = self._build_directory(controller, name)
            if found is not None and found[0] == 2:
                _enable(found[1].parent, controller)
        return group

    def limit(self, name: str, limits: Limits, enforced: Iterable[str]) -> None:
        for controller in enforced:
            if (found := self._build_directory(controller, name)) is not None:
                _limit(controller, found[0], found[1], limits)

    def names(self) -> set[str]:
        """The groups that there are."""
        return {
            entry.name
            for root in self.roots
            if root.is_dir()
            for entry in root.iterdir()
            if entry.is_dir()
        }

    async def remove(self, group: Group, *, timeout: float = 10.0) -> None:
        """Kill all that is in the machine's groups and remove them; InfraError if that fails."""
        loop = asyncio.get_running_loop()
        patience = loop.time() + record.PATIENCE
        try:
            async with asyncio.timeout(timeout):
                while not _removed(group.tops):
                    if loop.time() > patience:
                        _kill(group.tops)
                    await asyncio.sleep(record.POLL)
            self.close()
        except TimeoutError:
            left = [str(top) for top in group.tops if top.exists()]
            raise InfraError(
                f"processes in {', '.join(left)} can't be killed",
                hint=f"pids {_members(group.tops)}; is one of them waiting for a disk?",
            ) from None

    def close(self) -> None:
        """Remove the groups that hold the machines, unless there are machines."""
        for root in self.roots:
            with contextlib.suppress(OSError):
                root.rmdir()


def _enable(directory: Path, controller: str) -> bool:
    """Let the children of a v2 group have a controller."""
    switch = directory / "cgroup.subtree_control"
    try:
        if controller not in _words(switch):
            switch.write_text(f"+{controller}")
    except OSError:
        return False
    return True


def _limit(controller: str, version: int, path: Path, limits: Limits) -> None:
    match controller, version:
        case "memory", 1:
            _write(path / "memory.limit_in_bytes", limits.memory)
            with contextlib.suppress(OSError):  # only where the kernel accounts for swap
                _write(path / "memory.memsw.limit_in_bytes", limits.memory)
        case "memory", _:
            _write(path / "memory.max", limits.memory)
            with contextlib.suppress(OSError):
                _write(path / "memory.swap.max", 0)
        case "cpu", 1:
            _write(path / "cpu.cfs_period_us", PERIOD)
            _write(path / "cpu.cfs_quota_us", int(limits.cpus * PERIOD))
        case "cpu", _:
            _write(path / "cpu.max", f"{int(limits.cpus * PERIOD)} {PERIOD}")
        case _:
            _write(path / "pids.max", limits.pids)


def _write(path: Path, value: int | str) -> None:
    path.write_text(str(value))


def _kill(tops: Sequence[Path]) -> None:
    for top in tops:
        with contextlib.suppress(OSError):
            (top / "cgroup.kill").write_text("1")
            return
    for pid in _members(tops):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _members(tops: Sequence[Path]) -> list[int]:
    found: set[int] = set()
    for top in tops:
        for name in ("init", "build"):
            found.update(int(word) for word in _words(top / name / "cgroup.procs"))
    return sorted(found)


def _removed(tops: Sequence[Path]) -> bool:
    """Remove the groups as far as they are empty; whether nothing is left."""
    for top in tops:
        for path in (top / "build", top / "init", top):
            try:
                path.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return False
    return True


def _words(path: Path) -> list[str]:
    return _text(path).split()


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text()
    return ""


def _first_line(path: Path) -> str:
    return _text(path).partition("\n")[0]


def _keyed(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in path.read_text().splitlines())
    return {key: int(value) for key, value in pairs}
