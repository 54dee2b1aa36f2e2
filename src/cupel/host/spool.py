"""Bytes that may have to be sent again: the first of them in memory, the rest in a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cupel.errors import InfraError

MEMORY = 1 << 20
"""Bytes that are kept in memory before the file is used."""


class Spool:
    """Bytes from place `start` to place `end`, of a stream that began at place 0.

    The file is made in `directory` when it is needed, and has no name: it goes with the process.
    Without a directory all is kept in memory.
    """

    def __init__(self, directory: Path | None = None, *, memory: int = MEMORY) -> None:
        self.start = 0
        self.end = 0
        self._directory = directory
        self._memory = memory
        self._head = bytearray()
        self._file = -1
        self._base = 0
        """The place of the file's first byte; what comes before it is in memory."""

    def append(self, data: bytes) -> None:
        """Raises `InfraError` when the disk refuses."""
        in_memory = self._directory is None or (
            self._base >= self.end and len(self._head) + len(data) <= self._memory
        )
        if in_memory:
            self._head += data
            self._base = self.end + len(data)
        else:
            self._write(data)
        self.end += len(data)

    def read(self, place: int, length: int) -> bytes:
        """Up to `length` of the bytes from `place` on; b"" at the end."""
        place = max(place, self.start)
        if place < self._base:
            at = place - self.start
            return bytes(self._head[at : at + length])
        if place >= self.end:
            return b""
        return os.pread(self._file, min(length, self.end - place), place - self._base)

    def drop(self, place: int) -> None:
        """Forget what comes before `place`."""
        del self._head[: place - self.start]
        self.start = place
        if place >= self.end:
            self._base = self.end
            if self._file >= 0:
                os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Forget everything. Repeatable."""
        self._head.clear()
        self.start = self._base = self.end
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self, data: bytes) -> None:
        try:
            if self._file < 0:
                assert self._directory is not None
                self._directory.mkdir(parents=True, exist_ok=True)
                self._file, path = tempfile.mkstemp(dir=self._directory, prefix="spool")
                Path(path).unlink()
            at, view = self.end - self._base, memoryview(data)
            while view:
                written = os.pwrite(self._file, view, at)
                at, view = at + written, view[written:]
        except OSError as error:
            raise InfraError(
                f"what waits for the server cannot be kept: {error.strerror or error}",
                hint="free some space in the state directory of the host",
            ) from error
