"""`cupel login`: another login link."""

from __future__ import annotations

import click

from cupel.cli import output
from cupel.cli.session import Session, pass_session


@click.command()
@output.json_option
@pass_session
def login(session: Session, as_json: bool) -> None:
    """Print a link that logs a browser in.

    It works once, within 15 minutes, on the computer that the server runs on.
    """
    with session.client() as client:
        link = client.login()
    if as_json:
        output.document(link)
    else:
        click.echo(link.url)
