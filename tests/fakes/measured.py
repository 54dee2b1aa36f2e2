"""What machines of builds used, second by second, as their hosts would have said it."""

from __future__ import annotations

import math

from cupel.log import metrics
from cupel.log.metrics import Row
from cupel.log.store import LogStore

MIB = 1 << 20


def rows(start: float, seconds: int) -> list[Row]:
    """A machine that installs, then works on more cores than it has in bursts, and grows."""
    found = []
    used, read, written = 3.0, 0.0, 0.0
    for at in range(seconds):
        used += max(0.05, 1.1 + 0.9 * math.sin(at / 3))
        read += max(0.0, 30 - at) * 0.6 * MIB
        written += (2 + at % 9) * 0.3 * MIB
        known = {
            "at": start + at,
            "cpu_seconds": used,
            "memory": (180 + 5.2 * at + 70 * math.sin(at / 5)) * MIB,
            "processes": float(4 + at % 5),
            "disk": (300 + at) * float(MIB),
            "waits_cpu": 14 + 12 * math.sin(at / 4),
            "waits_memory": 0.0,
            "waits_io": max(0.0, 34 * math.cos(at / 7)),
            "read": read,
            "written": written,
        }
        found.append(tuple(known[name] for name in metrics.COLUMNS))
    return found


def measure(logs: LogStore, build: int, start: float, seconds: int) -> None:
    """Keep such measures of a build's machine."""
    file = logs.metrics(build)
    file.parent.mkdir(parents=True, exist_ok=True)
    metrics.append(file, rows(start, seconds))
