"""JUnit XML, in the dialects of those who write it: there is no standard, only readers.

pytest, Surefire, gotestsum, jest-junit, PHPUnit and others agree on `testsuite`, `testcase` and
what is in it. Suites may be nested and everything may be missing. A document type is refused, and
with it every entity but XML's own; text that XML does not allow is replaced, since tools write it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from pyexpat import ExpatError, ParserCreate, errors

from cupel.core.results import Outcome, Result
from cupel.report.results import source as sources
from cupel.report.results.source import Clip, Malformed, Source

DEEPEST = 100
"""Elements inside each other."""

MOST_NAMES = 2_000
"""Different names of elements and attributes: the parser remembers each."""

LARGEST_TOKEN = 1 << 20
"""Bytes of a tag, with its attributes, or of a comment: the parser holds it as a whole."""

_KINDS = {
    "failure": Outcome.FAILED,
    "error": Outcome.ERROR,
    "skipped": Outcome.SKIPPED,
    "skip": Outcome.SKIPPED,
    "ignored": Outcome.SKIPPED,
}
_AGAIN = frozenset({"rerunFailure", "rerunError"})
_FLAKY = frozenset({"flakyFailure", "flakyError"})
_OUTPUT = frozenset({"system-out", "system-err"})
_NOT_RUN = frozenset({"notrun", "disabled", "skipped", "suppressed", "ignored", "pending"})
_WORST = {Outcome.PASSED: 0, Outcome.SKIPPED: 1, Outcome.FAILED: 2, Outcome.ERROR: 3}


def read(source: Source) -> Iterator[Result]:
    """The results of a file, as they come. Raises `Malformed` where it cannot be read on."""
    reader = _Reader()
    parser = ParserCreate("utf-8", intern={})
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    reader.line = lambda: parser.CurrentLineNumber
    fed = 0
    try:
        for piece in utf8(source):
            fed += len(piece)
            parser.Parse(piece, False)
            yield from reader.take()
            if fed - max(parser.CurrentByteIndex, 0) > LARGEST_TOKEN:
                raise Malformed("a tag or comment is too long", parser.CurrentLineNumber)
            if len(parser.intern) > MOST_NAMES:
                raise Malformed("it has too many different names", parser.CurrentLineNumber)
        if not source.is_cut:
            parser.Parse(b"", True)
    except ExpatError as error:
        yield from reader.take()
        raise Malformed(_said(error), error.lineno) from None
    except Malformed:
        yield from reader.take()
        raise
    yield from reader.take()


def _refuse_doctype(*_: object) -> None:
    raise Malformed("it has a document type declaration, which results of tests never need")


def _said(error: ExpatError) -> str:
    message = errors.messages.get(error.code, "not well-formed")
    if message == "no element found":
        return "it ends too early"
    return f"it is not XML: {message}"


class _Case:
    """A `testcase` that is being read."""

    __slots__ = ("attributes", "flaky", "is_todo", "message", "outcome", "output", "suite", "text")

    def __init__(self, attributes: Mapping[str, str], suite: Mapping[str, str]) -> None:
        self.attributes = attributes
        self.suite = suite
        self.outcome = Outcome.PASSED
        self.flaky = False
        self.is_todo = False
        self.message = ""
        self.text = Clip()
        self.output = Clip()

    def result(self) -> Result:
        get = self.attributes.get
        own = get("classname") or get("class") or ""
        if own in ("test", get("name")):  # Node.js calls every class so; jest-junit as the test
            own = self.suite.get("name", own)
        text = self.text or self.output
        states = {get("status", "").lower(), get("result", "").lower()}
        if self.is_todo or (self.outcome is Outcome.PASSED and _NOT_RUN & states):
            self.outcome = Outcome.SKIPPED
        shown = "" if self._is_plain else text.text
        return Result(
            suite=own or self.suite.get("name", ""),
            name=get("name") or own or "(no name)",
            outcome=self.outcome,
            seconds=sources.seconds(get("time")),
            message=self.message or _first_line(shown),
            text=shown,
            file=get("file") or self.suite.get("file"),
            line=sources.number(get("line") or get("lineno")),
            flaky=self.flaky,
        )

    @property
    def _is_plain(self) -> bool:
        return not self.flaky and self.outcome in (Outcome.PASSED, Outcome.SKIPPED)


def _first_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip()), "")


class _Reader:
    """Takes what the parser meets and makes results of it."""

    def __init__(self) -> None:
        self.line: Callable[[], int] = int
        self._path: list[str] = []
        self._suites: list[Mapping[str, str]] = []
        self._case: _Case | None = None
        self._into: Clip | None = None
        self._type = ""
        self._done: list[Result] = []

    def take(self) -> list[Result]:
        """The results since the last time."""
        done, self._done = self._done, []
        return done

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        self._path.append(name)
        if len(self._path) > DEEPEST:
            raise Malformed("its elements are nested too deeply", self.line())
        if len(self._path) == 1 and name not in _ROOTS:
            raise Malformed(f"<{name[:40]}> is not the beginning of JUnit XML", self.line())
        if name == "testsuite":
            self._suites.append(self._inherited(attributes))
        elif name == "testcase":
            self._case = _Case(attributes, self._suites[-1] if self._suites else {})
        elif len(self._path) > 1 and self._path[-2] in ("testcase", "testsuite"):
            self._start_part(name, attributes)

    def _inherited(self, attributes: dict[str, str]) -> Mapping[str, str]:
        """What cases have of their suite: its name and file, or those of the suite around it."""
        around = self._suites[-1] if self._suites else {}
        kept = ("name", "file")
        return {key: found for key in kept if (found := attributes.get(key) or around.get(key))}

    def _start_part(self, name: str, attributes: Mapping[str, str]) -> None:
        if self._case is None:
            if name not in ("failure", "error"):
                return
            # The suite itself could not be set up, or torn down: no test is to blame.
            self._case = _Case({"name": "(suite)"}, self._suites[-1] if self._suites else {})
        case = self._case
        if name in _OUTPUT:
            self._into = case.output
        elif name in _KINDS or name in _AGAIN:
            self._judge(case, _KINDS.get(name), attributes)
            self._into = case.text
        elif name in _FLAKY:
            case.flaky = True
            self._describe(case, attributes)
            self._into = case.text

    def _judge(self, case: _Case, outcome: Outcome | None, attributes: Mapping[str, str]) -> None:
        if outcome is not None:
            if _WORST[outcome] > _WORST[case.outcome]:
                case.outcome = outcome
            if outcome is Outcome.SKIPPED and not case.message:
                kind, why = attributes.get("type", ""), attributes.get("message", "")
                case.is_todo = kind == "todo"
                if "xfail" in kind:
                    case.message = f"expected to fail: {why}"
                elif case.is_todo:
                    case.message = f"to do: {why}"
        self._describe(case, attributes)

    def _describe(self, case: _Case, attributes: Mapping[str, str]) -> None:
        if not case.message:
            case.message = attributes.get("message") or attributes.get("type") or ""
        if case.text:
            case.text.add("\n\n")

    def text(self, data: str) -> None:
        if self._into is not None:
            self._into.add(data)

    def end(self, tag: str) -> None:
        name = self._path.pop()
        case = self._case
        if name in _OUTPUT or name in _KINDS or name in _AGAIN or name in _FLAKY:
            self._into = None
        if name == "testsuite" and self._suites:
            self._suites.pop()
        is_of_suite = case is not None and case.attributes.get("name") == "(suite)"
        if case is not None and (name == "testcase" or (is_of_suite and name in _KINDS)):
            self._done.append(case.result())
            self._case = None


_ROOTS = frozenset({"testsuites", "testsuite", "testcase", "testrun", "testResults"})


def load_encodings() -> None:
    """Load all that reading may need of Python, which loads encodings when it meets them."""
    for name in (*_ENCODINGS, "utf-8-sig"):
        codecs.lookup(name)


def utf8(source: Source) -> Iterator[bytes]:
    """The document in UTF-8, whatever it says that it is in, with what XML lets nobody write
    replaced by U+FFFD."""
    decoder = codecs.getincrementaldecoder(_encoding(source.head))("replace")
    begun = ""
    for piece in source.pieces():
        text = begun + decoder.decode(piece)
        # A reference may be cut in two.
        at = text.rfind("&", max(len(text) - _LONGEST_REFERENCE, 0))
        text, begun = (text[:at], text[at:]) if at >= 0 else (text, "")
        yield _allowed(text)
    yield _allowed(begun + decoder.decode(b"", True))


def _allowed(text: str) -> bytes:
    text = _FORBIDDEN.sub("\ufffd", text)
    return _REFERENCE.sub(_reference, text).encode("utf-8", "replace")


def _reference(found: re.Match[str]) -> str:
    digits = found.group(1)
    value = int(digits[1:], 16) if digits[0] in "xX" else int(digits)
    is_char = value in (9, 10, 13) or 0x20 <= value < 0x110000
    is_text = is_char and not 0xD800 <= value < 0xE000 and value not in (0xFFFE, 0xFFFF)
    return found.group() if is_text else "\ufffd"


def _encoding(head: bytes) -> str:
    """What the document says that it is in, if that can be; UTF-8 otherwise."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    found = _DECLARED.match(head)
    name = found.group(1).decode().lower() if found is not None else "utf-8"
    return name if name in _ENCODINGS else "utf-8"


_LONGEST_REFERENCE = 16
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_REFERENCE = re.compile(r"&#([0-9]{1,12}|[xX][0-9a-fA-F]{1,12});")
_DECLARED = re.compile(rb"<\?xml[^>]{0,100}?\bencoding\s*=\s*[\"']([A-Za-z0-9._-]{1,20})[\"']")
_ENCODINGS = frozenset(
    {"utf-16", "utf-8", "us-ascii", "latin-1", "iso-8859-1", "iso-8859-15", "windows-1252"}
)
"""Those that documents may be in: what Python must load for one is loaded before it is sealed."""
