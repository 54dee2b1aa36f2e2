"""What builds of a project keep for later ones, as rows: where it is, and who may have it.

A cache is found by its scope, which says what it is for, and within that by the contents of the
files that it goes by. Only what a landed or trusted build saved is ever given to others.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Iterable


class CacheState(enum.StrEnum):
    """`candidate`: its build's change has not landed yet, so that nobody gets it."""

    CANDIDATE = "candidate"
    READY = "ready"
    DROPPING = "dropping"
    GONE = "gone"


KEPT = frozenset({CacheState.CANDIDATE, CacheState.READY})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobCache:
    """Directories of a job's machine that later builds get.

    `files` are gitignore-style patterns; `contents` is a digest of what they match in the state,
    empty where there are none. `texts` are what builds have to agree on.
    """

    name: str
    paths: tuple[str, ...]
    files: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    contents: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """What one build saved on its host, below the name `file`. `size` in bytes.

    `buildset_id` is the state that the build ran on. `used_at` is when a build was given it last,
    or it was saved. `detail` says why it is no more.
    """

    id: int
    project_id: int
    host_id: int
    name: str
    scope: str
    contents: str
    item_id: int
    buildset_id: int
    build_id: int
    state: CacheState
    size: int
    created_at: float
    used_at: float
    detail: str | None = None

    @property
    def file(self) -> str:
        return file_of(self.build_id, self.name)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """What became of a cache in a build.

    `restored` is the build whose cache it was given, of `size` bytes, within `seconds`; `exact`:
    with the same contents of its files. `saved` is how many bytes it left. `withheld` says why what
    is there was not restored, `unsaved` why what was to be was not saved.
    """

    name: str
    restored: int | None = None
    exact: bool = False
    size: int = 0
    seconds: float = 0.0
    saved: int | None = None
    withheld: str = ""
    unsaved: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a build is to do with a cache: what to be given, and whether to save.

    With `if_changed` only where it has written to it.
    """

    cache: JobCache
    restore: Cache | None = None
    exact: bool = False
    save: bool = False
    if_changed: bool = False


def file_of(build: int, name: str) -> str:
    """The name of a build's cache on its host. Those of two builds never have the same."""
    return f"{build}.{name}"


def build_of(file: str) -> int | None:
    """The build that a name on a host is about."""
    number = file.partition(".")[0]
    return int(number) if number.isascii() and number.isdecimal() else None


def scope(cache: JobCache, label: str) -> str:
    """What has to be the same for one build to be given what another saved.

    The label is part of it: what was compiled on one system rarely does on another.
    """
    parts = [cache.name, list(cache.paths), list(cache.texts), label]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def choose(there: Iterable[Cache], scope: str, contents: str) -> Cache | None:
    """The best of those that are there: with the same contents, else the newest of the scope."""
    fitting = [c for c in there if c.state is CacheState.READY and c.scope == scope]
    return max(fitting, key=lambda c: (c.contents == contents, c.id), default=None)


def superseded(there: Iterable[Cache]) -> list[Cache]:
    """Those that are ready and never chosen any more: a newer one has all that they go by."""
    newest: dict[tuple[int, int, str, str], Cache] = {}
    old: list[Cache] = []
    for cache in sorted(there, key=lambda c: c.id):
        if cache.state is CacheState.READY:
            found = newest.get(
                key := (cache.project_id, cache.host_id, cache.scope, cache.contents)
            )
            if found is not None:
                old.append(found)
            newest[key] = cache
    return old


def excess(there: Iterable[Cache], limit: int) -> list[Cache]:
    """Those that have to go for the others to fit: what was not used for longest."""
    kept = [c for c in there if c.state in KEPT]
    total = sum(c.size for c in kept)
    going: list[Cache] = []
    for cache in sorted(kept, key=lambda c: (c.used_at, c.id)):
        if total <= limit:
            break
        going.append(cache)
        total -= cache.size
    return going
