"""`cupel top`: the queue, the machines and their load, live."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from cupel.cli import output
from cupel.cli.session import Session, pass_session

if TYPE_CHECKING:
    from cupel.cli.live.seen import Snapshot
    from cupel.client import Client


@click.command()
@click.option("--once", is_flag=True, help="Print how it is now, and end.")
@output.json_option
@pass_session
def top(session: Session, once: bool, as_json: bool) -> None:
    """Watch the queue, the machines and their load.

    Changes in landing order, with their jobs and what they wait for; enter shows the log of what
    runs or failed. Where output is no terminal it prints how it is now, and ends.
    """
    if as_json or once or not output.is_terminal():
        with session.client() as client:
            _print(_look(client), as_json=as_json)
        return
    from cupel.cli.live import show

    with session.client() as client:
        client.status()  # says at once what cannot be used
    show.run(session.client)


def _look(client: Client) -> Snapshot:
    from dataclasses import replace

    from cupel.cli.live import feed
    from cupel.cli.live.seen import Snapshot

    found = feed.look(client, Snapshot(at=time.time()))
    return replace(found, hosts=tuple(client.hosts()))


def _print(snapshot: Snapshot, *, as_json: bool) -> None:
    from cupel.cli.live import screen, seen

    if as_json:
        output.document(seen.dump(snapshot))
        return
    history = seen.History()
    history.add(snapshot.hosts)
    width = int(os.environ.get("COLUMNS") or 100)
    for line in screen.page(snapshot, history, width=width):
        click.echo(line)
