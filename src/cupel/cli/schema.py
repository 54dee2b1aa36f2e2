"""`cupel schema`: what editors complete and check configuration files with."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--server", is_flag=True, help="That of the server's cupel.yaml instead.")
def schema(server: bool) -> None:
    """Print the JSON Schema of .cupel.yaml."""
    from cupel.config import schema as schemas

    found = schemas.server_schema() if server else schemas.project_schema()
    click.echo(json.dumps(found, indent=2, ensure_ascii=False))
