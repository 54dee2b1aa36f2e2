"""Where cores of crashed processes go. That is the host's setting, which is left as it is.

A pattern that is a path is followed inside the machine, so the core is the build's own file. One
that begins with `|` starts a program of the host's, as real root, on what a build's process left in
its memory: that is kept from happening.
"""

from __future__ import annotations

from pathlib import Path

PATTERN = Path("/proc/sys/kernel/core_pattern")
LARGEST = 1 << 30
WITHOUT_HANDLER = 1
"""The one limit at which the kernel does not start a handler (`do_coredump`; not 0)."""


def piped() -> bool:
    """Whether the host hands cores to a program."""
    return PATTERN.read_text().startswith("|")


def limit(disk: int) -> int:
    """RLIMIT_CORE for a machine with a disk of so many bytes."""
    return WITHOUT_HANDLER if piped() else min(disk // 4, LARGEST)
