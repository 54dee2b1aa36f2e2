"""The images of a state directory: found by name or definition, named by digest, built once.

images/names/<name>.json         which image the name has, and had before
images/by-definition/<hash>      the digest of what was built of a definition
images/<digest>/image.json       what is known of it
               /rootfs.erofs     the image; `rootfs` is where each host mounts it for itself
               /rootfs           or else the tree itself, where it can't be mounted from a file
               /manifest.gz      every file in it
               /build.log
images/failed/<hash>/            the last attempt at a definition, if it failed: record and log
images/arriving/<digest>         the file of an image that is fetched, as far as it has come
images/building/<hash>           a build under way, held by a lock; what a killed one left
                                 is removed by the next
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cupel.errors import CupelError, InfraError
from cupel.image import course, tree
from cupel.image.course import Course
from cupel.image.definition import Definition

if TYPE_CHECKING:
    from cupel.image.build import Built
    from cupel.image.workshop import Workshop

_POLL = 0.1
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
Tell = Callable[[str], None]


class State(enum.StrEnum):
    """`waiting`: to be built, after others; `retired`: no name and no label has it any more."""

    WAITING = "waiting"
    BUILDING = "building"
    READY = "ready"
    FAILED = "failed"
    RETIRED = "retired"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An image as it is kept: `file` is mounted on the empty directory `rootfs`.

    Where there is no file, `rootfs` is the tree itself.
    """

    digest: str
    rootfs: Path
    file: Path | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is known of a build of an image. `digest` is empty and `error` says why if it failed.

    `names` are all that it was built for; `tests` are those that it passed; times are in seconds.
    """

    digest: str
    definition: str
    text: str
    names: tuple[str, ...]
    started_at: float
    seconds: float
    size: int = 0
    packages: int = 0
    tests: tuple[str, ...] = ()
    error: str | None = None
    hint: str | None = None


class Catalogue:
    """Where images are kept and found. `workshop` makes the machines that builds take."""

    def __init__(
        self,
        directory: Path,
        workshop: Workshop | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.directory = directory
        self._workshop = workshop
        self._now = now

    def find(self, definition: Definition) -> str | None:
        """The digest of the image that a definition's machines are made of, if there is one.

        A name has the image that was built for it last, until the next one stands.
        """
        taken = self.course(definition.config.name) if definition.config.name else None
        if taken is not None and self.exists(taken.current):
            return taken.current
        return self._built(definition)

    def course(self, name: str) -> Course | None:
        """Which images a name has."""
        try:
            return Course(**json.loads(self._name(name).read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise InfraError(f"{self._name(name)} can't be read: {error}") from error

    def exists(self, digest: str) -> bool:
        return bool(_DIGEST.fullmatch(digest)) and self.rootfs(digest).is_dir()

    def kept(self, digest: str) -> Kept:
        return Kept(digest=digest, rootfs=self.rootfs(digest), file=self.file(digest))

    def rootfs(self, digest: str) -> Path:
        return self.directory / digest / tree.ROOTFS

    def file(self, digest: str) -> Path | None:
        """The read-only file (erofs) that holds the image; None where it is kept as a tree."""
        path = self.directory / digest / tree.FILE
        return path if path.exists() else None

    def log(self, digest: str) -> Path:
        return self.directory / digest / "build.log"

    def manifest(self, digest: str) -> Path:
        return self.directory / digest / tree.MANIFEST

    def packages(self, digest: str) -> dict[str, str]:
        """The packages of an image, with their versions."""
        found: dict[str, str] = json.loads((self.directory / digest / tree.PACKAGES).read_text())
        return found

    def records(self) -> Iterator[Record]:
        """All images that there are, newest first."""
        found = [_read(path) for path in self.directory.glob("sha256:*/image.json")]
        yield from sorted(found, key=lambda record: record.started_at, reverse=True)

    def record(self, digest: str) -> Record | None:
        path = self.directory / digest / "image.json"
        return _read(path) if _DIGEST.fullmatch(digest) and path.exists() else None

    def failure(self, definition: Definition) -> Record | None:
        """The last attempt at a definition, if it failed."""
        path = self._failed(definition) / "image.json"
        return _read(path) if path.exists() else None

    def failure_log(self, definition: Definition) -> Path:
        return self._failed(definition) / "build.log"

    def building_log(self, definition: Definition) -> Path:
        return self._building(definition) / "build.log"

    def is_building(self, definition: Definition) -> bool:
        """Whether somebody builds it right now, in whatever process."""
        path = self._building(definition).with_suffix(".lock")
        if not path.exists():
            return False
        try:
            with _Lock(path):
                return False
        except BlockingIOError:
            return True

    async def sweep(self) -> None:
        """Remove what killed builds left; those under way are left alone."""
        building = self.directory / "building"
        for path in building.iterdir() if building.is_dir() else ():
            if path.is_dir():
                with contextlib.suppress(BlockingIOError), _Lock(path.with_suffix(".lock")):
                    await self._clear(path)

    async def ensure(self, definition: Definition, tell: Tell) -> str:
        """The digest of the definition's image, building it first if there is none.

        Whoever else builds the same definition, in whatever process, is waited for; what has just
        failed is not tried again at once, by each that waited: `InfraError` says why it did.
        """
        if (digest := self.find(definition)) is not None:
            return digest
        async with self._alone(definition, tell):
            if (digest := self.find(definition)) is not None:
                return digest
            self._check_not_failing(definition)
            return await self._build(definition, tell)

    async def rebuild(self, definition: Definition, tell: Tell) -> str:
        """Build the definition's image though there is one; its name moves over to it."""
        async with self._alone(definition, tell):
            return await self._build(definition, tell)

    def _check_not_failing(self, definition: Definition) -> None:
        failure = self.failure(definition)
        if failure is None:
            return
        wait = failure.started_at + failure.seconds + course.again_after(1) - self._now()
        if 0 < wait <= course.again_after(1):
            raise InfraError(
                f"the image could not be built a moment ago: {failure.error}",
                hint=f"{failure.hint or ''}\nit is tried again in {wait:.0f} s".strip(),
            )

    def judge(self, digest: str, *, by_itself: bool) -> None:
        """Take what a build on an image says about it; see `course.ended`."""
        for path in self.directory.glob("names/*.json"):
            before = Course(**json.loads(path.read_text()))
            after = course.ended(before, digest, by_itself=by_itself)
            if after != before and self.exists(after.current):
                _write(path, json.dumps(dataclasses.asdict(after)))

    def roll_back(self, name: str) -> Course:
        """Have the name use the image before the current one. Raises `InfraError` without one."""
        taken = self.course(name)
        if taken is None or taken.previous is None or not self.exists(taken.previous):
            raise InfraError(f"there is no image of {name} before the current one")
        before = course.roll_back(taken)
        self._take(name, before)
        return before

    def arrival(self, digest: str) -> Path:
        """Where the file of an image is put together that comes from another computer."""
        place = self.directory / "arriving" / digest
        place.mkdir(parents=True, exist_ok=True)
        return place / tree.FILE

    def arriving(self) -> list[Path]:
        """The directories of such files, by digest."""
        return list((self.directory / "arriving").glob("*"))

    async def adopt(self, digest: str, definition: Definition, origin: str) -> None:
        """Take in the file that has arrived. `InfraError` if it is not what its digest says."""
        from cupel.image import verify
        from cupel.image.build import Built

        started = self._now()
        file = self.arrival(digest)
        place = file.parent
        try:
            await verify.verify(file, digest, place)
        except InfraError:
            await _remove(place)  # worth nothing, also not as a beginning
            raise
        packages = json.loads((place / tree.PACKAGES).read_text())
        built = Built(digest=digest, packages=packages, size=file.stat().st_size, is_packed=True)
        record = dataclasses.replace(self._record(definition, started, built), tests=())
        (place / tree.ROOTFS).mkdir(exist_ok=True)
        (place / "build.log").write_text(f"{origin}\n")
        _write(place / "image.json", json.dumps(dataclasses.asdict(record)))
        await asyncio.to_thread(os.sync)
        if self.exists(digest):  # built here meanwhile
            await _remove(place)
        else:
            place.rename(self.directory / digest)

    def delete(self, digest: str) -> None:
        """Remove an image that nothing needs any more."""
        doomed = self.directory / "building" / f"deleted-{digest.partition(':')[2]}"
        doomed.parent.mkdir(exist_ok=True)
        with _Lock(lock := doomed.with_suffix(".lock")):
            # At once out of sight; what a crash leaves of it is removed by a sweep.
            (self.directory / digest).rename(doomed)
            shutil.rmtree(doomed)
            lock.unlink()

    def _built(self, definition: Definition) -> str | None:
        try:
            digest = self._pointer(definition).read_text()
        except FileNotFoundError:
            return None
        return digest if self.exists(digest) else None

    async def _build(self, definition: Definition, tell: Tell) -> str:
        from cupel.image import build  # most commands never build one

        building = self._building(definition)
        await self._clear(building)
        scratch = building / "tmp"
        scratch.mkdir(parents=True)
        started = self._now()
        try:
            with (building / "build.log").open("w") as log:

                def told(line: str) -> None:
                    log.write(f"{line}\n")
                    log.flush()
                    tell(line)

                told(f"Building the image: {definition.text}")
                try:
                    built = await build.build(definition, building, scratch, self._workshop, told)
                except CupelError as error:
                    told(f"Failed: {error.message}" + (f" ({error.hint})" if error.hint else ""))
                    record = self._record(definition, started, None, error)
                    await self._keep_failure(definition, building, record)
                    raise
                told(f"The image is {built.digest}")
            await self._publish(definition, building, built, started)
        finally:
            await self._clear(building)
        return built.digest

    def _record(
        self,
        definition: Definition,
        started: float,
        built: Built | None,
        error: CupelError | None = None,
    ) -> Record:
        name = definition.config.name
        return Record(
            digest=built.digest if built else "",
            definition=definition.hash,
            text=definition.text,
            names=(name,) if name else (),
            started_at=started,
            seconds=self._now() - started,
            size=built.size if built else 0,
            packages=len(built.packages) if built else 0,
            tests=definition.config.tests if built else (),
            error=error.message if error else None,
            hint=error.hint if error else None,
        )

    async def _keep_failure(self, definition: Definition, building: Path, record: Record) -> None:
        failed = self._failed(definition)
        await _remove(failed)
        failed.mkdir(parents=True)
        shutil.copyfile(building / "build.log", failed / "build.log")
        _write(failed / "image.json", json.dumps(dataclasses.asdict(record)))

    async def _publish(
        self, definition: Definition, building: Path, built: Built, started: float
    ) -> None:
        await self._clear(building / "tmp")
        record = self._record(definition, started, built)
        _write(building / tree.PACKAGES, json.dumps(built.packages))
        _write(building / "image.json", json.dumps(dataclasses.asdict(record)))
        await asyncio.to_thread(os.sync)
        target = self.directory / built.digest
        if target.exists():
            # What is in it is the same, but another version of the tools may have packed it.
            if built.is_packed:
                (building / tree.FILE).replace(target / tree.FILE)
            self._add_name(built.digest, definition.config.name)
        else:
            building.rename(target)
        _write(self._pointer(definition), built.digest)
        await _remove(self._failed(definition))
        if (name := definition.config.name) is not None:
            taken = self.course(name)
            self._take(name, course.built(taken, definition.hash, built.digest, self._now()))

    def _take(self, name: str, taken: Course) -> None:
        _write(self._name(name), json.dumps(dataclasses.asdict(taken)))

    def _add_name(self, digest: str, name: str | None) -> None:
        known = self.record(digest)
        if name is not None and known is not None and name not in known.names:
            known = dataclasses.replace(known, names=(*known.names, name))
            _write(self.directory / digest / "image.json", json.dumps(dataclasses.asdict(known)))

    async def _clear(self, directory: Path) -> None:
        """Remove what a build left, and its machines first."""
        for bench in directory.glob("**/bench") if self._workshop is not None else ():
            assert self._workshop is not None
            await self._workshop.clear(bench)
        await _remove(directory)

    @contextlib.asynccontextmanager
    async def _alone(self, definition: Definition, tell: Tell) -> AsyncIterator[None]:
        building = self._building(definition)
        building.parent.mkdir(parents=True, exist_ok=True)
        async with _locked(building.with_suffix(".lock"), tell):
            yield

    def _building(self, definition: Definition) -> Path:
        return self.directory / "building" / definition.hash

    def _failed(self, definition: Definition) -> Path:
        return self.directory / "failed" / definition.hash

    def _pointer(self, definition: Definition) -> Path:
        return self.directory / "by-definition" / definition.hash

    def _name(self, name: str) -> Path:
        return self.directory / "names" / f"{name}.json"


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


def _write(path: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(path)


def _read(path: Path) -> Record:
    values = json.loads(path.read_text())
    return Record(**{**values, "names": tuple(values["names"]), "tests": tuple(values["tests"])})
