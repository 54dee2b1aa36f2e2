"""Which user ids a machine has: a range that no other machine of this computer has.

All agents of a computer share one file. A range is taken by a lock on its byte there. The lock
belongs to an open file that goes to the machine's own process, so the range is free again when that
process is gone, and not before, whatever became of the agent that took it.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from cupel.errors import InfraError
from cupel.host.providers.inside.plan import UIDS

FIRST = 1_879_048_192
"""The first of the ids that no distribution gives to users, and that systemd leaves alone."""
RANGES = 4094
"""As many reach up to those that systemd gives to foreign images (its UIDS-GIDS.md)."""
REGISTRY = Path("/run/cupel/users")
TABLES = (Path("/etc/subuid"), Path("/etc/subgid"))
"""Where ids are given to users; a range that overlaps one of those is left alone."""

_FLOCK = struct.Struct("@hhqqi4x")  # struct flock of 64-bit Linux
_Span = tuple[int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """A range from `first` on. It is taken for as long as a copy of `descriptor` is open."""

    first: int
    descriptor: int

    def close(self) -> None:
        os.close(self.descriptor)


def take(state: Path, machine: int, *, registry: Path = REGISTRY) -> Taken:
    """Take a range for a machine of a state directory; InfraError when there is none."""
    spans = [span for table in TABLES for span in given(_text(table))]
    begin = zlib.crc32(str(state.resolve()).encode()) + machine
    try:
        registry.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(registry, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InfraError(
            f"{registry}, where agents share out user ids, can't be opened: {error.strerror}",
            hint="an agent that is root needs a /run that it may write to",
        ) from error
    for number in order(begin, spans):
        if lock(descriptor, number):
            return Taken(FIRST + number * UIDS, descriptor)
    os.close(descriptor)
    raise InfraError(
        "no user ids are left for another machine",
        hint=f"{registry} is locked for each machine: end agents that are not needed",
    )


def order(begin: int, spans: Sequence[_Span] = ()) -> Iterable[int]:
    """The numbers of all ranges that touch none of the spans (first and last id), from one on."""
    for step in range(RANGES):
        number = (begin + step) % RANGES
        first = FIRST + number * UIDS
        if not any(start < first + UIDS and first <= end for start, end in spans):
            yield number


def given(table: str) -> list[_Span]:
    """The first and the last id of each line of /etc/subuid or /etc/subgid."""
    found = []
    for line in table.splitlines():
        fields = line.split(":")
        if len(fields) == 3 and fields[1].isdecimal() and fields[2].isdecimal():
            first = int(fields[1])
            found.append((first, first + int(fields[2]) - 1))
    return found


def lock(descriptor: int, number: int) -> bool:
    """Lock a byte, for the open file and not for the process; whether nobody else has it."""
    wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    except (BlockingIOError, PermissionError):  # POSIX allows both
        return False
    return True


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
