"""The agent and its builds in groups of their own, beneath the one that systemd delegated to us.

`agent` is for the agent and what it starts, `builds` for machines. A group that gives controllers
to its children may have no processes itself, so what is in the delegated one moves to `agent`.
Memory is kept for the agent as far as the unit's own `MemoryMin=` reaches; it is systemd's to set
what holds for the whole, and for its slice (kernel: cgroup-v2.rst; systemd: CGROUP_DELEGATION.md).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path

from cupel.errors import InfraError

AGENT = "agent"
BUILDS = "builds"
MEMORY_MIN = 256 << 20
"""Bytes of the agent that are never reclaimed for others."""
MEMORY_LOW = 512 << 20
"""Bytes of it that are reclaimed after all else."""

_MARKS = ("trusted.delegate", "user.delegate")
"""The attributes by which systemd says that a group is not its own any more."""
_CONTROLLERS = ("cpu", "io", "memory", "pids")
_TRIES = 10


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delegated:
    """The group that is ours; `kept` are the bytes that its unit keeps for all within."""

    home: Path
    kept: int


def builds(hierarchy: Path, membership: str) -> Path | None:
    """Where machines belong, once `settle` has put the agent beside; `membership` is the text of
    its /proc/PID/cgroup."""
    own = _own(hierarchy, membership)
    beside = own.with_name(BUILDS)
    return beside if own.name == AGENT and beside.is_dir() else None


def settle(hierarchy: Path, membership: str) -> Delegated | None:
    """Part the group of this process, if it is delegated: see above. Repeatable.

    None where nothing is delegated, and then nothing is touched.
    """
    own = _own(hierarchy, membership)
    home = own.parent if own.name == AGENT else own
    if home == hierarchy or not _is_delegated(home):
        return None
    try:
        for name in (AGENT, BUILDS):
            (home / name).mkdir(exist_ok=True)
        _move(home / "cgroup.procs", home / AGENT / "cgroup.procs")
        offered = (home / "cgroup.controllers").read_text().split()
        for name in _CONTROLLERS:
            if name in offered:
                (home / "cgroup.subtree_control").write_text(f"+{name}")
        for name, size in (("memory.min", MEMORY_MIN), ("memory.low", MEMORY_LOW)):
            if (home / AGENT / name).exists():
                (home / AGENT / name).write_text(str(size))
    except OSError as error:
        raise InfraError(
            f"the control group {home} can't be parted: {error.strerror or error}",
            hint="does its unit say Delegate=yes, and does anything else run in it?",
        ) from error
    return Delegated(home=home, kept=_kept(home / "memory.min"))


def _own(hierarchy: Path, membership: str) -> Path:
    for line in membership.splitlines():
        if line.startswith("0::"):
            return hierarchy / line.removeprefix("0::").lstrip("/")
    return hierarchy


def _is_delegated(home: Path) -> bool:
    for mark in _MARKS:
        with contextlib.suppress(OSError):
            if os.getxattr(home, mark) == b"1":
                return True
    return False


def _move(source: Path, target: Path) -> None:
    """Move every process; those that start meanwhile too."""
    for _ in range(_TRIES):
        pids = source.read_text().split()
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                target.write_text(pid)
    raise InfraError(f"processes {' '.join(pids)} do not leave {source.parent}")


def _kept(file: Path) -> int:
    try:
        text = file.read_text().strip()
    except OSError:
        return 0
    return (1 << 63) if text == "max" else int(text)
