"""What is written down of a machine before it is made, so that an agent's heir can remove it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path

from cupel.errors import InfraError

PATIENCE = 0.5
"""Seconds that a machine gets to end by itself, which frees its disk faster than killing."""
POLL = 0.002
_FILE = "machine.json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A machine's process: its pid, when it started (clock ticks since boot) and in which boot."""

    pid: int
    started: int
    boot: str
    group: str
    """The name of its control groups; empty while it has none."""


def of_process(pid: int, group: str) -> Record:
    return Record(pid=pid, started=_start_time(pid) or 0, boot=_boot(), group=group)


def write(directory: Path, record: Record) -> None:
    path = directory / _FILE
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(dataclasses.asdict(record)))
    temporary.replace(path)


async def end(directory: Path, *, patience: float = PATIENCE, timeout: float = 10.0) -> None:
    """Wait for the recorded process to end by itself, then kill it; InfraError if it stays."""
    if (record := read(directory)) is not None:
        await gone(record, patience=patience, timeout=timeout)


async def gone(record: Record, *, patience: float = PATIENCE, timeout: float = 10.0) -> None:
    """As `end`, of a process that is known."""
    if record.boot != _boot():
        return
    try:
        process = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return
    try:
        # Compared while the descriptor is held: the pid can't become another's in between.
        if _start_time(record.pid) != record.started or await _ended(process, patience):
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)
        if not await _ended(process, timeout - patience):
            raise InfraError(f"process {record.pid} can't be killed")
    finally:
        os.close(process)


async def _ended(process: int, seconds: float) -> bool:
    """Whether the process of a descriptor ends within so many seconds."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(process, ended.set)
    try:
        async with asyncio.timeout(seconds):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(process)
    return True


def read(directory: Path) -> Record | None:
    """What is written down in a machine's directory; None where nothing is, or it is broken."""
    try:
        return Record(**json.loads((directory / _FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def forget(directory: Path) -> None:
    """Remove the machine's directory, its own record last."""
    if not directory.exists():
        return
    try:
        for entry in directory.iterdir():
            if entry.name == _FILE:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
        shutil.rmtree(directory)
    except OSError as error:
        raise InfraError(f"{directory} can't be removed: {error}") from error


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _start_time(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat; None when there is no such process or it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
