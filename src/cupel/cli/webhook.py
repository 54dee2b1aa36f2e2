"""`cupel webhook`: who is told what happens, and how that went."""

from __future__ import annotations

import json
import time

import click

from cupel.cli import output, terminal
from cupel.cli.change import NUMBER
from cupel.cli.session import Session, pass_session
from cupel.web import text

_ICONS = {"delivered": "success", "failed": "failure", "pending": "waiting"}


@click.group()
def webhook() -> None:
    """Who is told what happens: webhooks, and mail as the one called `mail`."""


@webhook.command("list")
@output.json_option
@pass_session
def list_all(session: Session, as_json: bool) -> None:
    """List webhooks and mail, and how telling them goes."""
    with session.client() as client:
        found = client.webhooks()
    if as_json:
        output.document(found)
        return
    now = time.time()
    rows = []
    for each in found:
        how = output.state("ready")
        if each.failing_since is not None:
            since = text.elapsed(max(0.0, now - each.failing_since))
            how = output.state("error", f"no good answer for {since}")
        last = "never" if each.delivered_at is None else text.elapsed(now - each.delivered_at)
        rows.append((each.name, how, each.pending, last, each.to, ", ".join(each.projects)))
    output.table(
        ("NAME", "STATE", "WAITING", "LAST", "TO", "PROJECTS"),
        rows,
        empty="no webhooks; the server's configuration names them",
    )


@webhook.command()
@click.argument("name", metavar="NAME")
@click.option("--limit", type=click.IntRange(1, 500), default=20, help="How many at most; 20.")
@click.option("--before", type=int, help="Only older ones than this number.")
@output.json_option
@pass_session
def deliveries(session: Session, name: str, limit: int, before: int | None, as_json: bool) -> None:
    """List what a webhook was and is to be told, newest first."""
    with session.client() as client:
        page = client.deliveries(name, limit=limit, before=before)
    if as_json:
        output.document(page)
        return
    now = time.time()
    output.table(
        ("DELIVERY", "STATE", "EVENT", "CHANGE", "AGE", "TRIED", "TO"),
        (
            (
                each.id,
                output.state(_ICONS[each.state], each.error),
                each.event,
                f"#{each.change}" if each.change is not None else "",
                text.elapsed(max(0.0, now - each.created_at)),
                each.tried,
                each.address,
            )
            for each in page.entries
        ),
        empty="nothing was sent, and nothing waits",
    )
    if page.next is not None:
        click.echo(f"older ones: --before {page.next}")


@webhook.command()
@click.argument("number", metavar="DELIVERY", type=NUMBER)
@output.json_option
@pass_session
def show(session: Session, number: int, as_json: bool) -> None:
    """Show a delivery: each attempt, what was answered, and what is sent."""
    with session.client() as client:
        found = client.delivery(number)
    if as_json:
        output.document(found)
        return
    output.fields(
        [
            ("delivery", found.id),
            ("id", found.key),
            ("receiver", found.receiver),
            ("to", found.address),
            ("event", found.event),
            ("state", output.state(_ICONS[found.state])),
        ]
    )
    for each in found.attempts:
        how = each.error or "arrived"
        status = "" if each.status is None else f", status {each.status}"
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.at))
        click.echo(terminal.plain(f"{at}  {how}{status}, {each.seconds:.2f} s"))
        for line in each.response.splitlines()[:20]:
            click.echo(f"    {terminal.plain(line)}")
    click.echo()
    body = json.dumps(json.loads(found.body), indent=2, ensure_ascii=False)
    for line in body.splitlines():
        click.echo(terminal.plain(line))


@webhook.command()
@click.argument("number", metavar="DELIVERY", type=NUMBER)
@output.json_option
@pass_session
def redeliver(session: Session, number: int, as_json: bool) -> None:
    """Send a delivery once more, with the same id; those after it wait for it.

    One that waits to be tried again is sent at once, and so is what waits behind it.
    """
    with session.client() as client:
        found = client.redeliver(number)
    if as_json:
        output.document(found)
        return
    click.echo(f"delivery {found.id} to {found.receiver} is sent again")
