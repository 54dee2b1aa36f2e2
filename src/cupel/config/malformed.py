"""What is wrong with text that is not YAML, in words that say what to write instead."""

from __future__ import annotations

import re
from typing import Protocol

import yaml

from cupel.config.problem import Mark, show

_NO_SPACE = re.compile(r"^\s*(?:- +)?([A-Za-z_][\w.-]*):(?=[^\s:/])")

_QUOTE_IT = "put the value in quotes"


class _Position(Protocol):
    """The marks of PyYAML and of its C twin; both count from 0."""

    line: int
    column: int


def explain(error: Exception, file: str, text: str) -> tuple[Mark, str, str | None]:
    """Where the error is, what is wrong and a hint, for an error of PyYAML's reader or parser."""
    if isinstance(error, yaml.reader.ReaderError):
        return _unreadable(error, file, text)
    if not isinstance(error, yaml.MarkedYAMLError):
        return Mark(file), "this cannot be read as YAML", str(error)[:200] or None
    at = mark(file, error.problem_mark or error.context_mark)
    problem = error.problem or "this cannot be read as YAML"
    if "quoted scalar" in (error.context or "") and "end of stream" in problem:
        return mark(file, error.context_mark), "this quote is never closed", None
    if "document separator" in problem and "quoted scalar" in (error.context or ""):
        return mark(file, error.context_mark), "this quote is never closed", None
    if "mapping values are not allowed" in problem or "could not find expected ':'" in problem:
        return _colon(problem, at, error, file, text)
    if "cannot start any token" in problem:
        return _token(problem, at)
    return _structure(problem, at, error, file)


def mark(file: str, at: _Position | None) -> Mark:
    """PyYAML's mark, which counts from 0, as ours; the beginning of the file for none."""
    return Mark(file, at.line + 1, at.column + 1) if at else Mark(file)


def _unreadable(
    error: yaml.reader.ReaderError, file: str, text: str
) -> tuple[Mark, str, str | None]:
    before = text[: error.position]
    at = Mark(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
    return at, "a character that YAML does not allow", "write it as an escape in double quotes"


def _colon(
    problem: str, at: Mark, error: yaml.MarkedYAMLError, file: str, text: str
) -> tuple[Mark, str, str | None]:
    """A colon too many, or one without the space after it: on this line or just above."""
    lines = text.split("\n")
    first = error.context_mark.line + 1 if error.context_mark else at.line - 1
    for number in range(max(1, first), min(at.line, len(lines)) + 1):
        found = _NO_SPACE.match(lines[number - 1])
        if found:
            where = Mark(file, number, found.start(1) + 1)
            return where, "no space after the colon", f'write "{found[1]}: …"'
    if "could not find" in problem:
        where = mark(file, error.context_mark)
        return where, "neither a key nor an item", 'write "key: value", or "- value" for an item'
    return (
        at,
        "a colon that YAML takes for a second key on this line",
        f"{_QUOTE_IT} if it contains “: ”, or indent the line like its neighbours",
    )


def _token(problem: str, at: Mark) -> tuple[Mark, str, str | None]:
    if r"'\t'" in problem:
        return at, "a tab, where YAML allows only spaces", "indent with spaces"
    found = re.search(r"character '(.+?)'", problem)
    char = found[1] if found else "?"
    return at, f"a value cannot begin with “{char}”", _QUOTE_IT


def _structure(
    problem: str, at: Mark, error: yaml.MarkedYAMLError, file: str
) -> tuple[Mark, str, str | None]:
    context = error.context or ""
    if "flow" in context:
        bracket = "{" if "mapping" in context else "["
        close = "}" if "mapping" in context else "]"
        where = mark(file, error.context_mark)
        hint = f"add what is missing, or {_QUOTE_IT} if the “{bracket}” is part of a text"
        return where, f"“{bracket}” without its “{close}”, or a comma missing", hint
    if "expected <block end>" in problem:
        return (
            at,
            "this line does not fit the ones above it",
            "indent it exactly as the other lines of the same list or mapping",
        )
    if "scanning an alias" in context:
        return at, "“*” begins an alias in YAML", f"{_QUOTE_IT} if it is a pattern"
    if "escape character" in problem:
        return at, "an unknown escape in double quotes", "use single quotes, or write \\\\"
    words = f"{context}: {problem}" if context else problem
    return at, f"this cannot be read as YAML: {show(words)}", None
