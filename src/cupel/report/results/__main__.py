"""Reads the results of a build in a process of its own: `python -m cupel.report.results`.

A build is hostile, and so is what it leaves to be read. Here that can cost this process, which may
use so much memory and time and no more, and not the server. Its files are opened first; from then
on it can open nothing else.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from cupel.report.results import findings, junit, kept, notes, seal
from cupel.report.results import store as notes_of
from cupel.report.results.collect import Collector
from cupel.report.results.source import Malformed, Source

CPU_SECONDS = 30
MEMORY = 1 << 30
"""Bytes of address space."""

LARGEST_FILE = 128 << 20
"""Bytes of one file that are read."""

MOST_MEMBERS = 5_000
"""Files and directories of one machine that are looked at."""

LARGEST_OUTPUT = 512 << 20

_BROKEN = (tarfile.TarError, EOFError, OSError, ValueError, OverflowError)


class TooSlow(Malformed):
    """Reading has taken all the time that it may."""


def main(words: Sequence[str]) -> None:
    """Do what the command line says: where to keep it all, then each machine's name and tar."""
    with contextlib.ExitStack() as stack:
        out = Path(words[0])
        kept_in = stack.enter_context(out.open("xb"))
        noted_in = stack.enter_context(out.with_suffix(notes_of.SUFFIX).open("xb"))
        pairs = zip(words[1::2], words[2::2], strict=True)
        packed = [(name, stack.enter_context(Path(path).open("rb"))) for name, path in pairs]
        junit.load_encodings()
        confine()
        read(packed, kept_in, noted_in)


def read(packed: Sequence[tuple[str, BinaryIO]], kept_in: BinaryIO, noted_in: BinaryIO) -> None:
    """Read tars of results, each with the name of its machine, and keep what they say.

    What is to be known of it goes to stdout; nothing if there were no results at all.
    """
    collector = Collector()
    noted = notes.Collector(collector.tell)
    try:
        for machine, file in packed:
            take(collector, machine, file, noted)
    except TooSlow as error:
        collector.tell("results", str(error))
    except MemoryError:
        collector.tell("results", "there is too little memory to read them")
    # From here on the work is bounded by what was read.
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    if (left := noted.notes) is not None:
        noted_in.write(notes.packed(left))
    if not collector.has_read:
        return
    ordered = collector.ordered()
    found = collector.findings(ordered)
    kept.write(kept_in, ordered, found.tally)
    json.dump(findings.plain(found), sys.stdout)


def take(
    collector: Collector, machine: str, file: BinaryIO, noted: notes.Collector | None = None
) -> None:
    """Read the files in a tar, which may end anywhere, in the order of their names."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in sorted(_files(collector, machine, tar), key=lambda each: each.name):
                _take_file(collector, machine, tar, member, noted)
    except _BROKEN:
        collector.tell(f"{machine}results", "they are not a tar")


def _files(collector: Collector, machine: str, tar: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """The regular files, of the first so many members of whatever kind."""
    found: list[tarfile.TarInfo] = []
    with contextlib.suppress(*_BROKEN):  # it was cut where it became too large
        for count, member in enumerate(tar):
            if count >= MOST_MEMBERS:
                collector.tell(f"{machine}results", f"only {MOST_MEMBERS} files are looked at")
                break
            if member.isreg() and not member.issparse():
                found.append(member)
    return found


def _take_file(
    collector: Collector,
    machine: str,
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    noted: notes.Collector | None,
) -> None:
    content = tar.extractfile(member)
    assert content is not None
    source = Source(f"{machine}{member.name.removeprefix('./')}", content, LARGEST_FILE)
    try:
        if noted is None or not noted.take(source):
            collector.take(source)
    except _BROKEN:
        collector.tell(source.name, "it is cut off")


def confine() -> None:
    """Take from this process what it does not need to read results."""
    for what, limit in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, LARGEST_OUTPUT),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    signal.signal(signal.SIGXCPU, _too_slow)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, 2 * CPU_SECONDS))
    seal.seal()


def _too_slow(number: int, frame: FrameType | None) -> None:
    raise TooSlow("reading them takes too long, so the rest is not read")


if __name__ == "__main__":
    main(sys.argv[1:])
