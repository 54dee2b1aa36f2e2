"""Whether tests fail in the same way. Pure: values in, values out."""

from __future__ import annotations

import re

from cupel.core.results import Result

LONGEST = 400
"""Characters of a message that say in which way it is."""

_VARYING = re.compile(
    r"0x[0-9a-fA-F]+"  # addresses
    r"|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"  # UUIDs
    r"|\b[0-9a-f]{12,64}\b"  # digests
    r"|/tmp/\S{1,200}"  # places that are new each time
    r"|[0-9]+(?:[.,:][0-9]+)*"  # numbers, durations, times, ports
)


def way(result: Result) -> str:
    """In which way a test has failed: its message without what is another each time."""
    text = result.message or next(iter(result.text.strip().splitlines()), "")
    return " ".join(_VARYING.sub("#", text[: 4 * LONGEST]).split())[:LONGEST]
