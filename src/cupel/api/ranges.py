"""The `Range` header (RFC 9110, section 14): one range of bytes; what is not that is ignored."""

from __future__ import annotations

import dataclasses
import re

_ONE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*$")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """`length` bytes from `start` on, of `size`; `partial` if a range asked for them."""

    start: int
    length: int
    size: int
    partial: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """A range that begins after the end."""


def parse(header: str | None, size: int) -> Part | Unsatisfiable:
    """What to send of `size` bytes."""
    whole = Part(start=0, length=size, size=size, partial=False)
    found = _ONE.match(header or "")
    if found is None or found[0].strip() == "bytes=-":
        return whole
    if not found[1]:
        length = min(int(found[2]), size)
        if length == 0:
            return Unsatisfiable()
        return Part(start=size - length, length=length, size=size, partial=True)
    start = int(found[1])
    end = min(int(found[2]), size - 1) if found[2] else size - 1
    if found[2] and int(found[2]) < start:
        return whole
    if start >= size:
        return Unsatisfiable()
    return Part(start=start, length=end - start + 1, size=size, partial=True)
