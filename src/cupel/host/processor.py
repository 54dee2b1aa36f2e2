"""What processor this computer has, in the words of the kernel."""

from __future__ import annotations

from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
LONGEST = 120
"""Characters of the name that are told."""

_NAMES = ("model name", "Model", "Processor", "cpu model", "Hardware", "uarch", "CPU part")
"""What kernels of various architectures call it."""


def model(cpuinfo: Path = CPUINFO) -> str:
    """The name of the first processor; empty where the kernel does not say."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    told = {
        name.strip(): " ".join(value.split())
        for name, colon, value in (line.partition(":") for line in reversed(lines))
        if colon
    }
    return next((told[name] for name in _NAMES if told.get(name)), "")[:LONGEST]
