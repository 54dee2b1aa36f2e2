"""How a host keeps itself alive: looks each second, and obeys `pressure`'s decisions.

It reads the computer's pressure, memory and disk; it writes nothing but its own OOM score. The
control groups of builds are the provider's; those of others are not touched.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil
import structlog

from cupel.host import pressure
from cupel.host.messages import HostLoad
from cupel.host.pressure import Decision, History, Load, Sample
from cupel.host.providers.namespace import cgroups, delegation

log = structlog.get_logger(__name__)

PRESSURE = Path("/proc/pressure/memory")
_WAITS = {f"waits_{name}": PRESSURE.with_name(name) for name in ("cpu", "memory", "io")}

SPARED = -900
"""The OOM score of the agent: the kernel takes almost anything else first, builds above all."""

PRUNE_SECONDS = 60.0
"""Seconds between two prunings."""


class Guard:
    """Decides for one host, whose files are below `state`.

    `prune` frees disk, `look` reads the computer. Both may block for a moment.
    """

    def __init__(
        self,
        state: Path,
        *,
        prune: Callable[[], object] = lambda: None,
        now: Callable[[], float] = time.monotonic,
        look: Callable[[Path, float, Sequence[Load]], Sample] | None = None,
    ) -> None:
        self._state = state
        self._prune = prune
        self._now = now
        self._look = look or examine
        self._history = History()
        self._pruned_at = float("-inf")
        self.refuses: str | None = None
        """Why the host takes no more machines for now, in words."""

    def decide(self, loads: Sequence[Load]) -> Decision:
        """What to do about machines that have such loads."""
        now = self._now()
        self._history, decision = pressure.decide(
            self._history, self._look(self._state, now, loads)
        )
        if decision.refuses is not None and self.refuses is None:
            log.warning("no more machines for now", reason=decision.refuses)
        self.refuses = decision.refuses
        if decision.stop is not None:
            log.warning("stopping a build", machine=decision.stop.machine, why=decision.stop.reason)
        return decision

    def free_disk(self) -> bool:
        """Prune, unless that was done a moment ago, which it says."""
        if self._now() - self._pruned_at < PRUNE_SECONDS:
            return False
        self._pruned_at = self._now()
        self._prune()
        return True


def examine(state: Path, now: float, loads: Sequence[Load]) -> Sample:
    """The computer as it is. Where the kernel tells no pressure, there is none."""
    felt = pressures(_text(PRESSURE))
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    disk = os.statvfs(state)
    return Sample(
        at=now,
        some=felt.get("some", 0.0),
        full=felt.get("full", 0.0),
        memory=memory.total,
        available=memory.available,
        swap=swap.total,
        swap_free=swap.free,
        disk=disk.f_blocks * disk.f_frsize,
        disk_free=disk.f_bavail * disk.f_frsize,
        loads=tuple(loads),
    )


def load(state: Path) -> HostLoad:
    """How busy the computer is whose disk has `state`."""
    memory, disk = psutil.virtual_memory(), os.statvfs(state)
    return HostLoad(
        cores=os.cpu_count() or 1,
        runnable=os.getloadavg()[0],
        memory=memory.total,
        available=memory.available,
        disk=disk.f_blocks * disk.f_frsize,
        disk_free=disk.f_bavail * disk.f_frsize,
        **{name: pressures(_text(file)).get("some") for name, file in _WAITS.items()},
    )


def pressures(text: str) -> Mapping[str, float]:
    """`avg10` by `some` and `full`, of a pressure file (kernel: accounting/psi.rst)."""
    found = {}
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        for word in rest.split():
            name, _, value = word.partition("=")
            if name == "avg10":
                found[kind] = float(value)
    return found


def spare_me() -> None:
    """Have the kernel kill others before this process, builds first, where that is allowed.

    Where systemd has delegated a group to it, memory is kept for it there, and builds go beside it.
    """
    parted = cgroups.settle()
    if parted is not None and parted.kept < delegation.MEMORY_MIN:
        log.warning(
            "the unit keeps too little memory for the agent: set MemoryMin= for it and its slice",
            group=str(parted.home),
            kept=parted.kept,
            wanted=delegation.MEMORY_MIN,
        )
    try:
        Path("/proc/self/oom_score_adj").write_text(str(SPARED))
    except OSError as error:
        log.debug("the kernel may kill the agent when memory is short", reason=error.strerror)


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text()
    return ""
