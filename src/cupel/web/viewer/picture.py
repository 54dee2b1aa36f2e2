"""Images by their first bytes, whatever they are called."""

from __future__ import annotations

import dataclasses

_VECTOR = (b"<svg", b"<?xml", b"<!--", b"<!DOCTYPE svg")
"""What a vector image begins with, after blanks."""

_BLANKS = b"\xef\xbb\xbf \t\r\n"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Vectors are shown as an image too: scripts in one never run."""

    media_type: str


def of(head: bytes, suffix: str = "") -> Picture | None:
    """The image that begins so; None for what is no image that pages show."""
    found = media_type(head, suffix)
    return None if found is None else Picture(media_type=found)


def media_type(head: bytes, suffix: str) -> str | None:
    """The type of an image by its magic number; a vector needs the name of one as well."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    vector = suffix.lower() == ".svg" and head.lstrip(_BLANKS).startswith(_VECTOR)
    if vector and b"<svg" in head:
        return "image/svg+xml"
    return None
