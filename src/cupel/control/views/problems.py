"""What is wrong with a configuration, at its place in the file's text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from cupel.config.problem import ConfigErrors, Mark, Problem
from cupel.control.views.nouns.frozen import ProblemView, SourceLine

AROUND = 3
"""Lines before and after the one that is wrong."""

LONGEST = 400
"""Characters of a line that are shown."""

_PLACE = re.compile(r"(?P<file>\S.*?):(?P<line>\d{1,7}):(?P<column>\d{1,7}): (?P<message>.*)")


def of_errors(errors: ConfigErrors, texts: Mapping[str, str]) -> list[ProblemView]:
    """Those of a configuration that was just read; `texts` are the files that it was read from."""
    return _views(errors.problems, texts)


def of_text(text: str, texts: Mapping[str, str]) -> list[ProblemView]:
    """Those that were recorded, read back from how they were worded (`ConfigErrors`)."""
    found: list[Problem] = []
    for line in text.splitlines():
        if place := _PLACE.fullmatch(line):
            mark = Mark(place["file"], int(place["line"]), int(place["column"]))
            found.append(Problem(mark, place["message"]))
        elif found and line.startswith("  "):
            last = found[-1]
            hint = "\n".join(filter(None, (last.hint, line.strip())))
            found[-1] = Problem(last.at, last.message, hint)
    return _views(found, texts)


def _views(problems: Iterable[Problem], texts: Mapping[str, str]) -> list[ProblemView]:
    return [
        ProblemView(
            file=each.at.file,
            line=each.at.line,
            column=each.at.column,
            message=each.message,
            hint=each.hint,
            lines=_around(texts.get(each.at.file), each.at.line),
        )
        for each in problems
    ]


def _around(text: str | None, line: int) -> list[SourceLine]:
    if text is None:
        return []
    lines = text.split("\n")
    if line > len(lines):
        return []
    first = max(1, line - AROUND)
    return [
        SourceLine(number=number, text=each[:LONGEST])
        for number, each in enumerate(lines[first - 1 : line + AROUND], start=first)
    ]
