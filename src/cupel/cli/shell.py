"""`cupel shell`: a terminal, or a command, in the machine of a build."""

from __future__ import annotations

import sys

import click

from cupel.cli.change import NUMBER
from cupel.cli.session import Session, pass_session


@click.command(
    context_settings={"ignore_unknown_options": True},
)
@click.argument("number", metavar="BUILD", type=NUMBER)
@click.argument("command", metavar="[-- COMMAND…]", nargs=-1, type=click.UNPROCESSED)
@click.option("--machine", metavar="NAME", default="", help="Which, in a build with several.")
@click.option(
    "-t/-T",
    "--terminal/--no-terminal",
    default=None,
    help="Give it a terminal, or none; by default a shell has one, and a command has none.",
)
@pass_session
def shell(
    session: Session, number: int, command: tuple[str, ...], machine: str, terminal: bool | None
) -> int:
    """Open a shell in the machine of a build that runs or is held.

    It begins where the steps do, as their user and with their variables. It ends with `exit`, or
    with ~. at the beginning of a line. Several people may be in one machine. With a COMMAND, that
    runs instead, with this command's stdin, stdout and stderr; its exit status is handed on.
    """
    from cupel.cli import visit

    has_one = sys.stdin.isatty() and sys.stdout.isatty()
    at_terminal = (not command and has_one) if terminal is None else terminal
    if at_terminal and not has_one:
        raise click.UsageError("there is no terminal here: leave out -t")
    wish = visit.Wish(build=number, command=command, machine=machine, at_terminal=at_terminal)
    return visit.stand_at(session.address(), wish)
