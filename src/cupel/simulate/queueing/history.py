"""A repository's history as a trace: when changes landed, and what they touched."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cupel.errors import InfraError, UserError
from cupel.git import run
from cupel.simulate.queueing import trace
from cupel.simulate.queueing.trace import Told

NEWEST = 2000
"""Commits that are looked at, newest first."""


def read(repo: Path) -> list[Told]:
    """The first-parent history of HEAD: a change for each commit, at its commit time."""
    if not repo.exists():
        raise UserError(f"{repo} does not exist")
    return asyncio.run(_read(repo))


async def _read(repo: Path) -> list[Told]:
    directory = repo / ".git" if (repo / ".git").exists() else repo
    try:
        found = await run.git(
            directory,
            "log",
            "--first-parent",
            "--diff-merges=first-parent",
            "--no-renames",
            f"--max-count={NEWEST}",
            "--format=%x01%ct",
            "--name-only",
            "-z",
            "HEAD",
        )
    except InfraError as error:
        raise UserError(
            f"{repo} has no history that git can read", hint=error.hint or error.message
        ) from None
    told = trace.logged(found.out.decode(errors="replace"))
    if not told:
        raise UserError(f"{repo} has no commits")
    return told
