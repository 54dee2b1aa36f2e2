"""Which lines a commit adds to files, compared with another."""

from __future__ import annotations

import collections
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from cupel.git import run
from cupel.git.commits import Env
from cupel.git.repository import oid

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""What a first commit is compared with; every git knows it."""

KEPT = 64
"""Comparisons that are remembered."""

SECONDS = 20.0

_HUNK = re.compile(rb"@@ -\d{1,9}(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")

Added = Mapping[str, Sequence[tuple[int, int]]]
"""By path, the first and the last line of each place where some were added, in order."""

_remembered: collections.OrderedDict[tuple[str, str], Added] = collections.OrderedDict()
"""By the two commits, which are named by content, so it is good for all repositories."""


async def added(repo: Path, old: str | None, new: str, *, env: Env = None) -> Added:
    """The lines that `new` has and `old` (None: nothing) has not. Binary files have none."""
    key = (old or EMPTY_TREE, new)
    if key not in _remembered:
        listing = await run.git(
            repo,
            *("diff", "--unified=0", "--no-color", "--no-ext-diff", "--no-textconv"),
            *("--no-renames", "--no-prefix", "--diff-filter=AM", "--ignore-submodules"),
            *(oid(key[0]), oid(new), "--"),
            env=env,
            config={"core.quotePath": "false"},
            timeout=SECONDS,
        )
        _remembered[key] = parse(listing.out)
        while len(_remembered) > KEPT:
            _remembered.popitem(last=False)
    _remembered.move_to_end(key)
    return _remembered[key]


def parse(diff: bytes) -> Added:
    """What a diff without context adds. A file whose name git has to quote is left out."""
    found: dict[str, list[tuple[int, int]]] = {}
    path: str | None = None
    left = 0
    for line in diff.split(b"\n"):
        if left:  # what is in a hunk may look like anything
            left -= not line.startswith(b"\\")
        elif line.startswith(b"+++ "):
            name = line[4:].removesuffix(b"\t").decode(errors="replace")
            path = None if name.startswith('"') or name == "/dev/null" else name
        elif hunk := _HUNK.match(line):
            removed, first, count = (int(each) if each is not None else 1 for each in hunk.groups())
            left = count + removed
            if path is not None and count:
                found.setdefault(path, []).append((first, first + count - 1))
    return found
