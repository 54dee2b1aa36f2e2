"""What a look at a repository can find, and what comes of it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any, NamedTuple

MAX_READ = 1 << 20
VENV = "/tmp/venv"  # noqa: S108 - in the job's machine, which nobody else uses


class Part(NamedTuple):
    """A step and what is worth knowing of it; its name is the script's first line otherwise."""

    run: str
    said: str = ""
    name: str = ""


class Choice(NamedTuple):
    """A job that a build tool suggests.

    `packages` are Debian's, besides what every machine has; they are installed by the job where
    `lacks`, a shell command, fails. `fetches` is whether it needs a network itself.
    """

    name: str
    parts: tuple[Part, ...]
    why: str
    fetches: bool = True
    packages: tuple[str, ...] = ()
    lacks: str = ""
    env: tuple[tuple[str, str], ...] = ()
    caches: tuple[str, ...] = ()
    """Directories of what is fetched, which later builds get."""

    @property
    def network(self) -> bool:
        return self.fetches or bool(self.packages)


class Repository(NamedTuple):
    """The paths of a repository, and the texts of those that are looked at."""

    files: Mapping[str, str]
    paths: frozenset[str]

    def text(self, path: str) -> str:
        text = self.files.get(path, "") if path in self.paths else ""
        return text if len(text) <= MAX_READ else ""

    def has(self, pattern: str, *paths: str) -> bool:
        """Whether a line of one of the files matches."""
        return any(re.search(pattern, self.text(path), re.MULTILINE) for path in paths)

    def toml(self, path: str) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text(path))
        except (ValueError, RecursionError):
            return {}

    def first(self, *paths: str) -> str | None:
        return next((path for path in paths if path in self.paths), None)


def table(value: object, key: str) -> dict[str, Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}
