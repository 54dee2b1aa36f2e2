"""What the tests of a build said, and what its tools said of lines of the source, as values.

Text in them is harmless: it was cut to the bounds here and made printable (`printable`), so that
whoever shows it must escape it for the page or terminal, and nothing else.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import re
from collections.abc import Iterable

LONGEST_NAME = 500
"""Characters of a suite or of a test's name."""

LONGEST_MESSAGE = 1_000
LONGEST_TEXT = 32_000
"""Characters of a failure's text; its beginning and its end are kept."""

LONGEST_EXCERPT = 4_000
"""Characters of a failure's text in the row of a failed test; all of it is with the others."""

LONGEST_PATH = 500
MOST_TESTS = 500_000
"""Results that a build may have; those past that are counted as left out in a notice."""

MOST_FAILED = 200
"""Failed tests of a build that are kept as rows, so that decisions and histories know them."""

MOST_NOTICES = 20
LONGEST_NOTICE = 500

MOST_ANNOTATIONS = 1_000


class Outcome(enum.StrEnum):
    """How a test ended. An expected failure is `skipped`, with the reason as its message."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    """It could not be run to its end: its setup failed, or it crashed."""
    SKIPPED = "skipped"


FAILED = frozenset({Outcome.FAILED, Outcome.ERROR})


class Level(enum.StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one test of a build ended.

    `suite` is the class, file or package that it belongs to, `name` its own name with its
    parameters. One that failed and passed in the same build is `flaky`: it has the failure's
    message and text, whatever its outcome. `seconds` is None where nobody measured it. `file` and
    `line` say where it failed, or else where it is defined.
    """

    suite: str
    name: str
    outcome: Outcome
    seconds: float | None = None
    message: str = ""
    text: str = ""
    file: str | None = None
    line: int | None = None
    flaky: bool = False

    @property
    def id(self) -> str:
        """What the test is called in its job; the same in every build."""
        return f"{self.suite}::{self.name}" if self.suite else self.name

    @property
    def digest(self) -> str:
        return digest(self.id)

    @property
    def parameters(self) -> str:
        """What stands in brackets at the end of its name."""
        found = _PARAMETERS.search(self.name)
        return "" if found is None else found.group(1)

    @property
    def is_failed(self) -> bool:
        return self.outcome in FAILED

    @property
    def place(self) -> str:
        """`file:line` as far as it is known."""
        if self.file is None:
            return ""
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many tests of a build ended how. Those `flaky` had failed before they passed, and are
    counted as `passed`, too."""

    passed: int = 0
    failed: int = 0
    error: int = 0
    skipped: int = 0
    flaky: int = 0
    seconds: float = 0.0

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.error + self.skipped

    @property
    def bad(self) -> int:
        """Those that failed or could not be run."""
        return self.failed + self.error


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What is told of a build's tests when it has finished.

    `failing` are the first `MOST_FAILED` that failed, then those that are flaky; it is complete
    when it is as long as the tally says. `notices` say what could not be read.
    """

    tally: Tally
    failing: tuple[Result, ...] = ()
    notices: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The tests of a build, in short. Its `id` is that of the build.

    `key` is the build's (`Build.key`), so that what was proved of the same can be compared.
    """

    id: int
    project_id: int
    job: str
    key: str | None
    tally: Tally
    notices: tuple[str, ...]
    at: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FailedTest:
    """A test that failed in a build, or was flaky in it; in the order of their ids.

    `test` is its digest, which is the same in each build; `result` has an excerpt of the text.
    """

    id: int
    build_id: int
    project_id: int
    job: str
    key: str | None
    test: str
    result: Result
    at: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What a tool said of a line. `path` is relative to the project; lines and columns begin at 1.

    Without a `path` it is about the build; without a `line`, about the file.
    """

    path: str | None
    line: int | None = None
    end_line: int | None = None
    column: int | None = None
    level: Level
    title: str = ""
    message: str
    tool: str = ""


def digest(id: str) -> str:
    """A short name for a test id, whatever its length."""
    return hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def tally(results: Iterable[Result]) -> Tally:
    counts = dict.fromkeys(Outcome, 0)
    flaky, seconds = 0, 0.0
    for each in results:
        counts[each.outcome] += 1
        flaky += each.flaky and each.outcome is Outcome.PASSED
        seconds += each.seconds or 0.0
    return Tally(
        passed=counts[Outcome.PASSED],
        failed=counts[Outcome.FAILED],
        error=counts[Outcome.ERROR],
        skipped=counts[Outcome.SKIPPED],
        flaky=flaky,
        seconds=seconds,
    )


def failed_test(of: Results, result: Result, *, id: int) -> FailedTest:
    return FailedTest(
        id=id,
        build_id=of.id,
        project_id=of.project_id,
        job=of.job,
        key=of.key,
        test=result.digest,
        result=result,
        at=of.at,
    )


def excerpt(result: Result) -> Result:
    """The result as it stands in the row of a failed test."""
    return dataclasses.replace(result, text=shortened(result.text, LONGEST_EXCERPT))


def one_line(text: str, most: int) -> str:
    """The text printable, in a line of at most `most` characters."""
    head = text[: 4 * most]  # what is made printable can only get longer, what is folded shorter
    line = " ".join(printable(head).split())
    cut = len(line) > most or len(text) > len(head)
    return f"{line[: most - 1]}…" if cut and most else line


def shortened(text: str, most: int) -> str:
    """The beginning and, above all, the end of a text of more than `most` characters."""
    if len(text) <= most:
        return text
    said = "\n[… {} characters left out …]\n"
    room = max(most - len(said) - len(str(len(text))), 0)
    head, tail = room // 3, room - room // 3
    left_out = said.format(len(text) - room)
    return (text[:head] + left_out + text[len(text) - tail :])[:most]


def printable(text: str) -> str:
    r"""The text without colours, and with what could act on a reader's screen spelled out.

    Control characters but tab and newline, marks that turn or hide text and lone surrogates become
    what Python calls them (`\x07`, `\u202e`).
    """
    if text.isascii() and text.isprintable():
        return text
    text = _COLOURS.sub("", text.replace("\r\n", "\n"))
    return _UNPRINTABLE.sub(lambda found: _spelled(found.group()), text)


def _spelled(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_PARAMETERS = re.compile(r"\[([^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*)\]$")
_COLOURS = re.compile(r"\x1b\[[0-9;:]*[A-Za-z]")
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
