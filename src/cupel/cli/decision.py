"""What people decide about changes: approve, withdraw, land, dequeue, abandon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cupel.cli import change, output
from cupel.cli.session import Session, pass_session

if TYPE_CHECKING:
    from cupel.control.views import ChangeView

number = click.argument("number", metavar="CHANGE", type=change.NUMBER)


@click.command()
@number
@click.option("--patch-set", type=int, help="Fail if this is not the newest one any more.")
@output.json_option
@pass_session
def approve(session: Session, number: int, patch_set: int | None, as_json: bool) -> None:
    """Approve a change's newest patch set."""
    _decide(session, "approve", number, as_json, {"patch_set": patch_set} if patch_set else None)


@click.command()
@number
@output.json_option
@pass_session
def withdraw(session: Session, number: int, as_json: bool) -> None:
    """Take one's approval of a change back."""
    _decide(session, "withdraw", number, as_json)


@click.command()
@number
@output.json_option
@pass_session
def land(session: Session, number: int, as_json: bool) -> None:
    """Ask to land a change.

    The approved changes of its stack enter the gate with it.
    """
    _decide(session, "land", number, as_json)


@click.command()
@number
@output.json_option
@pass_session
def dequeue(session: Session, number: int, as_json: bool) -> None:
    """Take a change out of the gate."""
    _decide(session, "dequeue", number, as_json)


@click.command()
@number
@output.json_option
@pass_session
def abandon(session: Session, number: int, as_json: bool) -> None:
    """Give a change up; pushing it again opens it again."""
    _decide(session, "abandon", number, as_json)


def _decide(
    session: Session,
    action: str,
    number: int,
    as_json: bool,
    body: dict[str, int] | None = None,
) -> None:
    with session.client() as client:
        after = client.decide(action, number, body)
    if as_json:
        output.document(after)
    else:
        click.echo(_said(after))


def _said(after: ChangeView) -> str:
    waiting = f": {after.waiting}" if after.waiting else ""
    return f"change {after.id} is {after.state}{waiting}"
