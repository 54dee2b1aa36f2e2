"""The working tree that is to be run, read: nothing but git is needed for that.

So it goes on while all that runs jobs is still being loaded.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

from cupel.git import commits, snapshot
from cupel.git.snapshot import Snapshot, Worktree
from cupel.local import place


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A state of a working tree, the paths of its files, and the directory `held` for a run."""

    worktree: Worktree
    snapshot: Snapshot
    listing: tuple[str, ...]
    held: Path


@contextlib.asynccontextmanager
async def read(path: Path, state: Path, commit: str | None = None) -> AsyncIterator[Read]:
    """What stands in the working tree, or a committed state of it. Raises `UserError`."""
    worktree = await snapshot.find(path)
    with place.hold(state, worktree.root) as held:
        repo = held / "tree.git"
        if commit is None:
            taken = await snapshot.take(worktree, repo, without=state.resolve())
        else:
            taken = await snapshot.committed(worktree, commit, repo)
        listing = await commits.list_files(repo, taken.commit)
        yield Read(worktree=worktree, snapshot=taken, listing=listing, held=held)
