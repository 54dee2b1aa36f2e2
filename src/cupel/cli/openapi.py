"""`cupel openapi`: the API's document, without a server."""

from __future__ import annotations

import click


@click.command()
def openapi() -> None:
    """Print the OpenAPI document of the HTTP API."""
    from cupel.api import app

    click.echo(app.openapi(), nl=False)
