"""What of a page a browser has already, so that an event moves a few rows and not five hundred.

A template marks a part by ending it with `<!---->`; it has to be an `li` with an id. Of a part that
a browser shows as it is, a refresh sends only that: an empty one with `data-same`, for which the
browser leaves what it has.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping

PART = re.compile(r'<li id="([\w-]+)"[^>]*>.*?</li><!---->', re.DOTALL)

GOES_ON = re.compile(r"<time[^>]*>[^<]*</time>|<progress[^>]*>")
"""What goes on by itself, and is no difference."""

FEW = 16
"""Parts below which a page is sent whole."""

MOST = 32
"""Versions whose parts are remembered."""

Digests = Mapping[str, bytes]


def version(body: str) -> str:
    """Names what is shown; two that differ only in what goes on by itself are the same."""
    return _digest(body, 12).hex()


def _digest(text: str, size: int) -> bytes:
    return hashlib.blake2b(GOES_ON.sub("", text).encode(), digest_size=size).digest()


class Versions:
    """Of what parts the live parts of pages were made, by their version."""

    def __init__(self) -> None:
        self._digests: OrderedDict[str, Digests] = OrderedDict()
        self._made: OrderedDict[tuple[str, str], str] = OrderedDict()

    def add(self, version: str, body: str) -> None:
        if version in self._digests:
            self._digests.move_to_end(version)
        elif body.count("<!---->") >= FEW:
            self._digests[version] = {m[1]: _digest(m[0], 8) for m in PART.finditer(body)}
            if len(self._digests) > MOST:
                self._digests.popitem(last=False)

    def difference(self, have: str, version: str, body: Callable[[], str]) -> str | None:
        """What a browser lacks of the body of a `version` that was added, if it shows `have`; None
        if that is not known."""
        if have not in self._digests or version not in self._digests:
            return None
        key = (have, version)
        if key not in self._made:
            self._made[key] = self._difference(self._digests[have], self._digests[version], body())
            if len(self._made) > MOST:
                self._made.popitem(last=False)
        return self._made[key]

    def _difference(self, shown: Digests, wanted: Digests, body: str) -> str:
        def shorter(match: re.Match[str]) -> str:
            name = match[1]
            same = name in shown and shown[name] == wanted.get(name)
            return f'<li id="{name}" data-same></li>' if same else match[0]

        return PART.sub(shorter, body)
