"""What people decide about changes: approve, withdraw, land, dequeue, promote, abandon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cupel.cli import change, output
from cupel.cli.session import Session, pass_session

if TYPE_CHECKING:
    from cupel.control.views import BuildView, ChangeView

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

    The approved changes that it needs or that need it enter the gate with it.
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
@click.argument("numbers", metavar="CHANGE...", type=change.NUMBER, nargs=-1, required=True)
@output.json_option
@pass_session
def promote(session: Session, numbers: tuple[int, ...], as_json: bool) -> None:
    """Put changes first in their queue, in this order.

    What they need goes ahead of them; the rest keeps its order.
    """
    with session.client() as client:
        promoted = client.promote(numbers)
    if as_json:
        output.document(promoted)
    else:
        click.echo("first: " + " ".join(f"#{each.id}" for each in promoted))


@click.command()
@number
@click.option("--off", is_flag=True, help="It is not urgent any more; it stays where it is.")
@output.json_option
@pass_session
def urgent(session: Session, number: int, off: bool, as_json: bool) -> None:
    """Send a change to the front of its queue, now or when it enters.

    What it needs goes with it; other urgent ones stay ahead.
    """
    _decide(session, "urgent", number, as_json, {"urgent": not off})


@click.command()
@click.argument("number", metavar="CHANGE|BUILD", type=change.NUMBER)
@click.option("--all", "everything", is_flag=True, help="Run again what has passed, too.")
@output.json_option
@pass_session
def retry(session: Session, number: int, everything: bool, as_json: bool) -> None:
    """Run again what failed of a change, or the job of a build.

    It is run on the same state, with the same jobs; earlier attempts stay. A change that has left
    the gate enters it again with the same patch set, and is proved on the branch as it is now.
    """
    with session.client() as client:
        after = client.retry(number, everything=everything)
    if as_json:
        output.document(after)
    else:
        click.echo(_retried(after))


def _retried(after: ChangeView | BuildView) -> str:
    from cupel.control.views import BuildView

    if isinstance(after, BuildView):
        return f"job {after.job} runs again: cupel change show {after.change}"
    last = next((each.item for each in after.items if each.item.pipeline != "periodic"), None)
    if after.wants_land or last is None:
        waiting = f": {after.waiting}" if after.waiting else ""
        return f"change {after.id} enters the gate again with patch set {after.patch_set}{waiting}"
    return f"change {after.id} is run again in {last.pipeline}: cupel change show {after.id}"


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
