"""A line of terminal output as harmless HTML.

Colours and weights become classes, because the content security policy forbids inline styles. What
is none of the terminal's own 16 colours gets the class of the nearest one, and says in `data-fg`
which it is, so that a script can show it. Links are kept if they lead to http or https, and say
where; everything else is escaped as text.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from urllib.parse import urlsplit

from markupsafe import Markup, escape

from cupel.log import screen
from cupel.log.screen import Colour, Style
from cupel.web import text

LIMIT = 4096
"""Characters of a line that are shown; the raw log has the rest."""

_LONGEST_LINK = 2000

_PALETTE = (
    (0, 0, 0), (187, 0, 0), (0, 187, 0), (187, 187, 0),
    (0, 0, 187), (187, 0, 187), (0, 187, 187), (187, 187, 187),
    (85, 85, 85), (255, 85, 85), (85, 255, 85), (255, 255, 85),
    (85, 85, 255), (255, 85, 255), (85, 255, 255), (255, 255, 255),
)  # fmt: skip


def render(line: str) -> Markup:
    """The line, without its newline, as HTML of at most about `LIMIT` characters of text."""
    parts: list[str] = []
    size = 0
    for style, run in screen.runs(line):
        shown = run[: LIMIT - size] if size < LIMIT else ""
        size += len(run)
        if shown:
            parts.append(_span(style, shown))
    if size > LIMIT:
        parts.append(f'<span class="cut">… {size - LIMIT:,} more characters</span>')
    return Markup("".join(parts))  # noqa: S704 - every part was escaped by _span


def _span(style: Style, run: str) -> str:
    inner = str(text.visible(run))
    if style is screen.PLAIN:
        return inner
    attributes = _attributes(style)
    shown = f"<span{attributes}>{inner}</span>" if attributes else inner
    host = _host(style.link) if style.link else None
    if host is None:
        return shown
    where = "" if host in run else f'<span class="cut"> ({text.visible(host)})</span>'
    return (
        f'<a class="out" href="{escape(style.link)}" rel="noopener noreferrer nofollow"'
        f' title="{escape(style.link)}">{shown}</a>{where}'
    )


@functools.lru_cache(1024)
def _attributes(style: Style) -> str:
    names = [f"sgr-{flag}" for flag in sorted(style.flags)]
    exact = ""
    for kind, colour in (("fg", style.fg), ("bg", style.bg)):
        if colour is None:
            continue
        names.append(f"{kind}-{_own(colour)}")
        if not isinstance(colour, int):
            exact += ' data-{}="{:02x}{:02x}{:02x}"'.format(kind, *colour)
    return f' class="{" ".join(names)}"{exact}' if names else ""


def _own(colour: Colour) -> int:
    return colour if isinstance(colour, int) else _nearest(colour)


@functools.lru_cache(1024)
def _nearest(rgb: Sequence[int]) -> int:
    def distance(index: int) -> int:
        return sum((a - b) ** 2 for a, b in zip(rgb, _PALETTE[index], strict=True))

    return min(range(16), key=distance)


def _host(link: str) -> str | None:
    """The host that a link leads to; None for what is no plain link to http or https."""
    if len(link) > _LONGEST_LINK or not (link.isascii() and link.isprintable()) or " " in link:
        return None
    try:
        parts = urlsplit(link)
    except ValueError:
        return None
    # A name or a password before the host would make it look like another one.
    fair = parts.scheme in ("http", "https") and "@" not in parts.netloc and "\\" not in link
    return parts.hostname if fair else None
