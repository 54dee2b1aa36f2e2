"""Keeps the results of all builds, a file for each, and what of them is on its way."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cupel.core.results import MOST_ANNOTATIONS
from cupel.errors import InfraError, NotFound
from cupel.report.results.kept import Kept
from cupel.report.results.notes import Notes, packed, unpacked

SUFFIX = ".notes"
"""Of files that say something of lines."""

_BLOCK = 512
"""Bytes of a header in a tar; an empty directory is one, and zeros."""


class Spool:
    """The tars of a build's results as they come, one for each of its machines.

    At most `limit` bytes of all together are kept; `is_cut` once there were more.
    """

    def __init__(self, incoming: Path, limit: int) -> None:
        self.directory: Path | None = None
        self.is_cut = False
        self._incoming = incoming
        self._left = limit
        self._has_more: dict[int, bool] = {}
        self._size: dict[int, int] = {}

    def feed(self, part: int, data: bytes) -> None:
        """Take the next piece of a machine's tar. Raises `InfraError` when the disk fails."""
        if len(data) > self._left:
            self.is_cut = True
        data = data[: self._left]
        if not data:
            return
        with _disk():
            if self.directory is None:
                self._incoming.mkdir(parents=True, exist_ok=True)
                self.directory = Path(tempfile.mkdtemp(dir=self._incoming))
            with self.path(part).open("ab") as file:
                file.write(data)
        size = self._size.get(part, 0)
        self._has_more[part] = self._has_more.get(part, False) or any(data[max(_BLOCK - size, 0) :])
        self._size[part] = size + len(data)
        self._left -= len(data)

    def path(self, part: int) -> Path:
        assert self.directory is not None
        return self.directory / str(part)

    def parts(self) -> list[int]:
        """The machines that left anything."""
        return sorted(part for part, has_more in self._has_more.items() if has_more)

    def discard(self) -> None:
        """Forget what came. Repeatable."""
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = None
        self._left = 0


class ResultStore:
    """The results of all builds, below one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        shutil.rmtree(self._incoming, ignore_errors=True)  # left by an earlier life

    def spool(self, limit: int) -> Spool:
        return Spool(self._incoming, limit)

    def keep(self, build_id: int, file: Path) -> None:
        """Take over a file of results as that of a build. Raises `InfraError`."""
        with _disk():
            path = self._path(build_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            file.replace(path)

    def keep_notes(self, build_id: int, notes: Notes, *, printed: bool = False) -> None:
        """Keep what was said of lines: in files, or in what a build has `printed`."""
        with _disk():
            path = self._notes(build_id, printed=printed)
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_suffix(".new")
            new.write_bytes(packed(notes))
            new.replace(path)

    def take_notes(self, build_id: int, file: Path) -> None:
        """Take over a file of notes as that of a build, if any are in it. Raises `InfraError`."""
        if file.exists() and file.stat().st_size:
            with _disk():
                path = self._notes(build_id, printed=False)
                path.parent.mkdir(parents=True, exist_ok=True)
                file.replace(path)

    def notes(self, build_id: int) -> Notes:
        """What is known of lines, of both; nothing if nothing was said."""
        found = [self._read_notes(build_id, printed=printed) for printed in (True, False)]
        annotations = tuple(each for notes in found for each in notes.annotations)
        return Notes(annotations=annotations[:MOST_ANNOTATIONS], coverage=found[1].coverage)

    def _read_notes(self, build_id: int, *, printed: bool) -> Notes:
        try:
            return unpacked(self._notes(build_id, printed=printed).read_bytes())
        except FileNotFoundError:
            return Notes()

    def _notes(self, build_id: int, *, printed: bool) -> Path:
        return self._path(build_id).with_suffix(".printed" if printed else SUFFIX)

    def open(self, build_id: int) -> Kept:
        """The results of a build, to be closed. Raises `NotFound` if there are none any more."""
        try:
            return Kept(self._path(build_id))
        except FileNotFoundError:
            raise NotFound(
                f"build {build_id} has no results of tests",
                hint="a build's tests leave them in $CUPEL_RESULTS; they are kept as long as logs",
            ) from None

    def delete(self, build_id: int) -> None:
        """Forget the results of a build. Repeatable."""
        self._path(build_id).unlink(missing_ok=True)
        for printed in (False, True):
            self._notes(build_id, printed=printed).unlink(missing_ok=True)

    def _path(self, build_id: int) -> Path:
        return self._root / str(build_id // 1000) / str(build_id)


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InfraError(
            f"results of tests cannot be stored: {error.strerror or error}",
            hint="free some space in the state directory",
        ) from error
