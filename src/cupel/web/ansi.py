"""A line of terminal output as harmless HTML.

Colours and weights (SGR, ECMA-48 8.3.117) become classes, because the content security policy
forbids inline styles; a carriage return starts the line over, as a terminal would show it; every
other escape sequence and control character is dropped; all else is escaped as text. Each line
stands for itself: a colour does not leak into the next one.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

from markupsafe import Markup, escape

from cupel.web import text

LIMIT = 4096
"""Characters of a line that are shown; the raw log has the rest."""

_TOKEN = re.compile(
    r"(?:\x1b\[|\x9b)(?P<sgr>[0-9;:]*)m"  # colours and weights
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # any other control sequence, also a truncated one
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"  # titles, links
    r"|\x1b[ -/]*[0-~]?"  # two-character escapes
    r"|(?P<cr>\r)"
    r"|(?P<bs>\x08)"
    r"|[\x00-\x07\x0a-\x0c\x0e-\x1f\x7f-\x9f]",
    re.DOTALL,
)

_FLAGS = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike"}
_ENDS = {
    22: ("bold", "dim"),
    23: ("italic",),
    24: ("underline",),
    27: ("inverse",),
    29: ("strike",),
}
_LEVELS = (0, 95, 135, 175, 215, 255)
_PALETTE = (
    (0, 0, 0), (187, 0, 0), (0, 187, 0), (187, 187, 0),
    (0, 0, 187), (187, 0, 187), (0, 187, 187), (187, 187, 187),
    (85, 85, 85), (255, 85, 85), (85, 255, 85), (255, 255, 85),
    (85, 85, 255), (255, 85, 255), (85, 255, 255), (255, 255, 255),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Style:
    """What the text looks like; colours are 0–15 (None: the default)."""

    fg: int | None = None
    bg: int | None = None
    flags: frozenset[str] = frozenset()

    def classes(self) -> str:
        names = [f"sgr-{flag}" for flag in sorted(self.flags)]
        if self.fg is not None:
            names.append(f"fg-{self.fg}")
        if self.bg is not None:
            names.append(f"bg-{self.bg}")
        return " ".join(names)


PLAIN = Style()


def render(line: str) -> Markup:
    """The line, without its newline, as HTML of at most about `LIMIT` characters of text."""
    parts: list[str] = []
    size = 0
    for style, run in _runs(line):
        shown = run[: LIMIT - size]
        size += len(run)
        if shown:
            parts.append(_span(style, shown))
    if size > LIMIT:
        parts.append(f'<span class="cut">… {size - LIMIT:,} more characters</span>')
    return Markup("".join(parts))  # noqa: S704 - every part was escaped by _span


def plain(line: str) -> str:
    """The text that the line shows, without any style."""
    return "".join(run for _, run in _runs(line))


def _span(style: Style, run: str) -> str:
    inner = str(text.visible(run))
    classes = style.classes()
    return f'<span class="{escape(classes)}">{inner}</span>' if classes else inner


def _runs(line: str) -> list[tuple[Style, str]]:
    """The line as it would last have stood in a terminal, in runs of one style."""
    runs: list[tuple[Style, str]] = []
    restart = False
    for style, piece in _pieces(line):
        if piece == "\r":
            restart = True
        elif piece == "\b":
            _erase(runs)
        else:
            if restart:
                runs, restart = [], False
            runs.append((style, piece))
    return runs


def _erase(runs: list[tuple[Style, str]]) -> None:
    if runs:
        style, run = runs.pop()
        if run[:-1]:
            runs.append((style, run[:-1]))


def _pieces(line: str) -> Iterator[tuple[Style, str]]:
    """Text, carriage returns and backspaces in order, each with the style it has."""
    style = PLAIN
    at = 0
    for match in _TOKEN.finditer(line):
        if match.start() > at:
            yield style, line[at : match.start()]
        at = match.end()
        if match["sgr"] is not None:
            style = _apply(style, match["sgr"])
        elif match["cr"]:
            yield style, "\r"
        elif match["bs"]:
            yield style, "\b"
    if at < len(line):
        yield style, line[at:]


def _apply(style: Style, parameters: str) -> Style:
    codes = [int(code[:4]) if code else 0 for code in re.split("[;:]", parameters)]
    while codes:
        code = codes.pop(0)
        if code in (38, 48):
            colour = _extended(codes)
            style = _coloured(style, "fg" if code == 38 else "bg", colour)
        else:
            style = _simple(style, code)
    return style


def _simple(style: Style, code: int) -> Style:
    if code == 0:
        return PLAIN
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


def _coloured(style: Style, field: str, colour: int | None) -> Style:
    if field == "fg":
        return dataclasses.replace(style, fg=colour)
    return dataclasses.replace(style, bg=colour)


def _extended(codes: list[int]) -> int | None:
    """Take the rest of a 256-colour (5;n) or true-colour (2;r;g;b) code; the nearest of the 16."""
    kind = codes.pop(0) if codes else 0
    if kind == 5 and codes:
        return _indexed(codes.pop(0))
    if kind == 2 and len(codes) >= 3:
        rgb = codes[:3]
        del codes[:3]
        return _nearest(rgb)
    return None


def _indexed(index: int) -> int | None:
    if index < 16:
        return index
    if index < 232:
        cube = index - 16
        return _nearest((_LEVELS[cube // 36], _LEVELS[cube // 6 % 6], _LEVELS[cube % 6]))
    if index < 256:
        return _nearest((8 + (index - 232) * 10,) * 3)
    return None


def _nearest(rgb: Sequence[int]) -> int:
    def distance(index: int) -> int:
        return sum((a - b) ** 2 for a, b in zip(rgb, _PALETTE[index], strict=True))

    return min(range(16), key=distance)
