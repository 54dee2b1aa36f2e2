"""The images of a state directory: found by definition, named by digest, built once.

images/by-definition/<hash>      the digest of what was built of a definition
images/<digest>/rootfs           the tree, owned as its tar file says
images/<digest>/build.log
images/building/<hash>           a build under way, held by a lock; what a killed one left
                                 is removed by the next
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from cupel import process
from cupel.errors import InfraError
from cupel.image import build
from cupel.image.definition import Definition

_POLL = 0.1
_CHUNK = 1 << 20
Tell = Callable[[str], None]


class Catalogue:
    """Where images are kept and found."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def find(self, definition: Definition) -> str | None:
        """The digest of the image of a definition, if there is one."""
        try:
            digest = self._pointer(definition).read_text()
        except FileNotFoundError:
            return None
        return digest if self.rootfs(digest).is_dir() else None

    def rootfs(self, digest: str) -> Path:
        return self._directory / digest / "rootfs"

    def log(self, digest: str) -> Path:
        return self._directory / digest / "build.log"

    def sweep(self) -> None:
        """Remove what killed builds left; those under way are left alone."""
        building = self._directory / "building"
        for path in building.iterdir() if building.is_dir() else ():
            if path.is_dir():
                with contextlib.suppress(BlockingIOError), _Lock(path.with_suffix(".lock")):
                    shutil.rmtree(path)

    async def ensure(self, definition: Definition, tell: Tell) -> str:
        """The digest of the definition's image, building it first if need be.

        Whoever else builds the same definition, in whatever process, is waited for.
        """
        if (digest := self.find(definition)) is not None:
            return digest
        building = self._directory / "building" / definition.hash
        building.parent.mkdir(parents=True, exist_ok=True)
        async with _locked(building.with_suffix(".lock"), tell):
            if (digest := self.find(definition)) is not None:
                return digest
            return await self._build(definition, building, tell)

    async def _build(self, definition: Definition, building: Path, tell: Tell) -> str:
        await _remove(building)
        (building / "tmp").mkdir(parents=True)
        try:
            with (building / "build.log").open("w") as log:

                def told(line: str) -> None:
                    log.write(f"{line}\n")
                    log.flush()
                    tell(line)

                told(f"Building the image: {definition.text}")
                tar = building / "rootfs.tar"
                await build.build(definition, tar, building / "tmp", told)
                digest = await asyncio.to_thread(_digest, tar)
                await self._unpack(tar, building, told)
                told(f"The image is {digest}")
            await self._publish(definition, building, digest)
        finally:
            await _remove(building)
        return digest

    async def _unpack(self, tar: Path, building: Path, tell: Tell) -> None:
        tell("Unpacking the image")
        rootfs = building / "rootfs"
        rootfs.mkdir(mode=0o755)
        # Machines have their own /dev, and devices are of no use on a file system without them.
        await process.run(
            ["tar", "--extract", "--file", tar, "--directory", rootfs, "--numeric-owner",
             "--preserve-permissions", "--xattrs", "--xattrs-include=*", "--exclude=./dev/*"],
            timeout=build.TIMEOUT,
        )  # fmt: skip
        tar.unlink()
        await asyncio.to_thread(os.sync)

    async def _publish(self, definition: Definition, building: Path, digest: str) -> None:
        await _remove(building / "tmp")
        target = self._directory / digest
        if not target.exists():
            building.rename(target)
        pointer = self._pointer(definition)
        pointer.parent.mkdir(exist_ok=True)
        temporary = pointer.with_suffix(".new")
        temporary.write_text(digest)
        temporary.replace(pointer)

    def _pointer(self, definition: Definition) -> Path:
        return self._directory / "by-definition" / definition.hash


class _Lock:
    """An exclusive lock that ends with the process; BlockingIOError if another holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def __enter__(self) -> None:
        self._file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


@contextlib.asynccontextmanager
async def _locked(path: Path, tell: Tell) -> AsyncIterator[None]:
    told = False
    while True:
        try:
            lock = _Lock(path)
            lock.__enter__()
        except BlockingIOError:
            if not told:
                tell("Waiting for the image, which is being built already")
                told = True
            await asyncio.sleep(_POLL)
        else:
            break
    try:
        yield
    finally:
        lock.__exit__()


async def _remove(path: Path) -> None:
    try:
        await asyncio.to_thread(shutil.rmtree, path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise InfraError(f"{path} can't be removed: {error}") from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
