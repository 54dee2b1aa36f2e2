"""Keys of evidence: one digest for all that a job's verdict depends on."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Protocol

RECORDS = frozenset({".machine", ".results"})
"""Where among the artefacts the records of a run are; jobs that need the build do not get them."""


class Left(Protocol):
    """A file that a build left."""

    @property
    def path(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def sha256(self) -> str: ...


def combine(state: str, image: str, needed: Iterable[tuple[str, str]]) -> str:
    """The key of a build, of what its job depends on in the state, its machine's image, and the
    outputs of each job that it needs, in their order."""
    return _combined(state, image, tuple(needed))


@functools.lru_cache(maxsize=1 << 16)
def _combined(state: str, image: str, needed: tuple[tuple[str, str], ...]) -> str:
    return _digest("build", state, image, [list(each) for each in needed])


def is_made(path: str) -> bool:
    """Whether a file that a build left was made by its job for others: it is no record of the run,
    such as results of tests, which tell how long each took and so are never the same twice."""
    return path.split("/", 1)[0] not in RECORDS


def outputs(files: Iterable[Left]) -> str:
    """The digest of what a build made for others, in whatever order it came."""
    made = [each for each in files if is_made(each.path)]
    return _digest("outputs", *sorted([each.path, each.size, each.sha256] for each in made))


def together(images: Sequence[str | None]) -> str | None:
    """Images as one: in the order of the machines, and that of a single machine as it is."""
    known = [image for image in images if image is not None]
    return " ".join(known) if len(known) == len(images) else None


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
