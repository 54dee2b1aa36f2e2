"""`cupel cache`: what builds keep for later ones."""

from __future__ import annotations

import click

from cupel.cli import output
from cupel.cli.session import Session, pass_session
from cupel.web import text


@click.group()
def cache() -> None:
    """The caches: what builds of a project keep for later ones."""


@cache.command("list")
@click.argument("project", required=False)
@output.json_option
@pass_session
def list_all(session: Session, project: str | None, as_json: bool) -> None:
    """List the caches of a project, or of all."""
    with session.client() as client:
        found = client.caches(project)
    if as_json:
        output.document(found)
        return
    output.table(
        ("PROJECT", "CACHE", "STATE", "SIZE", "BUILD", "HOST", "USED"),
        (
            (
                each.project,
                each.name,
                output.state(each.state, each.why),
                text.size(each.size),
                each.build,
                each.host,
                text.moment(each.used_at),
            )
            for each in found
        ),
        empty="nothing is kept; `cache` in .cupel.yaml says what is to be",
    )


@cache.command()
@click.argument("project")
@click.option("--name", help="Only the caches of this name.")
@output.json_option
@pass_session
def clear(session: Session, project: str, name: str | None, as_json: bool) -> None:
    """Remove a project's caches; the next builds begin without."""
    with session.client() as client:
        found = client.clear_caches(project, name)
    if as_json:
        output.document(found)
    elif found.cleared:
        click.echo(f"{found.cleared} {'cache goes' if found.cleared == 1 else 'caches go'}")
    else:
        click.echo("there was none")
