"""`::error file=…,line=…::text` in what a build prints, as runners of other systems read it.

The form is that of GitHub's workflow commands: properties with `%25`, `%0D`, `%0A`, `%3A` and `%2C`
for what may not stand in them.
"""

from __future__ import annotations

import re

from cupel.core import results
from cupel.core.results import Annotation, Level
from cupel.report.results import source, where

LONGEST = 4096
"""Bytes of a line that are looked at."""

_COMMAND = re.compile(r"\s{0,80}::(error|warning|notice)(?: +([^:]{0,2000}))?::(.*)", re.DOTALL)
_ESCAPES = (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%"))


def read(line: str) -> Annotation | None:
    """What a line says of the source; None for any other."""
    found = _COMMAND.fullmatch(line)
    if found is None:
        return None
    given = dict(_property(each) for each in (found[2] or "").split(","))
    path = where.path(given.get("file", ""))
    number = source.number(given.get("line")) if path is not None else None
    message = results.one_line(_unescaped(found[3]), results.LONGEST_MESSAGE)
    return Annotation(
        path=path,
        line=number,
        end_line=source.number(given.get("endLine")) if number is not None else None,
        column=source.number(given.get("col")) if number is not None else None,
        level=Level(found[1]),
        title=results.one_line(given.get("title", ""), results.LONGEST_NAME),
        message=message or "(no message)",
    )


def _property(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key.strip(), _unescaped(value)


def _unescaped(text: str) -> str:
    for code, character in _ESCAPES:
        text = text.replace(code, character)
    return text


class Scanner:
    """Finds them in output as it comes: by step, stream and machine, for those do not mix."""

    def __init__(self, most: int = results.MOST_ANNOTATIONS) -> None:
        self.found: list[Annotation] = []
        self._most = most
        self._begun: dict[tuple[int, str, int], bytes] = {}

    def feed(self, step: int, stream: str, part: int, data: bytes) -> None:
        if stream == "cupel" or len(self.found) >= self._most:
            return
        key = (step, stream, part)
        begun = self._begun.pop(key, b"")
        first, newline, rest = data.partition(b"\n")
        whole = begun + first[: LONGEST - len(begun)]
        if not newline:
            self._begun[key] = whole
            return
        self._take(whole)
        body, _, last = rest.rpartition(b"\n")
        if b"::" in body:
            for line in body.split(b"\n"):
                self._take(line[:LONGEST])
        if last:
            self._begun[key] = last[:LONGEST]

    def end(self) -> list[Annotation]:
        """All of them; nothing more is to come."""
        for line in self._begun.values():
            self._take(line)
        self._begun.clear()
        return self.found

    def _take(self, line: bytes) -> None:
        if b"::" in line and len(self.found) < self._most:
            annotation = read(line.decode("utf-8", "replace").rstrip("\r"))
            if annotation is not None:
                self.found.append(annotation)
