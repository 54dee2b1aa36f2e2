"""What differs between two patch sets, line by line."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal
from urllib.parse import quote, urlencode

import fastapi
from markupsafe import Markup
from starlette.responses import Response

from cupel.control import views
from cupel.control.views import (
    AnnotationView,
    DiffView,
    FileDiffView,
    HunkView,
    LineView,
)
from cupel.errors import UserError
from cupel.git.compare import Amount, Side
from cupel.web import site
from cupel.web.problem import PageRoute
from cupel.web.site import Frame
from cupel.web.text import visible

FOLDED = 300
"""Lines of a file that is folded at first, where there are others."""

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)

Shape = Literal["unified", "split"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the address asks for. It gives the addresses of other views of the same."""

    start: int | None
    end: int
    path: str | None
    shape: Shape
    context: int
    spaces: bool

    def link(self, **other: object) -> str:
        chosen = {**dataclasses.asdict(self), **other}
        query = {"from": chosen["start"] or "base", "to": chosen["end"]}
        if chosen["path"] is not None:
            query["path"] = chosen["path"]
        if chosen["shape"] != "unified":
            query["view"] = chosen["shape"]
        if chosen["context"] != Amount().context:
            query["context"] = chosen["context"]
        if not chosen["spaces"]:
            query["spaces"] = "ignore"
        return "?" + urlencode(query)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A file as shown: `rows` of its table, notes of lines that are not among them."""

    file: FileDiffView
    anchor: str
    rows: Markup
    lines: int
    open: bool
    elsewhere: list[AnnotationView]


@router.get("/changes/{id}/diff")
async def diff(
    request: fastapi.Request,
    id: int,
    start: Annotated[str, fastapi.Query(alias="from")] = "base",
    end: Annotated[int | None, fastapi.Query(alias="to")] = None,
    path: Annotated[str | None, fastapi.Query()] = None,
    view: Annotated[str, fastapi.Query()] = "unified",
    context: Annotated[int, fastapi.Query(ge=0, le=1000)] = Amount().context,
    spaces: Annotated[str, fastapi.Query()] = "",
) -> Response:
    here = site.of(request)
    root = here.server.repositories.root
    async with here.server.store.read() as tx:
        sides = await views.diff_sides(tx, id, start=views.patch_set_or_base(start), end=end)
        notes = await views.change_notes(tx, here.server.results, root, id, sides.end.number)
        change = await views.change_ref(tx, id)
    asked = Asked(
        start=None if sides.start is None else sides.start.number,
        end=sides.end.number,
        path=path or None,
        shape=_shape(view),
        context=context,
        spaces=spaces != "ignore",
    )
    amount = Amount(context=asked.context, spaces=asked.spaces)
    found = await views.diff_view(root, sides, path=asked.path, amount=amount, notes=notes)
    return await here.page(
        request,
        "diff.html",
        Frame(section="/changes"),
        now=here.now(),
        change=change,
        newest=sides.newest,
        asked=asked,
        diff=found,
        files=await asyncio.to_thread(draw, found, asked),
    )


def _shape(text: str) -> Shape:
    match text:
        case "unified" | "split":
            return text
        case _:
            raise UserError(
                f"view={text[:40]} is no way to show it", hint="`view` is `unified` or `split`"
            )


def draw(diff: DiffView, asked: Asked) -> list[Drawn]:
    """The files as they are shown."""
    return [_drawn(file, asked, alone=len(diff.files) == 1) for file in diff.files]


def _drawn(file: FileDiffView, asked: Asked, *, alone: bool) -> Drawn:
    anchor = quote(file.path)
    count = sum(len(hunk.lines) for hunk in file.hunks)
    shown = {line.new for hunk in file.hunks for line in hunk.lines if line.new is not None}
    table = _Table(anchor, file, asked.shape)
    return Drawn(
        file=file,
        anchor=anchor,
        rows=Markup("").join(table.rows()),
        lines=count,
        open=alone or bool(file.annotations) or count <= FOLDED,
        elsewhere=[note for note in file.annotations if note.line not in shown],
    )


class _Table:
    """The rows of a file's table."""

    def __init__(self, anchor: str, file: FileDiffView, shape: Shape) -> None:
        self._anchor = anchor
        self._file = file
        self._columns = 3 if shape == "unified" else 4
        self._hunk_rows = self._unified if shape == "unified" else self._split
        self._notes: dict[int, list[AnnotationView]] = {}
        for note in file.annotations:
            self._notes.setdefault(note.line or 0, []).append(note)
        self._missed = {
            number: last - first + 1 if number == first else 0
            for first, last in file.missed
            for number in range(first, last + 1)
        }

    def rows(self) -> Iterator[Markup]:
        for number, hunk in enumerate(self._file.hunks, start=1):
            yield _HUNK.format(
                id=f"{self._anchor}:H{number}",
                columns=self._columns,
                place=f"@@ -{hunk.old} +{hunk.new} @@",
                heading=visible(hunk.heading),
            )
            yield from self._hunk_rows(hunk)

    def _unified(self, hunk: HunkView) -> Iterator[Markup]:
        marks = marked(hunk.lines)
        for place, line in enumerate(hunk.lines):
            place_id = self._id(line)
            yield _ROW.format(
                side=line.side,
                id=place_id,
                old=_link(place_id, line.old) if line.side is Side.OLD else (line.old or ""),
                new="" if line.side is Side.OLD else _link(place_id, line.new),
                code=self._code(line, marks.get(place)),
            )
            yield from self._said(line)

    def _split(self, hunk: HunkView) -> Iterator[Markup]:
        marks = marked(hunk.lines)
        for old, new in beside(hunk.lines):
            left = None if old is None else hunk.lines[old]
            right = None if new is None else hunk.lines[new]
            yield _PAIR.format(
                left=self._half(left, Side.OLD, marks.get(-1 if old is None else old)),
                right=self._half(right, Side.NEW, marks.get(-1 if new is None else new)),
            )
            if right is not None:
                yield from self._said(right)

    def _half(self, line: LineView | None, side: Side, mark: Span | None) -> Markup:
        if line is None:
            return _NOTHING
        number = line.old if side is Side.OLD else line.new
        place_id = f"{self._anchor}:{'O' if side is Side.OLD else 'L'}{number}"
        return _HALF.format(
            side=line.side, id=place_id, number=_link(place_id, number), code=self._code(line, mark)
        )

    def _id(self, line: LineView) -> str:
        if line.side is Side.OLD:
            return f"{self._anchor}:O{line.old}"
        return f"{self._anchor}:L{line.new}"

    def _code(self, line: LineView, mark: Span | None) -> Markup:
        code = _emphasised(line.text, mark)
        if line.longer:
            code += _FLAG.format(f"{line.longer:,} more characters")
        if line.ends:
            code += _FLAG.format("no newline at the end")
        if line.side is Side.NEW and line.new in self._missed:
            if count := self._missed[line.new]:
                these = "this" if count == 1 else f"these {count} lines"
                code += _NOT_RUN.format(f"no test ran {these}")
            return _SIDES[line.side].format(code, " missed")
        return _SIDES[line.side].format(code, "")

    def _said(self, line: LineView) -> Iterator[Markup]:
        for note in self._notes.get(line.new or 0, ()) if line.side is not Side.OLD else ():
            yield _NOTE.format(
                columns=self._columns,
                failure=_FAILURE if note.level == "error" else "",
                level=note.level,
                tone=TONES[note.level],
                message=visible(note.message[:2000]),
                title=visible(note.title[:200]),
                build=note.build,
                job=visible(note.job[:80]),
            )


