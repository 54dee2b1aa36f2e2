"""How commands print: JSON for programs, tables for people, plain text where nobody looks."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from cupel.cli import terminal

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


@dataclass(frozen=True, slots=True)
class Cell:
    """A text with a style of rich's, which only a terminal shows."""

    text: str
    style: str = ""


Text = Cell | str | int | None

STYLES = {
    "success": ("✓", "green"),
    "passed": ("✓", "green"),
    "reused": ("✓", "green"),
    "passed but for quarantined": ("!", "yellow"),
    "landed": ("✓", "green"),
    "ready": ("✓", "green"),
    "connected": ("✓", "green"),
    "failure": ("✗", "red"),
    "failed": ("✗", "red"),
    "rejected": ("✗", "red"),
    "flaky": ("≈", "yellow"),
    "conflict": ("✗", "red"),
    "misconfigured": ("✗", "red"),
    "timeout": ("✗", "red"),
    "infra": ("!", "magenta"),
    "lost": ("!", "magenta"),
    "error": ("!", "magenta"),
    "killed": ("!", "magenta"),
    "running": ("▶", "cyan"),
    "starting": ("▶", "cyan"),
    "landing": ("▶", "cyan"),
    "used": ("▶", "cyan"),
    "building": ("▶", "cyan"),
    "preparing": ("▶", "cyan"),
    "open": ("▶", "cyan"),
}
"""State → its symbol and colour; the word always stands beside them."""


def state(word: object, note: str | None = None) -> Cell:
    """A state as symbol and word, with what there is to say about it."""
    symbol, style = STYLES.get(str(word), ("·", "dim"))
    return Cell(f"{symbol} {word}" + (f": {note}" if note else ""), style)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def document(value: object) -> None:
    """Print views, or lists of them, as one JSON document."""
    click.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def line(value: object) -> None:
    """Print a view as one line of JSON."""
    click.echo(json.dumps(_plain(value), ensure_ascii=False))


def _plain(value: object) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def is_terminal() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def has_terminal() -> bool:
    """Whether somebody can type at one, and see what comes of it."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def is_monochrome() -> bool:
    return bool(os.environ.get("NO_COLOR"))


def console() -> Console:
    """A console on the present stdout; it keeps NO_COLOR."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Text]], *, title: str = "", empty: str = ""
) -> None:
    """Print a table: rich's on a terminal, aligned text elsewhere; `empty` where it has no rows."""
    made = [tuple(_cell(each) for each in row) for row in rows]
    if not made and empty:
        click.echo(empty)
        return
    if is_terminal():
        console().print(rich_table(columns, made, title=title))
        return
    if title:
        click.echo(terminal.single(title))
    for text in aligned(columns, made):
        click.echo(text)


def fields(pairs: Iterable[tuple[str, Text]]) -> None:
    """Print names and values, those that there are."""
    shown = [(name, _cell(value)) for name, value in pairs if value not in (None, "")]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{name:<{width}}  {value.text}")


def aligned(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[str]:
    """The lines of a table whose columns are as wide as their widest text."""
    lines = [tuple(columns), *(tuple(cell.text for cell in row) for row in rows)]
    widths = [max(len(text) for text in column) for column in zip(*lines, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(each, widths, strict=True)).rstrip()
        for each in lines
    ]


def rich_table(
    columns: Sequence[str], rows: Sequence[Sequence[Text]], *, title: str = ""
) -> RenderableType:
    from rich.table import Table
    from rich.text import Text as RichText

    made = Table(box=None, title=title or None, title_justify="left", header_style="bold")
    for name in columns:
        made.add_column(name, overflow="ellipsis", no_wrap=True)
    for row in rows:
        cells = [_cell(each) for each in row]
        made.add_row(*(RichText(cell.text, style=cell.style) for cell in cells))
    return made


def _cell(value: Text) -> Cell:
    if isinstance(value, Cell):
        return Cell(terminal.single(value.text), value.style)
    return Cell("" if value is None else terminal.single(str(value)))
