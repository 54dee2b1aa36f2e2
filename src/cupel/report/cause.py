"""How why a build did not pass is said, in lines: the error first, then whose fault it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

FLAKY = "known to be flaky"

LONGEST = 240
"""Characters of a line of a log that are shown where there is not much room."""


class Test(Protocol):
    """A test that failed: what it is called, what it said in a line, and where."""

    @property
    def name(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def place(self) -> str: ...
    @property
    def flaky(self) -> bool: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """See `Test`, where there is no view of it."""

    name: str
    message: str
    place: str
    flaky: bool = False


class Line(Protocol):
    """A line of a log, numbered from 1."""

    @property
    def number(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def main(self) -> bool: ...


def error(tests: Sequence[Test], failing: int, lines: Sequence[Line]) -> list[str]:
    """What to look at first: the tests that failed, of which there are `failing`, and lines of the
    log with their numbers."""
    said: list[str] = []
    for test in tests:
        parts = (test.message, test.place, FLAKY if test.flaky else "")
        said += [test.name, *(f"  {part}" for part in parts if part)]
    if failing > len(tests):
        said.append(more(failing - len(tests)))
    width = len(str(max((line.number for line in lines), default=0)))
    return said + [f"{line.number:>{width}} | {_cut(line.text)}" for line in lines]


def more(count: int) -> str:
    """Tests beyond those that are shown."""
    return f"and {count} more {'test' if count == 1 else 'tests'} that failed"


def brief(tests: Sequence[Test], failing: int, lines: Sequence[Line]) -> str | None:
    """The same in one line: the first test, or the main line; None if there is neither."""
    if tests:
        first = tests[0]
        others = f" ({more(failing - 1)})" if failing > 1 else ""
        where = f" at {first.place}" if first.place else ""
        return _cut(f"{first.name}{f': {first.message}' if first.message else ''}{where}") + others
    line = next((each for each in lines if each.main), None)
    return None if line is None else f"line {line.number}: {_cut(line.text.strip())}"


def blame(job: str, text: str, proofs: Sequence[str]) -> str:
    """Whose fault it is that a job did not pass, and what speaks for that."""
    return f"{job}: {whose(text, proofs)}"


def whose(text: str, proofs: Sequence[str]) -> str:
    """The same without the job."""
    return text + (f": {'; '.join(proofs)}" if proofs else "")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
