"""What machines use, second by second, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cupel.host.messages import Measure
from cupel.host.providers.interface import Usage

SECONDS = 1.0
"""Seconds between two measures."""

BATCH = 5
"""Measures that are sent together."""

DENSE = 3600
"""Measures of a machine after which only every SPARSE-th is kept: an hour tells enough."""
SPARSE = 10


class Record:
    """The measures that are still to be sent, by machine."""

    def __init__(self) -> None:
        self._waiting: dict[int, list[Measure]] = {}
        self._taken: dict[int, int] = {}

    def add(
        self, now: float, used: Mapping[int, Usage]
    ) -> Iterator[tuple[int, tuple[Measure, ...]]]:
        """Take what all machines use now; the batches to send."""
        for machine, usage in used.items():
            count = self._taken[machine] = self._taken.get(machine, 0) + 1
            if count <= DENSE or count % SPARSE == 0:
                self._waiting.setdefault(machine, []).append(_measure(now, usage))
        for machine in [*self._waiting]:
            if len(self._waiting[machine]) >= BATCH:
                yield machine, self.rest(machine)
        self._taken = {machine: self._taken[machine] for machine in used}

    def rest(self, machine: int) -> tuple[Measure, ...]:
        """What waits of a machine, which is its last when its build has ended."""
        return tuple(self._waiting.pop(machine, ()))


def _measure(now: float, usage: Usage) -> Measure:
    cpu, memory, io = usage.waits
    return Measure(
        at=now,
        cpu_seconds=usage.cpu_seconds if usage.cpu_of_host is None else usage.cpu_of_host,
        memory=usage.memory,
        processes=usage.processes,
        disk=usage.disk,
        waits_cpu=cpu,
        waits_memory=memory,
        waits_io=io,
        read=usage.read,
        written=usage.written,
    )
