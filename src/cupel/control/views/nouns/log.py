"""What a log holds: its lines, its outline, and what is found in it. Lines are numbered from 0."""

from __future__ import annotations

from cupel.control.views.nouns.view import View


class LogLineView(View):
    """A line of a log, or a piece of one, without its end.

    `step` is the number of the build's step, from 1; None for what the server itself remarks.
    `stream` is out, err or cupel. `continues`: it goes on where the last piece of the same step and
    stream stopped; `ended`: the line is complete. `machine` is the name of the one that it came
    from, in a job that has several.
    """

    number: int
    at: float
    step: int | None
    stream: str
    text: str
    continues: bool = False
    ended: bool = True
    machine: str | None = None


class LogLinesView(View):
    """Some lines of a log that has `total` by now."""

    total: int
    lines: list[LogLineView]


class FoldView(View):
    """Lines `first` to `last` of a log, under a title, within `depth` others.

    `kind` is step, part (`---`, `+++`, `~~~`) or group (`::group::`); the first line of the latter
    two is their title. `step` is the number of the build's step, from 1; None for what the server
    itself remarks. `last` is None for one that may go on. `open` is whether it is shown at first.
    """

    kind: str
    title: str
    step: int | None
    depth: int
    first: int
    last: int | None
    open: bool


class OutlineView(View):
    """The folds of a log's first `lines` lines, well nested, by their first lines.

    `cut`: there are more than are listed.
    """

    lines: int
    folds: list[FoldView]
    cut: bool


class FoundView(View):
    """What fits in a log: `count` of the lines from the one asked for up to number `end`.

    `lines` are the first of them, as many as were asked for.
    """

    count: int
    end: int
    lines: list[LogLineView]


class MomentView(View):
    """The first line of a log that is not older than a time, or else the last; None of none."""

    line: int | None
    at: float | None
