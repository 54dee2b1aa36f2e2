"""What is looked for in the text of logs: words or a regular expression, line by line.

A line is looked at as it is shown, without what colours it. Case is that of ASCII letters: others
are compared as they are, so that a byte is a byte wherever a search looks.
"""

from __future__ import annotations

import abc
import dataclasses
import re
from collections.abc import Iterator

from cupel.errors import UserError

LONGEST = 1_000
"""Characters of a pattern."""

_ESCAPE = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]+[0-~]|[0-Z\\^-~])"
)
_BEYOND_A_LINE = re.compile(r"\(\?|\\[AZ]")
"""What can tell where a line ends from where the text does, or look past its ends."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What is looked for. Without `case`, ASCII letters fit whatever their case."""

    text: str
    regex: bool = False
    case: bool = False

    def literals(self) -> list[bytes]:
        """Texts of which a line that fits has each, in lower case; fewer than there may be."""
        found = _required(self.text) if self.regex else [self.text]
        return [_folded(each) for each in found]

    def finder(self) -> Finder:
        """Raises `UserError` for an expression that is none."""
        return _Expression(self) if self.regex else _Words(self)


class Finder(abc.ABC):
    """Finds lines that fit in a text of whole lines."""

    @abc.abstractmethod
    def lines(self, text: bytes) -> Iterator[tuple[int, int, int]]:
        """Where each line that fits begins, and where what fits in it first begins and ends."""


class _Words(Finder):
    def __init__(self, pattern: Pattern) -> None:
        self._case = pattern.case
        self._needle = pattern.text.encode() if pattern.case else _folded(pattern.text)

    def lines(self, text: bytes) -> Iterator[tuple[int, int, int]]:
        folded = text if self._case else text.lower()
        at = folded.find(self._needle)
        while at >= 0:
            yield folded.rfind(b"\n", 0, at) + 1, at, at + len(self._needle)
            end = folded.find(b"\n", at + len(self._needle))
            at = folded.find(self._needle, end) if end >= 0 else -1


class _Expression(Finder):
    def __init__(self, pattern: Pattern) -> None:
        flags = re.MULTILINE if pattern.case else re.MULTILINE | re.IGNORECASE
        try:
            self._compiled = re.compile(pattern.text.encode(), flags)
        except (re.error, OverflowError, RecursionError) as error:
            raise UserError(
                f"{pattern.text[:80]!r} is no regular expression: {error}",
                hint="write it as Python's `re` does, or look for the words as they stand",
            ) from None
        self._line_by_line = _BEYOND_A_LINE.search(pattern.text) is not None

    def lines(self, text: bytes) -> Iterator[tuple[int, int, int]]:
        start = 0
        while 0 <= start < len(text):
            if not self._line_by_line:
                # All that may be in one line; a match across lines only says where to look.
                found = self._compiled.search(text, start)
                if found is None:
                    return
                start = text.rfind(b"\n", start, found.start()) + 1 or start
                if start == len(text):
                    return
            end = text.find(b"\n", start)
            line = text[start:] if end < 0 else text[start:end]
            fits = self._compiled.search(line)
            if fits is not None:
                yield start, start + fits.start(), start + fits.end()
            start = -1 if end < 0 else end + 1


def checked(text: str, *, regex: bool = False, case: bool = False) -> Pattern:
    """A pattern that can be looked for. Raises `UserError`."""
    if not text.strip():
        raise UserError("there is nothing to look for", hint="write a word, or a part of one")
    if len(text) > LONGEST:
        raise UserError(f"what is looked for has at most {LONGEST} characters, not {len(text)}")
    if not regex and "\n" in text:
        raise UserError("what is looked for stands in one line", hint="look for one of its lines")
    pattern = Pattern(text=text.encode(errors="replace").decode(), regex=regex, case=case)
    pattern.finder()
    return pattern


def shown(text: bytes) -> bytes:
    """Text without escape sequences; its lines stay lines."""
    return _ESCAPE.sub(b"", text) if b"\x1b" in text else text


def _folded(text: str) -> bytes:
    return text.encode().lower()


def _required(expression: str) -> list[str]:
    """Literal texts that whatever the expression fits contains; none where that is not plain."""
    if expression.startswith("(?"):
        return []  # flags may change what all of it means
    runs, run, at = [], "", 0
    while at < len(expression):
        char = expression[at]
        if char == "|":
            return []
        literal, at = _atom(expression, at)
        quantifier = expression[at : at + 1]
        optional = quantifier in ("?", "*", "{")
        if literal is not None and not optional:
            run += literal
        if literal is None or quantifier in ("?", "*", "+", "{"):
            runs.append(run)
            run = ""
        if quantifier in ("?", "*", "+", "{") and quantifier:
            at = _past_quantifier(expression, at)
    return [each for each in [*runs, run] if each]


def _atom(expression: str, at: int) -> tuple[str | None, int]:
    """The character that the atom at a place stands for, if it is one, and where it ends."""
    char = expression[at]
    if char == "\\":
        next_char = expression[at + 1 : at + 2]
        return (None if next_char.isalnum() else next_char), at + 2
    if char == "[":
        return None, _past_class(expression, at)
    if char == "(":
        return None, _past_group(expression, at)
    return (None if char in ".^$)" else char), at + 1


def _past_class(expression: str, at: int) -> int:
    at += 2 if expression[at + 1 : at + 2] == "^" else 1
    if expression[at : at + 1] == "]":
        at += 1
    while at < len(expression) and expression[at] != "]":
        at += 2 if expression[at] == "\\" else 1
    return at + 1


def _past_group(expression: str, at: int) -> int:
    depth = 0
    while at < len(expression):
        match expression[at]:
            case "\\":
                at += 1
            case "[":
                at = _past_class(expression, at) - 1
            case "(":
                depth += 1
            case ")":
                depth -= 1
                if depth == 0:
                    return at + 1
        at += 1
    return at


def _past_quantifier(expression: str, at: int) -> int:
    if expression[at] == "{":
        close = expression.find("}", at)
        at = len(expression) if close < 0 else close + 1
    else:
        at += 1
    return at + 1 if expression[at : at + 1] in ("?", "+") else at
