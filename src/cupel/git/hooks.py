"""Installs the hooks that hand a push to the server."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from cupel.git import hook

NAMES = ("pre-receive", "proc-receive")


def install(directory: Path) -> None:
    """Write the hooks into `directory`. Done at each start: Python may have moved."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        # By way of sh: the kernel limits the length of a `#!` line and splits it at spaces.
        command = shlex.join([sys.executable, "-IS", str(Path(hook.__file__).resolve()), name])
        wanted = f"#!/bin/sh\nexec {command}\n"
        file = directory / name
        if file.exists() and file.read_text() == wanted:
            continue
        fresh = directory / f".{name}.new"
        fresh.write_text(wanted)
        fresh.chmod(0o755)
        fresh.replace(file)
