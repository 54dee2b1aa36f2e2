"""What differs between two patch sets of a change."""

from __future__ import annotations

from cupel.control.views.nouns.notes import AnnotationView
from cupel.control.views.nouns.view import View
from cupel.git.compare import Side, Status


class LineView(View):
    """A line and its numbers before and after. `ends`: no newline follows, at the end of its file.

    It goes on for `longer` characters that are left out.
    """

    side: Side
    old: int | None
    new: int | None
    text: str
    longer: int
    ends: bool


class HunkView(View):
    """Lines that stand together, from `old` and `new` on; `heading` is what they stand in."""

    old: int
    new: int
    heading: str
    lines: list[LineView]


class FileDiffView(View):
    """A file that differs. `before` is its path before, if that was another.

    `added` and `removed` count its lines; null for one that is not text. `hunks` may have fewer:
    then it `goes_on`, and asked for by its path alone it shows more. `modes` are git's modes before
    and after, where these differ. `annotations` are what builds said of lines that are as in their
    state, and `missed` the first and the last of lines that are added and that no test ran.
    """

    path: str
    before: str | None
    status: Status
    modes: tuple[str, str] | None
    added: int | None
    removed: int | None
    hunks: list[HunkView]
    goes_on: bool
    annotations: list[AnnotationView]
    missed: list[tuple[int, int]]


class DiffView(View):
    """What differs between two patch sets, or between what one is made on (`start` null) and it.

    `old` and `new` are what is compared: trees or commits. Where the two are made on different
    commits, the earlier is `replayed` on what the later is made on, so that what others did in
    between is not shown; the files in which that does not work are in `conflicts`, and have git's
    markers before. `added` and `removed` are sums over all `files`.
    """

    change: int
    start: int | None
    end: int
    old: str
    new: str
    replayed: bool
    conflicts: list[str]
    files: list[FileDiffView]
    added: int
    removed: int
