"""Text from outside, made harmless for a terminal."""

from __future__ import annotations

import re

from cupel.log.plain import plain, single

__all__ = ["coloured", "plain", "single"]

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


def coloured(text: str) -> str:
    """As `plain`, but colours stay, which end with the line."""
    parts = _COLOUR.split(text)
    if len(parts) == 1:
        return plain(text)
    marks = [*_COLOUR.findall(text), "\x1b[0m"]
    return "".join(f"{plain(part)}{mark}" for part, mark in zip(parts, marks, strict=True))