TONES: Mapping[str, str] = {"error": "bad", "warning": "warn", "notice": "run"}

# Templates of markup: `format` escapes what is put in.
_HUNK = Markup(
    '<tr class="hunk" id="{id}" data-row tabindex="-1"><td colspan="{columns}">'
    "<span>{place}</span> {heading}</td></tr>"
)
_ROW = Markup(
    '<tr class="{side}" id="{id}"><td class="no">{old}</td><td class="no">{new}</td>{code}</tr>'
)
_PAIR = Markup("<tr>{left}{right}</tr>")
_HALF = Markup('<td class="no {side}" id="{id}">{number}</td>{code}')
_NOTHING = Markup('<td class="no none"></td><td class="code none"></td>')
_SIDES = {
    Side.BOTH: Markup('<td class="code both{1}">{0}</td>'),
    Side.OLD: Markup('<td class="code old{1}"><del>{0}</del></td>'),
    Side.NEW: Markup('<td class="code new{1}"><ins>{0}</ins></td>'),
}
_FLAG = Markup('<span class="flag">{}</span>')
_NOT_RUN = Markup('<span class="flag warn">{}</span>')
_FAILURE = Markup(" data-failure")
_NOTE = Markup(
    '<tr class="note"{failure}><td colspan="{columns}"><p class="{tone}"><b>{level}</b> {message}'
    ' <span class="muted">{title}</span> <a href="/builds/{build}">{job}</a></p></td></tr>'
)


def _link(place: str, number: int | None) -> Markup:
    return Markup('<a href="#{}">{}</a>').format(place, number)


Span = tuple[int, int]
"""Where in a line something begins and ends."""


def _emphasised(text: str, mark: Span | None) -> Markup:
    if mark is None:
        return visible(text)
    first, last = mark
    inner = Markup("<b>{}</b>").format(visible(text[first:last]))
    return visible(text[:first]) + inner + visible(text[last:])


def beside(lines: Sequence[LineView]) -> Iterator[tuple[int | None, int | None]]:
    """Which line before stands beside which after, by their places in the hunk."""
    gone: list[int] = []
    come: list[int] = []
    for place, line in enumerate(lines):
        if (line.side is not Side.NEW and come) or line.side is Side.BOTH:
            yield from itertools.zip_longest(gone, come)
            gone, come = [], []
        if line.side is Side.BOTH:
            yield place, place
        else:
            (gone if line.side is Side.OLD else come).append(place)
    yield from itertools.zip_longest(gone, come)


def marked(lines: Sequence[LineView]) -> dict[int, Span]:
    """By place, what differs within lines that took the place of another one."""
    found: dict[int, Span] = {}
    for old, new in beside(lines):
        if old is None or new is None or old == new:
            continue
        spans = differing(lines[old].text, lines[new].text)
        if spans is not None:
            found[old], found[new] = spans
    return found


_WORDS = re.compile(r"\w+|\s+|.", re.DOTALL)


def differing(old: str, new: str) -> tuple[Span, Span] | None:
    """What differs between two lines, from the first word that does to the last one.

    None where they have so little in common that nothing would stand out.
    """
    ours, theirs = _WORDS.findall(old), _WORDS.findall(new)
    head = _alike(ours, theirs)
    tail = _alike(ours[head:][::-1], theirs[head:][::-1])
    before = sum(map(len, ours[:head]))
    after = sum(map(len, ours[len(ours) - tail :])) if tail else 0
    common = len((old[:before] + old[len(old) - after :]).strip())
    if common * 4 < max(len(old.strip()), len(new.strip())):
        return None
    return (before, len(old) - after), (before, len(new) - after)


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many are the same at the beginning of both."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
