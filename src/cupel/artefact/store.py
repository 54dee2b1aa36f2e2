"""Keeps what builds left, a directory per build, with each content under its digest."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cupel.artefact.receive import File, Receiver
from cupel.core import key
from cupel.errors import NotFound

_PIECE = 256 << 10


class ArtefactStore:
    """The artefacts of all builds, below one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        shutil.rmtree(self._incoming, ignore_errors=True)  # left by an earlier life

    def receiver(self, build_id: int, limit: int) -> Receiver:
        """Takes in the tar of a build's artefacts, at most `limit` bytes; replaces earlier ones."""
        return Receiver(self._directory(build_id), self._incoming, limit)

    def files(self, build_id: int) -> list[File]:
        """What the build left. Raises `NotFound` if nothing of it was ever stored."""
        try:
            described = (self._directory(build_id) / "index.json").read_text()
        except FileNotFoundError:
            raise NotFound(f"build {build_id} has no artefacts") from None
        return [File(**fields) for fields in json.loads(described)]

    def open(self, build_id: int, path: str) -> BinaryIO:
        """The content of a file; close it. Raises `NotFound`."""
        for file in self.files(build_id):
            if file.path == path:
                return (self._directory(build_id) / file.sha256).open("rb")
        raise NotFound(f"build {build_id} left no file {path!r}")

    def tar(self, build_id: int, *, records: bool = True) -> Iterator[bytes]:
        """What the build left, as a tar stream, if wanted with the records of its run.

        Raises `NotFound`.
        """
        files = [each for each in self.files(build_id) if records or key.is_made(each.path)]
        return _pack(self._directory(build_id), files)

    def delete(self, build_id: int) -> None:
        """Forget what the build left. Repeatable."""
        shutil.rmtree(self._directory(build_id), ignore_errors=True)

    def _directory(self, build_id: int) -> Path:
        return self._root / str(build_id // 1000) / str(build_id)


def _pack(directory: Path, files: list[File]) -> Iterator[bytes]:
    for file in files:
        member = tarfile.TarInfo(file.path)
        member.size = file.size
        member.mode = 0o755 if file.executable else 0o644
        yield member.tobuf(tarfile.GNU_FORMAT)
        with (directory / file.sha256).open("rb") as content:
            while piece := content.read(_PIECE):
                yield piece
        yield bytes(-file.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
