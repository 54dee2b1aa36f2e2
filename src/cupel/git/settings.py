"""What Cupel sets in the repositories that it keeps, in a file that their `config` includes."""

from __future__ import annotations

import os
from pathlib import Path

NAME = "cupel.config"
"""The included file, beside `config`. It comes first, so a setting in `config` itself wins."""

SETTINGS: tuple[tuple[str, str, str], ...] = (
    # What a branch pointed to, and when, is worth keeping.
    ("core", "logAllRefUpdates", "true"),
    # An acknowledged change survives a power cut.
    ("core", "fsync", "committed"),
    # Maintenance runs when Cupel says so, never in the middle of somebody's push.
    ("gc", "auto", "0"),
    ("receive", "autogc", "false"),
    ("receive", "advertisePushOptions", "true"),
    ("receive", "procReceiveRefs", "refs/for"),
    ("receive", "procReceiveRefs", "refs/for-review"),
    # Objects that could harm the machines that check them out are refused, old sins are not.
    ("receive", "fsckObjects", "true"),
    ('receive "fsck"', "badTimezone", "ignore"),
    ('receive "fsck"', "missingSpaceBeforeDate", "ignore"),
    ('receive "fsck"', "zeroPaddedFilemode", "ignore"),
    # Hosts fetch speculative states by commit.
    ("uploadpack", "allowAnySHA1InWant", "true"),
    ("uploadpack", "allowFilter", "true"),
)


def text(hooks: str) -> str:
    """The file, for hooks that lie in `hooks`, a path relative to the repository."""
    quoted = hooks.replace("\\", "\\\\").replace('"', '\\"')
    lines = [
        f"[{section}]\n\t{key} = {value}"
        for section, key, value in (*SETTINGS, ("core", "hooksPath", f'"{quoted}"'))
    ]
    return "# Written by Cupel at each start; your own settings go to `config`.\n" + "\n".join(
        (*lines, "")
    )


def write(repo: Path, hooks: Path) -> None:
    """Bring the settings of a repository up to date. Repeatable."""
    # Relative, so that a state directory can be moved as a whole.
    wanted = text(os.path.relpath(hooks, repo))
    file = repo / NAME
    if file.exists() and file.read_text() == wanted:
        return
    fresh = repo / f"{NAME}.new"
    fresh.write_text(wanted)
    fresh.replace(file)


def include(repo: Path) -> None:
    """Let a newly made repository read its settings."""
    config = repo / "config"
    config.write_text(f"[include]\n\tpath = {NAME}\n{config.read_text()}")
