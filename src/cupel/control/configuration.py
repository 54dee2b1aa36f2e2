"""A project's configuration as a commit has it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from cupel.config import load
from cupel.git import commits
from cupel.git.commits import Env


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The paths of a commit's files, and the text of those that its configuration is read from."""

    listing: Sequence[str]
    texts: Mapping[str, str]

    def load(self, labels: Collection[str] | None) -> load.Loaded:
        """Raises `ConfigErrors`."""
        return load.load(self.texts, self.listing, labels)


async def sources(repo: Path, commit: str, *, env: Env = None) -> Sources:
    """Raises `UserError` for a file that is too large."""
    listing = await commits.list_files(repo, commit, env=env)
    wanted = load.config_paths(listing)
    files = {path: await commits.read_file(repo, commit, path, env=env) for path in wanted}
    texts = {path: text.decode(errors="replace") for path, text in files.items() if text}
    return Sources(listing=listing, texts=texts)
