"""What is looked for in a log, and which lines of many fit it.

A line fits as if it were looked at alone. Many are looked at in one go nevertheless, which is many
times quicker: a pattern is rewritten so that nothing in it can match the end of a line. One that
cannot be rewritten is tried line by line.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Callable, Iterator

from cupel.errors import UserError
from cupel.log import index, rules

LONGEST = 1000
"""Characters of a search."""

SEVERITIES = ("error", "warning")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What lines must have: each that is not empty or None.

    `text` is a plain text, or with `regex` a regular expression of Python's; it fits any `case`
    unless that is asked for, and parts of words unless `word` is. A `severity` of warning takes
    errors too. `stream` is out, err or cupel; `part` the machine's place among the build's.
    """

    text: str = ""
    regex: bool = False
    case: bool = False
    word: bool = False
    severity: str = ""
    stream: str = ""
    part: int | None = None

    def check(self) -> None:
        """Raises `UserError` for what cannot be looked for."""
        if len(self.text) > LONGEST:
            raise UserError(f"q: a search has at most {LONGEST:,} characters")
        if "\n" in self.text:
            raise UserError("q: a search is in one line, and this has several")
        if self.severity not in ("", *SEVERITIES):
            raise UserError(f"severity: {self.severity!r} is neither error nor warning")
        if self.stream not in ("", *index.STREAMS):
            names = ", ".join(index.STREAMS)
            raise UserError(f"stream: {self.stream!r} is none of {names}")
        if self.text:
            _compiled(self)


Finder = Callable[[str, int], Iterator[int]]
"""Of some lines, which are so many, the numbers (from 0) of those that fit, in order."""


def finder(query: Query) -> Finder:
    """What finds the lines of a query's text and severity; stream and part are in the index."""
    finders = []
    if query.text:
        finders.append(_text_finder(query))
    if query.severity:
        finders.append(_severe(query.severity))
    if not finders:
        return lambda _, count: iter(range(count))
    return finders[0] if len(finders) == 1 else _both(*finders)


def _both(first: Finder, second: Finder) -> Finder:
    def find(lines: str, count: int) -> Iterator[int]:
        found = list(first(lines, count))
        if found:
            every = lines.split("\n")
            some = [every[number] for number in found]
            yield from (found[at] for at in second("\n".join(some), len(some)))

    return find


def _text_finder(query: Query) -> Finder:
    if query.regex:
        return _regex(query)
    whole = re.compile(rf"(?<!\w){re.escape(query.text)}(?!\w)" if query.word else "")
    if query.case:
        return lambda lines, _: _plain(lines, query.text, whole)
    low, low_whole = query.text.lower(), re.compile(whole.pattern.lower())
    any_case = _walk(_compiled(query).search)

    def find(lines: str, count: int) -> Iterator[int]:
        # Outside of ASCII there is more to the case of letters than two forms of one length.
        if query.text.isascii() and lines.isascii():
            return _plain(lines.lower(), low, low_whole)
        return any_case(lines, count)

    return find


def _plain(lines: str, wanted: str, whole: re.Pattern[str]) -> Iterator[int]:
    number = counted = at = 0
    while (at := lines.find(wanted, at)) >= 0:
        if not whole.match(lines, at):
            at += 1
            continue
        number += lines.count("\n", counted, at)
        yield number
        counted, at = at, lines.find("\n", at + len(wanted))
        if at < 0:
            return


def _regex(query: Query) -> Finder:
    pattern = _compiled(query)
    rewritten = within_lines(query.text)
    if rewritten is not None:
        return _walk(_compiled(dataclasses.replace(query, text=rewritten), re.MULTILINE).search)

    def find(lines: str, _: int) -> Iterator[int]:
        search = pattern.search
        return (number for number, line in enumerate(lines.split("\n")) if search(line))

    return find


def _walk(search: Callable[[str, int], re.Match[str] | None]) -> Finder:
    def find(lines: str, _: int) -> Iterator[int]:
        number = counted = at = 0
        while (found := search(lines, at)) is not None:
            number += lines.count("\n", counted, found.start())
            yield number
            counted = found.start()
            at = lines.find("\n", found.end()) + 1
            if at == 0:
                return

    return find


def _severe(severity: str) -> Finder:
    fits = rules.is_error if severity == "error" else rules.is_warning

    def find(lines: str, _: int) -> Iterator[int]:
        return (number for number, line in enumerate(lines.split("\n")) if fits(line))

    return find


def _compiled(query: Query, flags: int = 0) -> re.Pattern[str]:
    """The pattern of a query's text. Raises `UserError` for one that is none."""
    text = query.text if query.regex else re.escape(query.text)
    if query.word:
        text = rf"(?<!\w)(?:{text})(?!\w)"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a later Python may understand differently
            return re.compile(text, flags if query.case else flags | re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise UserError(
            f"q: {query.text!r} is not a regular expression: {error}",
            hint="see https://docs.python.org/3/library/re.html, or search for plain text",
        ) from None


_TOKEN = re.compile(
    r"(?P<escape>\\.)"
    r"|\[(?P<negated>\^?)(?P<members>\]?(?:\\.|[^\]\\])*)\]"
    r"|(?P<group>\(\?(?!:|P<[a-zA-Z_]\w*>))"
    r"|(?P<other>.)",
    re.DOTALL | re.ASCII,
)
_REWRITTEN = {r"\s": r"[^\S\n]", r"\W": r"[^\w\n]", r"\D": r"[^\d\n]"}
_HARMLESS = re.compile(r"\\[wdS]|\\[^\w\s]", re.ASCII)


def within_lines(pattern: str) -> str | None:
    """A pattern that fits the same as this one within a line, and never the end of a line.

    With `re.MULTILINE` its `^` and `$` are those of a line. None if it cannot be had.
    """
    parts = []
    for token in _TOKEN.finditer(pattern):
        said = token[0]
        if token["escape"]:
            if said not in _REWRITTEN and said != r"\b" and not _HARMLESS.fullmatch(said):
                return None
            parts.append(_REWRITTEN.get(said, said))
        elif token["members"] is not None:
            members = _members(token["negated"], token["members"])
            if members is None:
                return None
            parts.append(members)
        elif token["group"] or said == "[" or (said < " " and said != "\t"):
            return None
        else:
            parts.append(said)
    return "".join(parts)


def _members(negated: str, members: str) -> str | None:
    """A set of characters without the end of a line; None if it may be in it."""
    if any(character < " " for character in members):
        return None
    escapes = re.findall(r"\\.", members)
    if not all(_HARMLESS.fullmatch(each) or each in _REWRITTEN for each in escapes):
        return None
    if negated:
        return rf"[^{members}\n]"
    return None if any(each in _REWRITTEN for each in escapes) else f"[{members}]"
