"""Paths as tools write them, made paths of the project or nothing: what leads elsewhere is none."""

from __future__ import annotations

import re
from urllib.parse import unquote

from cupel.core import results
from cupel.report.results import place

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def path(text: str) -> str | None:
    """The path below the project's root; None for one that is not there, or is no path."""
    if not text or len(text) > results.LONGEST_PATH:
        return None
    own = place.own(text.replace("\\", "/"))
    parts = [part for part in own.split("/") if part not in ("", ".")]
    if own.startswith("/") or ".." in parts or _SCHEME.match(own) or not parts:
        return None
    joined = "/".join(parts)
    return joined if joined == results.one_line(joined, results.LONGEST_PATH) else None


def uri(text: str, base: str = "") -> str | None:
    """As `path`, of a URI that may be relative to a `base`."""
    if len(text) > 4 * results.LONGEST_PATH or len(base) > 4 * results.LONGEST_PATH:
        return None
    whole = text
    if base and not _SCHEME.match(text) and not text.startswith("/"):
        whole = f"{base.rstrip('/')}/{text}"
    return path(unquote(re.sub(r"^file:/+(?:localhost/)?", "/", whole)))
