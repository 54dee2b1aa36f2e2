"""The images of a host that is a process of its own: fetched from its server, by digest.

So all hosts have the same, whenever each of them first needed it, and the server alone decides
which image a name has.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import shutil
import time
from collections.abc import Callable, Collection, Iterable

from cupel import logger
from cupel.errors import CupelError, InfraError
from cupel.host import download
from cupel.host.messages import MachineSpec
from cupel.image import base, definition
from cupel.image.catalogue import Catalogue
from cupel.image.keeper import KEEP, Keeper

log = logger.of(__name__)

REFUSED_FOR = 600.0
"""Seconds until an image is fetched again that was not what its digest says."""

Tell = Callable[[str], None]


class Stock:
    """Fetches images into a catalogue. `in_use` are the digests that machines have right now.

    Below `url` the server has them, and `token` opens it.
    """

    def __init__(
        self,
        images: Catalogue,
        *,
        in_use: Callable[[], Collection[str]] = tuple,
        pause: float = download.PAUSE,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = ""
        self.token = ""
        self._images = images
        self._pause = pause
        self._now = now
        self._told: dict[str, MachineSpec] = {}
        self._news = asyncio.Event()
        self._refused: dict[str, tuple[float, InfraError]] = {}
        self._wanted: frozenset[str] = frozenset()
        self._keeper = Keeper(images, named=(), in_use=lambda: {*in_use(), *self._wanted})
        self._locks: collections.defaultdict[str, asyncio.Lock] = collections.defaultdict(
            asyncio.Lock
        )

    async def keep(self, specs: Iterable[MachineSpec]) -> None:
        """Have the images of these machines here, and let others go.

        What can't be had is logged, and left to the next attempt.
        """
        found = [(spec, spec.digest or self._images.find(_define(spec))) for spec in specs]
        self._wanted = frozenset(digest for _, digest in found if digest)
        for spec, digest in found:
            if spec.coming or self._refusal(digest) is not None:
                continue  # a refusal was logged, and is no news
            try:
                await self.obtain(spec, lambda _: None)
            except (CupelError, OSError) as error:
                log.warning("image not fetched", label=spec.label, error=str(error))
        try:
            await asyncio.to_thread(self.prune)
        except OSError as error:
            log.warning("images can't be pruned", error=str(error))

    def prune(self, *, keep: int = KEEP) -> None:
        """Remove what nothing needs, but for the newest `keep`, and what was never fetched."""
        for record in self._keeper.prune(keep=keep):
            log.info("image pruned", image=record.digest)
        for path in self._images.arriving():
            if path.name not in self._wanted and not self._locks[path.name].locked():
                shutil.rmtree(path)

    def learn(self, specs: Iterable[MachineSpec]) -> None:
        """Take what the server tells of all machines."""
        self._told = {spec.label: spec for spec in specs}
        self._news.set()
        self._news = asyncio.Event()

    async def obtain(self, spec: MachineSpec, tell: Tell) -> MachineSpec:
        """Have the image of `spec` here, if the server has it to give, or will have.

        What to make then. Raises `InfraError`.
        """
        if spec.coming:
            spec = await self._awaited(spec, tell)
        if spec.digest is not None and not self._images.exists(spec.digest):
            await self._fetch(spec, spec.digest, tell)
        return spec

    async def _awaited(self, spec: MachineSpec, tell: Tell) -> MachineSpec:
        """The same machine, once the server is no longer building its image."""
        tell("Waiting for the image, which the server is building")
        while True:
            news, told = self._news, self._told.get(spec.label, spec)
            if not told.coming:
                return dataclasses.replace(spec, digest=told.digest, coming=False)
            await news.wait()

    async def _fetch(self, spec: MachineSpec, digest: str, tell: Tell) -> None:
        async with self._locks[digest]:
            if self._images.exists(digest):
                return
            if (refusal := self._refusal(digest)) is not None:
                raise refusal
            tell(f"Fetching image {digest}")
            url = f"{self.url}/{digest}/file"
            part = self._images.arrival(digest)
            await download.download(url, self.token, part, tell, pause=self._pause)
            tell("Verifying it")
            try:
                await self._images.adopt(digest, _define(spec), f"Fetched from {url}")
            except InfraError as error:
                self._refused[digest] = self._now(), error
                raise
            self._refused.pop(digest, None)
        log.info("image fetched", image=digest, label=spec.label)

    def _refusal(self, digest: str | None) -> InfraError | None:
        """Why an image is not fetched now: it was, and was not what it should be."""
        if digest not in self._refused:
            return None
        at, error = self._refused[digest]
        still = self._now() < at + REFUSED_FOR
        return InfraError(error.message, hint=error.hint) if still else None


def _define(spec: MachineSpec) -> definition.Definition:
    return definition.define(spec.image, base.architecture())
