"""A project's configuration as it stands in a working tree, committed or not."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cupel.errors import UserError

if TYPE_CHECKING:
    from cupel.config.load import Loaded

SKIPPED = frozenset({".git", ".hg", ".venv", "node_modules", "__pycache__", ".tox", ".nox"})
MAX_READ = (1 << 20) + 1
"""Bytes of a file that are read: one more than a configuration may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worktree:
    """The paths of a working tree, and the texts of those that configuration is made of."""

    root: Path
    listing: tuple[str, ...]
    files: dict[str, str]

    def load(self) -> Loaded:
        """Raises `ConfigErrors` with everything that is wrong."""
        from cupel.config import load

        return load.load(self.files, self.listing)


def read(path: Path) -> Worktree:
    """The working tree that `path` is in, or that is named by a file of its configuration."""
    from cupel.config import load

    if not path.exists():
        raise UserError(f"{path} does not exist")
    root = _root(path.resolve())
    listing = tuple(asyncio.run(_listing(root)))
    files = {name: text(root / name) for name in load.config_paths(listing)}
    return Worktree(root=root, listing=listing, files=files)


def _root(path: Path) -> Path:
    """The nearest directory that is a repository or has a configuration, else `path` itself."""
    start = path if path.is_dir() else path.parent
    for directory in (start, *start.parents):
        if (directory / ".git").exists() or (directory / ".cupel.yaml").exists():
            return directory
    return start


async def _listing(root: Path) -> list[str]:
    """Paths of files that git keeps or would keep; of all, where there is no repository."""
    if not (root / ".git").exists():
        return _walk(root)
    from cupel.git import run

    found = await run.git(
        root / ".git",
        f"--work-tree={root}",
        "ls-files",
        "-z",
        "--full-name",
        "--cached",
        "--others",
        "--exclude-standard",
    )
    names = {name for name in os.fsdecode(found.out).split("\0") if name}
    return sorted(name for name in names if (root / name).is_file())


def _walk(root: Path) -> list[str]:
    found = []
    for directory, subdirectories, names in os.walk(root):
        subdirectories[:] = [name for name in subdirectories if name not in SKIPPED]
        found += [(Path(directory) / name).relative_to(root).as_posix() for name in names]
    return sorted(found)


def text(path: Path) -> str:
    """The beginning of a file, more than any configuration may have. Raises `UserError`."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_READ).decode(errors="replace")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
