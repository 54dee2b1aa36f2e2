"""How much a commit changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cupel.git import run
from cupel.git.repository import oid


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """`files` that differ, and the `lines` added or removed in those of text."""

    files: int = 0
    lines: int = 0


async def extent(repo: Path, parent: str | None, commit: str) -> Extent:
    """What `commit` changes of `parent`, or of nothing."""
    between = ("--root", oid(commit)) if parent is None else (oid(parent), oid(commit))
    options = (
        "-r",
        "--no-commit-id",
        "--numstat",
        "--no-renames",
        "--no-ext-diff",
        "--no-textconv",
    )
    result = await run.git(repo, "diff-tree", *options, *between, "--")
    counts = [line.split(b"\t")[:2] for line in result.out.splitlines()]
    lines = sum(int(count) for pair in counts for count in pair if count != b"-")
    return Extent(files=len(counts), lines=lines)
