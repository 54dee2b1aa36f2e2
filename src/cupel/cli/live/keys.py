"""Keys as a terminal sends them, named."""

from __future__ import annotations

import re
from collections.abc import Iterator

_NAMED = {
    "\x1b[A": "up",
    "\x1bOA": "up",
    "\x1b[B": "down",
    "\x1bOB": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1b[5~": "page-up",
    "\x1b[6~": "page-down",
    "\x1b[H": "home",
    "\x1b[1~": "home",
    "\x1bOH": "home",
    "\x1b[F": "end",
    "\x1b[4~": "end",
    "\x1bOF": "end",
    "\x1b": "escape",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x15": "clear",
}

_KEY = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]"  # control sequences
    r"|\x1bO[A-Z]"  # what keys send in application mode
    r"|\x1b|[^\x1b]",
    re.DOTALL,
)


def parse(text: str) -> Iterator[str]:
    """The keys in what was read at once; unknown sequences and control characters are left out."""
    for key in _KEY.findall(text):
        name = _NAMED.get(key, key)
        if len(name) > 1 and name.startswith("\x1b"):
            continue
        if len(name) > 1 or name.isprintable():
            yield name
