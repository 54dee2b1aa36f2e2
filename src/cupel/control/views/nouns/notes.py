"""What was said of lines, and how much of what a change adds was run."""

from __future__ import annotations

from cupel.control.views.nouns.view import View
from cupel.core.results import Level


class AnnotationView(View):
    """What a tool said of a line. Without a `path` it is about the build, without a `line` about
    the file. `touched`: the change adds the line, which is `source`. `build` is one that said so,
    of `job`."""

    path: str | None
    line: int | None
    end_line: int | None
    column: int | None
    level: Level
    title: str
    message: str
    tool: str
    touched: bool
    source: str | None
    build: int
    job: str


class FileCoverageView(View):
    """How many of the lines that a change adds to a file were run, of those that can be.

    `spans` are the first and last lines of those that were not.
    """

    path: str
    covered: int
    missed: int
    spans: list[tuple[int, int]]


class NotesView(View):
    """What builds said of lines: those that the change adds come first.

    `covered` and `missed` are sums over `files`; `has_coverage` whether anybody has measured it.
    `commit` is the state whose lines they are.
    """

    commit: str | None
    annotations: list[AnnotationView]
    files: list[FileCoverageView]
    covered: int
    missed: int
    has_coverage: bool
