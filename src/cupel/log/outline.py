"""The outline of a log: its steps, and the parts that those who wrote it have marked in them.

Marks are those of GitHub Actions (`::group::TITLE` or `##[group]TITLE`, and the same with
`endgroup`) and of Buildkite (`--- TITLE`, `+++ TITLE`, `~~~ TITLE`, and `^^^ +++`, which opens the
part it stands in). Folds are well nested: a step holds parts, a part holds groups, a group holds
groups. Lines are numbered from 0.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

from cupel.log import plain, sweep
from cupel.log.sweep import Chunk

MOST = 20_000
"""Folds of a log; what is marked after them is not folded."""

DEEPEST = 8
WIDEST = 200
"""Characters of a title."""

FILE = "outline"
_VERSION = 1

_MARKS = (b"::group::", b"::endgroup::", b"##[group]", b"##[endgroup]", b"--- ", b"+++ ", b"~~~ ",
          b"^^^ +++")  # fmt: skip
_MARK = re.compile(
    r"(?P<begin>::group::|##\[group\])|(?P<end>::endgroup::|##\[endgroup\])"
    r"|(?P<open>\^\^\^ \+\+\+)"
    # What tools print that begins like a part: results of Go's tests, and bare rules.
    r"|(?P<part>(?:---(?! (?:PASS|FAIL|SKIP|BENCH): )|\+\+\+|~~~) (?=.*[^\s\-+~]))"
)


@dataclasses.dataclass(slots=True, kw_only=True)
class Fold:
    """Lines `first` to `last`, the first of which is its title unless it is a step.

    `kind` is step, part or group, `step` the log's number of its step. `last` is None for one that
    goes on with the log. `is_open` if it asks to be shown.
    """

    kind: str
    title: str
    step: int
    depth: int
    first: int
    last: int | None = None
    is_open: bool = False


class Outline:
    """Takes a log chunk by chunk, in order."""

    def __init__(self) -> None:
        self.lines = 0
        """How many it has taken."""
        self.folds: list[Fold] = []
        self._open: list[Fold] = []
        self._held: tuple[int, str] | None = None
        """A `---` that may be the first line of a diff: the next line tells."""
        self._diff = -1
        """The second line of the last diff."""

    @property
    def is_cut(self) -> bool:
        """Whether there were more marks than are kept."""
        return len(self.folds) >= MOST

    def feed(self, chunk: Chunk) -> None:
        """Take the chunk that begins where the last one ended."""
        steps = dict(chunk.steps())
        marks = _marked(chunk)
        for number in sorted(steps.keys() | marks.keys()):
            self._release(number, marks.get(number, ""))
            if number in steps:
                self._step(number, steps[number])
            if number in marks:
                self._mark(number, marks[number])
        self.lines = chunk.first + chunk.count
        self._release(self.lines - 1, "")

    def _step(self, number: int, step: int) -> None:
        if self._open and self._open[0].step == step:
            return
        self._close(0, number - 1)
        self._begin(Fold(kind="step", title="", step=step, depth=0, first=number))

    def _mark(self, number: int, line: str) -> None:
        mark = _MARK.match(line)
        if mark is None:
            return
        title = plain.plain(line[mark.end() : mark.end() + WIDEST]).strip()
        if mark["begin"]:
            self._group(number, title)
        elif mark["end"]:
            self._end(number)
        elif mark["open"]:
            for fold in self._open:
                fold.is_open = fold.is_open or fold.kind == "part"
        elif mark[0] == "--- ":
            self._held = number, title
        elif number != self._diff:
            self._part(number, title, is_open=mark[0] == "+++ ")

    def _release(self, number: int, line: str) -> None:
        """Begin the part that is held back, unless it and this line are how a diff begins."""
        if self._held is None or number <= self._held[0]:
            return
        first, title = self._held
        self._held = None
        if number > first + 1 or not line.startswith("+++ "):
            self._part(first, title, is_open=False)
        else:
            self._diff = number

    def _group(self, number: int, title: str) -> None:
        if len(self._open) < DEEPEST:
            self._begin(self._inner("group", number, title))

    def _end(self, number: int) -> None:
        if self._open and self._open[-1].kind == "group":
            self._close(len(self._open) - 1, number)

    def _part(self, number: int, title: str, *, is_open: bool) -> None:
        self._close(1, number - 1)
        self._begin(self._inner("part", number, title, is_open=is_open))

    def _inner(self, kind: str, number: int, title: str, *, is_open: bool = False) -> Fold:
        return Fold(
            kind=kind,
            title=title,
            step=self._open[0].step,
            depth=len(self._open),
            first=number,
            is_open=is_open,
        )

    def _begin(self, fold: Fold) -> None:
        if fold.kind == "step" or not self.is_cut:
            self.folds.append(fold)
            self._open.append(fold)

    def _close(self, depth: int, last: int) -> None:
        for fold in self._open[depth:]:
            fold.last = last
        del self._open[depth:]

    # Kept beside the log.

    def dump(self) -> dict[str, Any]:
        """All of it, as JSON can say it."""
        return {
            "version": _VERSION,
            "lines": self.lines,
            "held": self._held,
            "folds": [dataclasses.asdict(fold) for fold in self.folds],
        }

    @classmethod
    def load(cls, kept: dict[str, Any]) -> Outline:
        """What was dumped. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
        if kept["version"] != _VERSION:
            raise ValueError(kept["version"])
        made = cls()
        made.lines, made._held = kept["lines"], kept["held"] and tuple(kept["held"])
        made.folds = [Fold(**each) for each in kept["folds"]]
        made._open = [fold for fold in made.folds if fold.last is None]
        return made


def _marked(chunk: Chunk) -> dict[int, str]:
    """The lines that may be marks, with what they show."""
    if not any(mark in chunk.text for mark in _MARKS):
        return {}
    marks = tuple(mark.decode() for mark in _MARKS)
    lines = enumerate(chunk.shown().split("\n"), chunk.first)
    return {number: line for number, line in lines if line.startswith(marks)}


# Of a log, kept beside it.


def kept(directory: Path) -> Outline:
    """The outline as far as it was kept; an empty one if it was not, or cannot be read."""
    try:
        return Outline.load(json.loads((directory / FILE).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return Outline()


def extend(directory: Path, outline: Outline) -> None:
    """Take what the log has more than the outline."""
    for chunk in sweep.chunks(directory, outline.lines):
        outline.feed(chunk)


def keep(directory: Path, outline: Outline) -> None:
    """Write it beside the log; readers see the old one or the new one. Raises `OSError`."""
    made = directory / f"{FILE}.new"
    made.write_text(json.dumps(outline.dump(), separators=(",", ":")))
    made.replace(directory / FILE)


def main(directory: Path) -> None:
    """Keep the outline of all that is there now."""
    outline = kept(directory)
    extend(directory, outline)
    keep(directory, outline)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
