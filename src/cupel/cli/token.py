"""`cupel token`: who may speak to the server."""

from __future__ import annotations

import click

from cupel.cli import output
from cupel.cli.change import NUMBER
from cupel.cli.session import Session, pass_session
from cupel.web import text


@click.group()
def token() -> None:
    """The tokens that programs and people speak to the server with."""


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["read", "write", "admin", "host"]),
    help="What it allows; more than once for more. By default read.",
)
@click.option("--user", help="Whose it is; by default yours. Others' are for administrators.")
@click.option("--days", type=click.FloatRange(0, 36500, min_open=True), help="How long it lasts.")
@output.json_option
@pass_session
def create(
    session: Session,
    name: str,
    scopes: tuple[str, ...],
    user: str | None,
    days: float | None,
    as_json: bool,
) -> None:
    """Make a token called NAME and print it; it cannot be seen again."""
    body = {"name": name, "scopes": list(scopes) or ["read"], "user": user, "days": days}
    with session.client() as client:
        issued = client.create_token(body)
    if as_json:
        output.document(issued)
    else:
        click.echo(issued.secret)


@token.command("list")
@output.json_option
@pass_session
def list_all(session: Session, as_json: bool) -> None:
    """List your tokens; an administrator sees everybody's."""
    with session.client() as client:
        tokens = client.tokens()
    if as_json:
        output.document(tokens)
        return
    output.table(
        ("TOKEN", "USER", "NAME", "SCOPES", "MADE", "EXPIRES"),
        (
            (
                each.id,
                each.user,
                each.name,
                " ".join(each.scopes),
                text.moment(each.created_at),
                "never" if each.expires_at is None else text.moment(each.expires_at),
            )
            for each in tokens
        ),
    )


@token.command()
@click.argument("number", metavar="TOKEN", type=NUMBER)
@pass_session
def revoke(session: Session, number: int) -> None:
    """End a token at once, by the number that `token list` shows."""
    with session.client() as client:
        client.revoke_token(number)
    click.echo(f"token {number} is revoked")
