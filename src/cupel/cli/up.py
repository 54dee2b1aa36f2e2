"""`cupel up`: everything in one process."""

from __future__ import annotations

import click

from cupel.cli.session import Session, pass_session


@click.command()
@click.option(
    "--listen",
    metavar="ADDRESS:PORT",
    help="Where to serve; by default what the configuration says, else 127.0.0.1:8470.",
)
@pass_session
def up(session: Session, listen: str | None) -> None:
    """Serve until Ctrl-C: git, queue, pages, machines.

    Started again, it goes on where it was. Everything it keeps is in the state directory.
    """
    from cupel import serve

    serve.run(session.directory, listen)
