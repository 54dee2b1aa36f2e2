"""Text from outside, made harmless for a terminal."""

from __future__ import annotations

import re

_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # control sequences: colours, cursor, erasing
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # titles, links
    r"|\x1b[ -/]+[0-~]"  # character sets
    r"|\x1b[0-Z\\^-~]"  # two-character escapes
)

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls; what is left of broken escapes
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f]"  # what reorders text
)


def plain(text: str) -> str:
    """A line without anything that a terminal would act on; tabs stay.

    A carriage return starts the line over, as on a terminal; what else is hidden becomes U+FFFD.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = _ESCAPE.sub("", text).rstrip("\r").rpartition("\r")[2]
    return _HIDDEN.sub("\N{REPLACEMENT CHARACTER}", shown)


def single(text: str) -> str:
    """The same on one line, for a table."""
    return plain(" ".join(text.split()))
