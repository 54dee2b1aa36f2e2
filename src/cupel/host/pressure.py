"""When a host has too much to do, and which of its builds is to go. Pure: values in, values out.

The rules are those that systemd-oomd and Meta's oomd publish, with their figures where they have
one (man 5 oomd.conf; oomd's docs/core_plugins.md): pressure counts as the share of ten seconds
in which all processes at once waited for memory (`full avg10`); it has to last; memory and swap
that are both nearly gone count at once; after a kill nobody else is killed for a while, since it
takes that long to show. The victim is chosen as by `kill_by_memory_size_or_growth`: the build that
has most of the memory, if that is half of it; else of the largest the one that grew fastest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

FULL = 60.0
"""Percent of `full avg10` from which a build is stopped (DefaultMemoryPressureLimit=)."""
FULL_SECONDS = 30.0
"""Seconds that it has to last (DefaultMemoryPressureDurationSec=)."""
USED = 0.9
"""The part of memory, and of swap, from which a build is stopped (SwapUsedLimit=)."""
USED_ALONE = 0.97
"""The same where there is no swap: page cache that can be dropped is not counted as used."""
POST_ACTION = 15.0
"""Seconds after a stop in which no other build is stopped (oomd's post_action_delay)."""

HALF = 0.5
"""The part of all builds' memory from which a build's size alone makes it the victim."""
LARGEST = 0.2
"""The part of the builds, by size, among which growth decides (growing_size_percentile=80)."""
GROWTH = 1.25
"""A build that has become so many times as large as it was on average is growing."""
MEMORY_SPAN = 30.0
"""Seconds over which the average is taken."""

SOME = 40.0
"""Percent of `some avg10` from which no further machine is taken."""
SOME_FULL = 10.0
"""Percent of `full avg10` from which none is taken."""
ROOM = 0.1
"""The part of memory that has to be there for another machine."""
CALM = 10.0
"""Seconds without all that after which machines are taken again."""

DISK_LOW = 8 << 30
DISK_LOW_PART = 0.1
"""With fewer free bytes than the smaller of these, no machine is taken and caches are pruned."""
DISK_LEAST = 1 << 30
DISK_LEAST_PART = 0.02
"""With fewer than the smaller of these, the build that writes most is stopped."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a build uses: bytes of memory now and at its peak, bytes written to its disk.

    `machine` is its own; those that it has beside it are counted with that.
    """

    machine: int
    memory: int
    peak: int = 0
    written: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A host at a moment, in seconds of a clock that only goes forward, and in bytes.

    `some` and `full` are percents of ten seconds, as in /proc/pressure/memory. `loads` are of the
    machines that have a build.
    """

    at: float
    some: float = 0.0
    full: float = 0.0
    memory: int
    available: int
    swap: int = 0
    swap_free: int = 0
    disk: int
    disk_free: int
    loads: tuple[Load, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The build on the machine is to go; `reason` is for those who read its log."""

    machine: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`refuses` says why no further machine is taken."""

    refuses: str | None = None
    stop: Stop | None = None
    prune: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the past has to do with the next decision. Begin with `History()`.

    `pressed_since` is when memory became short enough for a stop, `refused_at` and `refusal` the
    last time, and why, that no machine was to be taken. `averages` is memory by machine.
    """

    pressed_since: float | None = None
    stopped_at: float | None = None
    refused_at: float | None = None
    refusal: str | None = None
    sampled_at: float | None = None
    averages: tuple[tuple[int, float], ...] = ()


def decide(history: History, sample: Sample) -> tuple[History, Decision]:
    """What to do now, and what to remember."""
    since = sample.at if history.pressed_since is None else history.pressed_since
    pressed_since = since if sample.full >= FULL else None
    busy = _too_busy(sample)
    refused_at = sample.at if busy is not None else history.refused_at
    refusal = busy or history.refusal
    if refused_at is None or sample.at - refused_at >= CALM:
        refusal = None
    stop = None
    if history.stopped_at is None or sample.at - history.stopped_at >= POST_ACTION:
        stop = _stop(history, sample, pressed_since)
    after = History(
        pressed_since=None if stop is not None else pressed_since,
        stopped_at=sample.at if stop is not None else history.stopped_at,
        refused_at=refused_at,
        refusal=refusal,
        sampled_at=sample.at,
        averages=_averages(history, sample),
    )
    prune = sample.disk_free < disk_low(sample.disk)
    return after, Decision(refuses=refusal, stop=stop, prune=prune)


def disk_low(size: int) -> int:
    return min(DISK_LOW, int(size * DISK_LOW_PART))


def disk_least(size: int) -> int:
    return min(DISK_LEAST, int(size * DISK_LEAST_PART))


def _too_busy(sample: Sample) -> str | None:
    if sample.disk_free < disk_low(sample.disk):
        return f"its disk has {_size(sample.disk_free)} left of {_size(sample.disk)}"
    if sample.available < ROOM * sample.memory:
        return f"its memory has {_size(sample.available)} left of {_size(sample.memory)}"
    if sample.full >= SOME_FULL or sample.some >= SOME:
        return (
            f"its memory is short: of the last 10 s, {sample.some:.0f} % were lost to waiting for "
            f"it, {sample.full:.0f} % by all at once"
        )
    return None


def _stop(history: History, sample: Sample, pressed_since: float | None) -> Stop | None:
    if not sample.loads:
        return None
    if sample.disk_free < disk_least(sample.disk):
        worst = max(sample.loads, key=lambda load: (load.written, load.machine))
        return Stop(
            machine=worst.machine,
            reason=f"the host's disk had {_size(sample.disk_free)} left; this build had written "
            f"most, {_size(worst.written)}",
        )
    why = None
    if _is_used_up(sample):
        why = (
            f"the host's memory had {_size(sample.available)} left of {_size(sample.memory)}, and "
            f"{sample.full:.0f} % of the last 10 s were lost to waiting for it"
        )
    elif pressed_since is not None and sample.at - pressed_since >= FULL_SECONDS:
        seconds = sample.at - pressed_since
        why = (
            f"for {seconds:.0f} s the host's processes had waited for memory most of the time "
            f"({sample.full:.0f} % of the last 10 s)"
        )
    return None if why is None else _victim(history, sample.loads, why)


def _is_used_up(sample: Sample) -> bool:
    used = 1 - sample.available / sample.memory
    if sample.swap == 0:
        return used > USED_ALONE
    return used > USED and sample.swap_free < (1 - USED) * sample.swap


def _victim(history: History, loads: Sequence[Load], why: str) -> Stop:
    by_size = sorted(loads, key=lambda load: (-load.memory, load.machine))
    largest, total = by_size[0], sum(load.memory for load in loads)
    if largest.memory >= HALF * total:
        chosen, which = largest, "this build had most of the builds' memory"
    else:
        average = dict(history.averages)
        few = by_size[: max(1, round(len(by_size) * LARGEST))]
        growth = {load.machine: _growth(load, average) for load in few}
        fastest = max(few, key=lambda load: (growth[load.machine], load.memory))
        if growth[fastest.machine] >= GROWTH:
            chosen, which = fastest, "this build was large, and grew fastest"
        else:
            chosen, which = largest, "this build was the largest"
    held = f"{which}: {_size(chosen.memory)}, {_size(max(chosen.peak, chosen.memory))} at its peak"
    return Stop(machine=chosen.machine, reason=f"{why}; {held}")


def _growth(load: Load, averages: dict[int, float]) -> float:
    average = averages.get(load.machine, 0.0)
    return load.memory / average if average > 0 else 1.0


def _averages(history: History, sample: Sample) -> tuple[tuple[int, float], ...]:
    """Moving averages; a machine that is new begins with what it has."""
    known = dict(history.averages)
    passed = 0.0 if history.sampled_at is None else sample.at - history.sampled_at
    weight = min(passed / MEMORY_SPAN, 1.0)
    return tuple(
        (load.machine, before + (load.memory - before) * weight)
        for load in sample.loads
        for before in (known.get(load.machine, float(load.memory)),)
    )


def _size(count: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{count} bytes"
