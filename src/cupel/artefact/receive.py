"""Takes in what a build left: the pieces of a tar as they come, then the files in it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from cupel.artefact import tar
from cupel.errors import Bug, InfraError

MOST_FILES = 20_000
_PIECE = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that a build left. Its content is stored under its digest."""

    path: str
    size: int
    sha256: str
    executable: bool


class Receiver:
    """Takes one tar of at most `limit` bytes, and puts its files into `directory`.

    What it raises, it raises once: pieces that follow are ignored, and nothing is stored. Pieces
    wait in a file without a name below `incoming`, which is gone with the receiver.
    """

    def __init__(self, directory: Path, incoming: Path, limit: int) -> None:
        self._directory = directory
        self._incoming = incoming
        self._limit = limit
        self._size = 0
        self._over = False
        with _disk():
            incoming.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=incoming)
            self._descriptor = descriptor
            self._close = weakref.finalize(self, os.close, descriptor)
            os.unlink(name)  # noqa: PTH108

    def feed(self, data: bytes) -> None:
        """Take the next piece. Raises `UserError` when it is too much.

        Raises `InfraError` when the disk fails.
        """
        if self._over:
            return
        with self._ends_on_error(), _disk():
            self._size += len(data)
            if self._size > self._limit:
                raise tar.refused(f"it is larger than {self._limit} bytes")
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]

    def finish(self) -> list[File]:
        """Store the files of the tar, all or none, and say which they are.

        Directories, symbolic links and devices are left out. Raises `UserError` for a tar that is
        broken, that has too many files, or one of whose names is dangerous, and `InfraError` when
        the disk fails.
        """
        if self._over:
            return []
        with self._ends_on_error(), _disk():
            staged = Path(tempfile.mkdtemp(dir=self._incoming))
            try:
                with open(self._descriptor, "rb", closefd=False) as file:
                    files = _extract(file, staged, self._limit)
                described = json.dumps([dataclasses.asdict(each) for each in files])
                (staged / "index.json").write_text(described)
                shutil.rmtree(self._directory, ignore_errors=True)
                self._directory.parent.mkdir(parents=True, exist_ok=True)
                staged.rename(self._directory)
            finally:
                shutil.rmtree(staged, ignore_errors=True)
        self.discard()
        return files

    def discard(self) -> None:
        """Forget what was taken so far, unless it is stored. Repeatable."""
        self._over = True
        self._close()

    @contextlib.contextmanager
    def _ends_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.discard()
            raise


def _extract(file: BinaryIO, target: Path, limit: int) -> list[File]:
    """Store the contents of a tar below `target`, each under its digest."""
    files: dict[str, File] = {}
    directories: set[str] = set()
    total = 0
    for member in tar.members(file):
        if member.kind is tar.Kind.OTHER:
            continue
        if member.kind is tar.Kind.FILE:
            digest = _store(file, member, target)
            new = File(
                path=member.path, size=member.size, sha256=digest, executable=member.executable
            )
        elif member.target in files:
            new = dataclasses.replace(files[member.target], path=member.path)
        else:
            raise tar.refused(f"{member.path!r} is a link to what is not in it")
        total += new.size
        files[new.path] = new
        directories |= {str(parent) for parent in PurePosixPath(new.path).parents}
        if len(files) > MOST_FILES or total > limit:
            raise tar.refused(f"it has more than {MOST_FILES} files or {limit} bytes in them")
    if not directories.isdisjoint(files) or "" in files:
        raise tar.refused("a file stands where a directory is")
    return list(files.values())


def _store(file: BinaryIO, member: tar.Member, target: Path) -> str:
    digest = hashlib.sha256()
    file.seek(member.offset)
    left = member.size
    part = target / "part"
    with part.open("wb") as stored:
        while left:
            piece = file.read(min(left, _PIECE))
            if not piece:
                raise Bug("a tar became shorter while it was read")
            digest.update(piece)
            stored.write(piece)
            left -= len(piece)
    part.rename(target / digest.hexdigest())
    return digest.hexdigest()


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    """Tell the failures of a disk as such."""
    try:
        yield
    except OSError as error:
        raise InfraError(
            f"artefacts cannot be stored: {error.strerror or error}",
            hint="free some space in the state directory",
        ) from error
