"""Where runs keep what they need: a directory for each repository, and for each run at a time.

run/<repository>-<n>/lock       held by the run that uses it; it goes with the process
                    /machines, /mirrors, …   as on any host
                    /tree.git   what was in the working tree
                    /kept       the pid of a run that keeps a machine for somebody
                    /artefacts  what the jobs of the last run left
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from cupel.errors import InfraError

DIRECTORY = "run"
_LOCK = "lock"
_KEPT = "kept"


@contextlib.contextmanager
def kept(place: Path) -> Iterator[None]:
    """Say meanwhile that the run which holds this directory keeps a machine for somebody."""
    mark = place / _KEPT
    mark.write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def release(state: Path, repository: Path) -> int:
    """Ask the runs of a repository that keep a machine to let go; how many there are."""
    found = 0
    for mark in (state / DIRECTORY).glob(f"{_name(repository)}-*/{_KEPT}"):
        lock = _locked(mark.parent)
        if lock is not None:  # of a run that was killed
            mark.unlink(missing_ok=True)
            os.close(lock)
            continue
        with contextlib.suppress(ValueError, OSError):
            os.kill(int(mark.read_text()), signal.SIGTERM)
            found += 1
    return found


def _name(repository: Path) -> str:
    return hashlib.sha256(os.fsencode(repository)).hexdigest()[:12]


@contextlib.contextmanager
def hold(state: Path, repository: Path) -> Iterator[Path]:
    """A directory that nobody else uses meanwhile; the same again for runs that follow each other.

    Raises `InfraError` when the state directory can't be used.
    """
    name = _name(repository)
    root = state / DIRECTORY
    number = 0
    while True:
        place = root / f"{name}-{number}"
        try:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.mkdir(parents=True, exist_ok=True)
            lock = _locked(place)
        except OSError as error:
            raise InfraError(
                f"{place} cannot be used: {error.strerror or error}",
                hint="look at the space and the permissions there, or choose another with --state",
            ) from error
        if lock is not None:
            break
        number += 1
    try:
        yield place
    finally:
        os.close(lock)


@contextlib.contextmanager
def abandoned(state: Path, ours: Path) -> Iterator[list[Path]]:
    """The other directories in which a run that was killed has left machines; held meanwhile."""
    with contextlib.ExitStack() as held:
        found = []
        for place in sorted((state / DIRECTORY).iterdir()):
            if place != ours and _has_machines(place) and (lock := _locked(place)) is not None:
                held.callback(os.close, lock)
                found.append(place)
        yield found


def _has_machines(place: Path) -> bool:
    machines = place / "machines"
    return machines.is_dir() and any(machines.iterdir())


def _locked(place: Path) -> int | None:
    """A descriptor whose lock ends with the process; None if another has it."""
    try:
        lock = os.open(place / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError:  # root has run something here
        if place.stat().st_uid != os.geteuid():
            return None
        raise
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
