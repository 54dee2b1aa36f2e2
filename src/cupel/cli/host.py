"""`cupel host`: the computers that make machines."""

from __future__ import annotations

import click

from cupel.cli import output
from cupel.cli.session import Session, pass_session


@click.group()
def host() -> None:
    """The hosts: computers that make machines."""


@host.command("list")
@output.json_option
@pass_session
def list_all(session: Session, as_json: bool) -> None:
    """List all hosts."""
    with session.client() as client:
        hosts = client.hosts()
    if as_json:
        output.document(hosts)
        return
    output.table(
        ("HOST", "STATE", "USED", "SLOTS", "LABELS", "DETAIL"),
        (
            (
                each.name,
                output.state(each.state),
                each.used,
                each.slots,
                " ".join(each.labels) or "any",
                "; ".join(text for text in (each.waiting, each.detail) if text) or None,
            )
            for each in hosts
        ),
    )
