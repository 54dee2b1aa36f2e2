"""What builds of a job keep for later ones, as it is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from cupel.config.document import Array, Kind, Scalar, Value
from cupel.config.pattern import PatternShape
from cupel.config.problem import Mark, Problems, show
from cupel.config.scalar import Text
from cupel.config.shape import At, Field, ListOf, Placed, Record, Refused, Schema, attempt
from cupel.core.cache import JobCache

MOST = 16
"""Caches of a job."""

MOST_PATHS = 8
_HOME = "/root"
_SOURCE = "/build/src"
_OURS = ("/build", "/proc", "/sys", "/dev", "/run")

NAME = Text(
    wanted="a name for a cache",
    pattern="[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
    rule="a letter or digit, then at most 63 letters, digits, “_”, “.” or “-”",
)
KEY_TEXT = Text(wanted="a text", limit=200, loose=True)


class PathShape:
    """A directory: absolute, below `~`, or below the source."""

    _text = Text(wanted="a directory", limit=500)

    def read(self, value: Value, problems: Problems) -> str:
        text = self._text.read(value, problems)
        path = PurePosixPath(text)
        if path.parts[:1] == ("~",):
            path = PurePosixPath(_HOME, *path.parts[1:])
        if why := _refusal(path):
            raise Refused(value.at, f"{show(text)} can't be a cache: {why}")
        return str(path)

    def schema(self) -> Schema:
        return self._text.schema()


def _refusal(path: PurePosixPath) -> str | None:
    if ".." in path.parts or any(not part.isprintable() for part in path.parts):
        return "write it without “..”"
    if not path.is_absolute():
        return None if path.parts else "it is the whole source; name a directory in it"
    if path.is_relative_to(_SOURCE) and path != PurePosixPath(_SOURCE):
        return None
    if any(path.is_relative_to(ours) for ours in _OURS):
        return "what is there is Cupel's or the kernel's"
    if len(path.parts) < 3:
        return "it is a directory of the system; name one below it"
    return None


class PathsShape:
    """A directory, or a list of them."""

    _one = PathShape()
    _list = ListOf(At(_one), "directories", least=1)

    def read(self, value: Value, problems: Problems) -> tuple[str, ...]:
        if isinstance(value, Scalar):
            return (self._one.read(value, problems),)
        paths = self._list.read(value, problems)
        if len(paths) > MOST_PATHS:
            raise Refused(value.at, f"a cache has at most {MOST_PATHS} directories")
        return tuple(path.value for path in paths)

    def schema(self) -> Schema:
        return {"anyOf": [self._one.schema(), self._list.schema()]}


PATH = Field(
    key="path",
    shape=PathsShape(),
    text="The directory that is kept, or a list of them: absolute, below `~`, or below the source.",
    required=True,
)
NAME_FIELD = Field(
    key="name",
    shape=NAME,
    text="What it is called; by default the last part of its first path. Jobs of a project that "
    "name the same directories so share it, on machines of the same label.",
)
FILES = Field(
    key="files",
    shape=ListOf(PatternShape(), "patterns", least=1, empty_hint="leave the key out"),
    text="Patterns as in .gitignore of the files that say what belongs into it, such as a lock "
    "file. While their contents stay the same it is not saved again; when they change, the newest "
    "one is given as a start.",
)
KEY = Field(
    key="key",
    shape=KEY_TEXT,
    text="A text that builds have to agree on to share it, such as `py{{matrix.python}}`.",
)


class CacheShape:
    """A directory, or a mapping that says more."""

    record = Record(
        wanted="a directory or a mapping with path, name, files and key",
        fields=(PATH, NAME_FIELD, FILES, KEY),
        elsewhere={
            "paths": "write `path`, which may be a list",
            "restore-keys": "remove it: the newest cache is given where none fits exactly",
        },
    )
    _path = PathShape()

    def read(self, value: Value, problems: Problems) -> JobCache:
        if isinstance(value, Scalar):
            path = self._path.read(value, problems)
            return JobCache(name=_name(path), paths=(path,))
        found = self.record.read(value, problems)
        paths = found.get(PATH, ())
        text = found.find(KEY)
        return JobCache(
            name=found.get(NAME_FIELD, _name(paths[0]) if paths else "cache"),
            paths=paths,
            files=found.get(FILES, ()),
            texts=() if text is None else (text,),
        )

    def schema(self) -> Schema:
        return {"anyOf": [self._path.schema(), self.record.schema()]}


def one(path: str) -> JobCache:
    """The cache of a good path that stands by itself."""
    read = PathShape().read(Scalar(at=Mark(""), text=path, kind=Kind.TEXT), Problems())
    return JobCache(name=_name(read), paths=(read,))


class CachesShape:
    """A cache, or a list of them."""

    _one = CacheShape()
    _list = ListOf(At(_one), "caches", least=1)

    def read(self, value: Value, problems: Problems) -> tuple[JobCache, ...]:
        items = value.items if isinstance(value, Array) else (value,)
        if len(items) > MOST:
            raise Refused(value.at, f"a job has at most {MOST} caches")
        if isinstance(value, Array) and not items:
            problems.add(value.at, "an empty list of caches")
        read = [(attempt(self._one, item, problems), item.at) for item in items]
        caches = [Placed(cache, at) for cache, at in read if cache is not None]
        _check(caches, problems)
        return tuple(cache.value for cache in caches)

    def schema(self) -> Schema:
        return {"anyOf": [*self._one.schema()["anyOf"], self._list.schema()]}


def _check(caches: Sequence[Placed[JobCache]], problems: Problems) -> None:
    names: set[str] = set()
    paths: list[PurePosixPath] = []
    for cache in caches:
        if cache.value.name in names:
            hint = "give one of them another `name`"
            problems.add(cache.at, f"two caches are called {show(cache.value.name)}", hint)
        names.add(cache.value.name)
        for path in (PurePosixPath(_SOURCE, each) for each in cache.value.paths):
            if _overlaps(path, paths):
                problems.add(cache.at, f"{show(str(path))} lies within another cache, or around it")
            paths.append(path)


def _overlaps(path: PurePosixPath, others: Iterable[PurePosixPath]) -> bool:
    return any(path.is_relative_to(other) or other.is_relative_to(path) for other in others)


def _name(path: str) -> str:
    """A name that a directory gives its cache."""
    last = re.sub(r"[^A-Za-z0-9_.-]", "-", PurePosixPath(path).name).lstrip("._-")
    return last[:64] or "cache"


CACHE = Field(
    key="cache",
    shape=CachesShape(),
    text="What later builds get of what this one leaves, to be faster: a directory, a mapping, or "
    "a list of these. It is saved by what lands; see [caches](#caches).",
)
