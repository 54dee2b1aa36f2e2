"""Keeps the images of a host: builds them before they are needed, and lets old ones go."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from cupel import logger
from cupel.errors import Conflict, CupelError, NotFound
from cupel.image import course, difference
from cupel.image.catalogue import Catalogue, Record, State
from cupel.image.course import Course
from cupel.image.definition import Definition

log = logger.of(__name__)

KEEP = 2
"""Images that nothing uses any more and that are kept, for a look at what changed."""

WATERMARK = 0.1
"""Of the disk; with less free, nothing is kept that is not used."""

_ROUND = 30.0
"""Seconds between two looks at what is due."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An image of the configuration and how it is: its course, what is used, what failed last."""

    definition: Definition
    state: State
    course: Course | None
    record: Record | None
    failure: Record | None


class Keeper:
    """The images in a catalogue. `named` are those of the configuration, `inline` those of labels.

    `in_use` are the digests that machines have right now.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        named: Iterable[Definition],
        inline: Iterable[Definition] = (),
        in_use: Callable[[], Collection[str]] = tuple,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.catalogue = catalogue
        self._named = {each.config.name: each for each in named}
        self._inline = tuple(inline)
        self._in_use = in_use
        self._now = now
        self._requested: set[str] = set()
        self._failed: dict[str, tuple[int, float]] = {}
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Do what is due, again and again, until cancelled."""
        while True:
            self._news.clear()
            await self.attend()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ROUND):
                    await self._news.wait()

    async def attend(self) -> None:
        """Build what is due now, one after the other, and prune."""
        for name, definition in self._named.items():
            if name is not None and self._is_due(name, definition):
                await self._build(name, definition)
        try:
            for record in self.prune(keep=KEEP):
                log.info("image pruned", image=record.digest, names=record.names)
        except OSError as error:
            log.warning("images can't be pruned", error=str(error))

    def request(self, name: str) -> None:
        """Have the image of a name built anew, soon. Raises `NotFound`, `Conflict`."""
        if self.catalogue.is_building(self._definition(name)):
            raise Conflict(
                f"image {name} is being built already", hint=f"see `cupel image show {name} --log`"
            )
        self._requested.add(name)
        self._news.set()

    def roll_back(self, name: str) -> Course:
        """Have a name use the image before the current one. Raises `NotFound`, `Conflict`."""
        self._definition(name)
        taken = self.catalogue.course(name)
        if taken is None or taken.previous is None or not self.catalogue.exists(taken.previous):
            raise Conflict(f"image {name} has no image before the current one to go back to")
        return self.catalogue.roll_back(name)

    def names(self) -> Sequence[Named]:
        """All images of the configuration, by name."""
        return [self.named(name) for name in sorted(filter(None, self._named))]

    def named(self, name: str) -> Named:
        """One image of the configuration. Raises `NotFound`."""
        definition = self._definition(name)
        taken = self.catalogue.course(name)
        record = self.catalogue.record(taken.current) if taken else None
        failure = self.catalogue.failure(definition)
        if self.catalogue.is_building(definition):
            state = State.BUILDING
        elif name in self._requested or (record is None and failure is None):
            state = State.WAITING
        else:
            state = State.READY if failure is None else State.FAILED
        return Named(
            definition=definition, state=state, course=taken, record=record, failure=failure
        )

    def unused(self) -> Sequence[Record]:
        """The images that no name and no label has any more, newest first."""
        needed = self._needed()
        return [record for record in self.catalogue.records() if record.digest not in needed]

    def log(self, name: str) -> Path:
        """The log of the build that is under way, or of the last one. Raises `NotFound`."""
        found = self.named(name)
        building = self.catalogue.building_log(found.definition)
        if found.state is State.BUILDING and building.exists():
            return building
        if found.failure is not None:
            return self.catalogue.failure_log(found.definition)
        if found.record is None:
            raise NotFound(f"image {name} has no log yet", hint="it is built soon")
        return self.catalogue.log(found.record.digest)

    def digest(self, text: str) -> str:
        """The digest that a name, a digest or the beginning of one means. Raises `NotFound`."""
        if text in self._named and (taken := self.catalogue.course(text)) is not None:
            return taken.current
        begins = text if text.startswith("sha256:") else f"sha256:{text}"
        found = [each.digest for each in self.catalogue.records() if each.digest.startswith(begins)]
        if len(found) != 1:
            what = "no image" if not found else f"{len(found)} images"
            raise NotFound(f"there is {what} {text}", hint="`cupel image list` has them all")
        return found[0]

    def offered(self, definition: Definition) -> str | None:
        """The digest of a definition's image, if there is a file of it to give to other hosts."""
        digest = self.catalogue.find(definition)
        return digest if digest and self.catalogue.file(digest) else None

    def is_coming(self, definition: Definition) -> bool:
        """Whether there is no image of a definition yet, but one is being built, or is about to."""
        if self.catalogue.find(definition) is not None:
            return False
        if self.catalogue.is_building(definition):
            return True
        name = definition.config.name
        if name is None or name not in self._named:
            return False
        return self.named(name).state is State.WAITING

    def file(self, digest: str) -> Path:
        """The one file of an image. Raises `NotFound`."""
        found = self.catalogue.file(digest) if self.catalogue.exists(digest) else None
        if found is None:
            raise NotFound(f"there is no file of an image {digest}")
        return found

    def judge(self, digest: str, *, by_itself: bool) -> None:
        """Take what a build on an image says about it, on whatever host; see `course.ended`."""
        self.catalogue.judge(digest, by_itself=by_itself)

    def difference(self, old: str, new: str) -> difference.Difference:
        """What differs between two images, by name or digest. Raises `NotFound`."""
        return difference.between(self.catalogue, self.digest(old), self.digest(new))

    def prune(self, *, keep: int) -> Sequence[Record]:
        """Remove what nothing uses, but for the newest `keep`; what was removed.

        When the disk is nearly full, none of them is kept.
        """
        pressed = self._free() < WATERMARK
        doomed = self.unused()[0 if pressed else keep :]
        for record in doomed:
            self.catalogue.delete(record.digest)
        return doomed

    def _definition(self, name: str) -> Definition:
        try:
            return self._named[name]
        except KeyError:
            raise NotFound(
                f"there is no image {name}", hint="`images` in the server's cupel.yaml has them all"
            ) from None

    def _is_due(self, name: str, definition: Definition) -> bool:
        if name in self._requested:
            return True
        count, at = self._failed.get(name, (0, 0.0))
        if self._now() < at + course.again_after(count):
            return False
        taken = self.catalogue.course(name)
        if taken is not None and not self.catalogue.exists(taken.current):
            taken = None
        return course.is_due(taken, definition.hash, definition.config.refresh, self._now())

    async def _build(self, name: str, definition: Definition) -> None:
        self._requested.discard(name)
        count, _ = self._failed.pop(name, (0, 0.0))
        try:
            digest = await self.catalogue.rebuild(definition, lambda _: None)
        except (CupelError, OSError) as error:
            self._failed[name] = count + 1, self._now()
            log.error("image not built", name=name, error=str(error))
        else:
            log.info("image built", name=name, image=digest)

    def _needed(self) -> set[str]:
        needed = set(self._in_use())
        for definition in (*self._named.values(), *self._inline):
            digest = self.catalogue.find(definition)
            taken = (
                self.catalogue.course(definition.config.name) if definition.config.name else None
            )
            needed |= {each for each in (digest, taken and taken.previous) if each}
        return needed

    def _free(self) -> float:
        """The part of the disk that is free."""
        place = self.catalogue.directory
        usage = shutil.disk_usage(place if place.exists() else place.parent)
        return usage.free / usage.total
