"""Files that a build left, in the store and on the disk."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

from cupel.artefact.store import ArtefactStore
from cupel.core.model import Build
from fakes.rows import World


def leave(world: World, build: Build, files: Mapping[str, bytes]) -> None:
    """Add the rows of what a build left."""
    for path, data in files.items():
        world.artefact(build, path, len(data))


def keep(store: ArtefactStore, build: int, files: Mapping[str, bytes]) -> None:
    """Put what a build left on the disk, as a host would send it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    receiver = store.receiver(build, 1 << 26)
    receiver.feed(packed.getvalue())
    receiver.finish()
