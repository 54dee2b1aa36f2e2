"""`cupel notes`: what builds said of lines of the source, and coverage of what a change adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cupel.cli import output, terminal
from cupel.cli.change import NUMBER
from cupel.cli.session import Session, pass_session
from cupel.errors import UserError

if TYPE_CHECKING:
    from cupel.control.views import NotesView


@click.command()
@click.argument("change", metavar="[CHANGE]", type=NUMBER, required=False)
@click.option("--build", metavar="BUILD", type=NUMBER, help="Of this build, instead.")
@click.option("--all", "whole", is_flag=True, help="Of lines that the change does not add, too.")
@output.json_option
@pass_session
def notes(
    session: Session, change: int | None, build: int | None, whole: bool, as_json: bool
) -> None:
    """Show what was said of the lines that a change adds, and which of them no test ran."""
    if (change is None) == (build is None):
        raise UserError("say the number of a change, or --build and that of a build")
    with session.client() as client:
        found = client.notes(change=change, build=build)
    if as_json:
        output.document(found)
        return
    _show(found, whole=whole)


def _show(found: NotesView, *, whole: bool) -> None:
    touched = [each for each in found.annotations if each.touched or each.path is None]
    shown = found.annotations if whole else touched
    for each in shown:
        place = ":".join(str(part) for part in (each.path, each.line, each.column) if part)
        title = f" [{each.title}]" if each.title else ""
        text = f"{each.level}: {each.message}{title}"
        click.echo(terminal.single(f"{place}: {text}" if place else text))
        if each.source:
            click.echo(f"    {terminal.single(each.source)}")
    hidden = len(found.annotations) - len(shown)
    if hidden:
        click.echo(f"{hidden} more of lines that the change does not add: --all")
    elif not shown:
        click.echo("nothing was said of lines")
    _show_coverage(found)


def _show_coverage(found: NotesView) -> None:
    if not found.has_coverage:
        return
    click.echo()
    total = found.covered + found.missed
    if not total:
        click.echo("no line that the change adds can be run, as far as is known")
        return
    click.echo(f"{found.covered} of {total} lines that it adds were run ({share(found)})")
    for file in found.files:
        if file.missed:
            where = ", ".join(_span(first, last) for first, last in file.spans[:20])
            more = ", …" if len(file.spans) > 20 else ""
            click.echo(f"  {terminal.single(file.path)}: not run: {where}{more}")


def share(found: NotesView) -> str:
    return f"{found.covered * 100 // (found.covered + found.missed)} %"


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
