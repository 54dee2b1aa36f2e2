"""What a terminal would last have shown of a line: text in runs of one style.

Colours and weights (SGR, ECMA-48 8.3.117), links (OSC 8), the moves of the cursor within the line
and what erases parts of it have their effect; every other escape sequence and control character is
dropped. Each line stands for itself: a colour does not leak into the next one.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from itertools import groupby

WIDEST = 16_384
"""The last column that the cursor can be moved to."""

PATIENCE = 1 << 18
"""Columns of a line that are erased or shifted; what asks for more than that is ignored."""

_TOKEN = re.compile(
    r"(?:\x1b\[|\x9b)(?P<sgr>[0-9;:]*)m"  # colours and weights
    r"|(?:\x1b\[|\x9b)(?P<count>[0-9]*)(?P<move>[@CDGKPX`])"  # the cursor, erasing
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # any other control sequence, also a truncated one
    r"|(?:\x1b\]|\x9d)8;[^;\x07\x1b\x9c]*;(?P<link>[^\x07\x1b\x9c]*)(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"  # titles and the like
    r"|\x1b[ -/]*[0-~]?"  # two-character escapes
    r"|(?P<back>[\r\x08])"
    r"|[\x00-\x07\x0a-\x0c\x0e-\x1f\x7f-\x9f]",
    re.DOTALL,
)

_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_FLAGS = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike"}
_ENDS = {
    22: ("bold", "dim"),
    23: ("italic",),
    24: ("underline",),
    27: ("inverse",),
    29: ("strike",),
}
_LEVELS = (0, 95, 135, 175, 215, 255)

Colour = int | tuple[int, int, int]
"""One of the terminal's own 16, or red, green and blue of 255."""


@dataclasses.dataclass(frozen=True, slots=True)
class Style:
    """What the text looks like; None is the terminal's own colour. `link` is where it leads."""

    fg: Colour | None = None
    bg: Colour | None = None
    flags: frozenset[str] = frozenset()
    link: str = ""


PLAIN = Style()

Run = tuple[Style, str]


def runs(line: str) -> list[Run]:
    """The line, without its newline, as it would last have stood in a terminal."""
    if not _CONTROL.search(line):
        return [(PLAIN, line)] if line else []
    tokens = list(_tokens(line.rstrip("\r")))
    if all(kind == "" for kind, _, _ in tokens):
        return [(style, piece) for _, style, piece in tokens]
    return _play(tokens)


def text(line: str) -> str:
    """What the line shows, without any style."""
    return "".join(piece for _, piece in runs(line))


# A token is a kind, a style and a text: "" is text of that style, any other kind moves or erases,
# and its text says by how much.
_Token = tuple[str, Style, str]


def _tokens(line: str) -> Iterator[_Token]:
    style = PLAIN
    at = 0
    for match in _TOKEN.finditer(line):
        if match.start() > at:
            yield "", style, line[at : match.start()]
        at = match.end()
        if match["sgr"] is not None:
            style = _apply(style, match["sgr"])
        elif match["move"]:
            yield match["move"], style, match["count"]
        elif match["back"]:
            yield match["back"], style, ""
        elif match["link"] is not None:
            style = dataclasses.replace(style, link=match["link"])
    if at < len(line):
        yield "", style, line[at:]


def _play(tokens: Sequence[_Token]) -> list[Run]:
    """What stands in the line when the cursor has gone its way."""
    cells: list[tuple[Style, str]] = []
    at = shifted = 0
    for kind, style, said in tokens:
        if kind == "":
            cells.extend([(PLAIN, " ")] * (at - len(cells)))
            cells[at : at + len(said)] = [(style, character) for character in said]
            at += len(said)
        elif kind not in "KPX@" or (shifted := shifted + len(cells)) < PATIENCE:
            at = _move(cells, at, kind, said)
    while cells and cells[-1] == (PLAIN, " "):
        cells.pop()
    return [
        (style, "".join(character for _, character in cell))
        for style, cell in groupby(cells, key=lambda cell: cell[0])
    ]


def _move(cells: list[tuple[Style, str]], at: int, kind: str, said: str) -> int:
    """Move from column `at`, or erase; the column where the cursor stands then."""
    count = min(int(said[:6] or 0), WIDEST)
    step = max(count, 1)
    match kind:
        case "\r":
            return 0
        case "\b":
            return max(at - 1, 0)
        case "C":
            return min(at + step, max(WIDEST, at))
        case "D":
            return max(at - step, 0)
        case "G" | "`":
            return step - 1
        case "K":
            _erase(cells, 0 if count else at, len(cells) if count != 1 else at + 1)
        case "X":
            _erase(cells, at, at + step)
        case "P":
            del cells[at : at + step]
        case _:  # "@"
            cells[at:at] = [(PLAIN, " ")] * step
            del cells[WIDEST * 4 :]
    return at


def _erase(cells: list[tuple[Style, str]], first: int, end: int) -> None:
    end = min(end, len(cells))
    if end > first:
        cells[first:end] = [(PLAIN, " ")] * (end - first)


# Colours.


def _apply(style: Style, parameters: str) -> Style:
    codes = [int(code[:4]) if code else 0 for code in re.split("[;:]", parameters)]
    while codes:
        code = codes.pop(0)
        if code in (38, 48):
            style = _coloured(style, "fg" if code == 38 else "bg", _extended(codes))
        else:
            style = _simple(style, code)
    return style


def _simple(style: Style, code: int) -> Style:
    if code == 0:
        return Style(link=style.link) if style.link else PLAIN
    if code in _FLAGS:
        return dataclasses.replace(style, flags=style.flags | {_FLAGS[code]})
    if code in _ENDS:
        return dataclasses.replace(style, flags=style.flags - set(_ENDS[code]))
    for field, first, offset in (("fg", 30, 0), ("bg", 40, 0), ("fg", 90, 8), ("bg", 100, 8)):
        if first <= code < first + 8:
            return _coloured(style, field, code - first + offset)
    if code in (39, 49):
        return _coloured(style, "fg" if code == 39 else "bg", None)
    return style


def _coloured(style: Style, field: str, colour: Colour | None) -> Style:
    if field == "fg":
        return dataclasses.replace(style, fg=colour)
    return dataclasses.replace(style, bg=colour)


def _extended(codes: list[int]) -> Colour | None:
    """Take the rest of a 256-colour (5;n) or true-colour (2;r;g;b) code."""
    kind = codes.pop(0) if codes else 0
    if kind == 5 and codes:
        return _indexed(codes.pop(0))
    if kind == 2 and len(codes) >= 3:
        red, green, blue = (min(part, 255) for part in codes[:3])
        del codes[:3]
        return red, green, blue
    return None


def _indexed(number: int) -> Colour | None:
    if number < 16:
        return number
    if number < 232:
        cube = number - 16
        return _LEVELS[cube // 36], _LEVELS[cube // 6 % 6], _LEVELS[cube % 6]
    if number < 256:
        grey = 8 + (number - 232) * 10
        return grey, grey, grey
    return None
