"""Which lines were run: Cobertura's XML and lcov's tracefiles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pyexpat import ExpatError, ParserCreate

from cupel.report.results import junit, source, where
from cupel.report.results.source import LONGEST_LINE, Malformed, Source

Line = tuple[str, int, bool]
"""A file, a line of it, and whether it was run."""

_ROOT = re.compile(rb"<(?!\?|!)([\w.-]{1,40})")
_LCOV = re.compile(rb"^(TN:|SF:)", re.MULTILINE)
_MOST_SOURCES = 100


def is_cobertura(head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    root = _ROOT.search(text) if text.startswith(b"<") else None
    return root is not None and root[1] == b"coverage"


def is_lcov(head: bytes) -> bool:
    return _LCOV.match(head.lstrip()) is not None


def read_lcov(file: Source) -> Iterator[Line]:
    """The `DA` records below each `SF`; others are counts of what these say."""
    path: str | None = None
    for _, line in file.lines():
        if line.startswith(b"SF:"):
            path = where.path(source.text_of(line[3:]).strip())
        elif line.startswith(b"DA:") and path is not None:
            number, _, hits = source.text_of(line[3:80]).partition(",")
            at = source.number(number)
            if at is not None:
                yield path, at, _is_run(hits.partition(",")[0])
        elif line.startswith(b"end_of_record"):
            path = None


def _is_run(hits: str) -> bool:
    digits = hits.strip()
    return digits.isascii() and digits.isdigit() and digits.strip("0") != ""


def read_cobertura(file: Source) -> Iterator[Line]:
    """The `line`s of each `class`. Raises `Malformed` where it cannot be read on."""
    reader = _Cobertura()
    parser = ParserCreate("utf-8", intern={})
    parser.StartDoctypeDeclHandler = _check_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    fed = 0
    try:
        for piece in junit.utf8(file):
            fed += len(piece)
            parser.Parse(piece, False)
            yield from reader.take()
            if fed - max(parser.CurrentByteIndex, 0) > LONGEST_LINE:
                raise Malformed("a tag or comment is too long", parser.CurrentLineNumber)
            if len(parser.intern) > junit.MOST_NAMES:
                raise Malformed("it has too many different names", parser.CurrentLineNumber)
        if not file.is_cut:
            parser.Parse(b"", True)
    except ExpatError as error:
        yield from reader.take()
        raise Malformed("it is not XML, or ends too early", error.lineno) from None
    yield from reader.take()


def _check_doctype(name: str, system: str | None, public: str | None, has_subset: int) -> None:
    """Many writers name the format's own, which is not looked at; what it declares is refused."""
    if has_subset:
        raise Malformed("it declares a document type of its own, which coverage never needs")


class _Cobertura:
    """Takes what the parser meets."""

    def __init__(self) -> None:
        self._depth = 0
        self._source: list[str] | None = None
        self._sources: list[str] = []
        self._path: str | None = None
        self._done: list[Line] = []

    def take(self) -> list[Line]:
        done, self._done = self._done, []
        return done

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > junit.DEEPEST:
            raise Malformed("its elements are nested too deeply")
        match tag:
            case "source" if len(self._sources) < _MOST_SOURCES:
                self._source = []
            case "class":
                self._path = self._resolved(attributes.get("filename", ""))
            case "line" if self._path is not None:
                number = source.number(attributes.get("number"))
                if number is not None:
                    self._done.append((self._path, number, _is_run(attributes.get("hits", ""))))

    def end(self, tag: str) -> None:
        self._depth -= 1
        if tag == "source" and self._source is not None:
            self._sources.append("".join(self._source).strip())
            self._source = None
        elif tag == "class":
            self._path = None

    def text(self, data: str) -> None:
        if self._source is not None and len(self._source) < _MOST_SOURCES:
            self._source.append(data[:1000])

    def _resolved(self, name: str) -> str | None:
        """A file's path: names are relative to a source, which may be the project or in it."""
        if name.startswith("/"):
            return where.path(name)
        for base in self._sources:
            found = where.path(f"{base}/{name}" if base not in ("", ".") else name)
            if found is not None:
                return found
        return where.path(name)
