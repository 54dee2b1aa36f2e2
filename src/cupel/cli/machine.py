"""`cupel machine`: machines, each used once."""

from __future__ import annotations

import click

from cupel.cli import output
from cupel.cli.session import Session, pass_session
from cupel.web import text


@click.group()
def machine() -> None:
    """The machines, each of which is used once."""


@machine.command("list")
@click.option("--gone", is_flag=True, help="Those that are gone, too.")
@output.json_option
@pass_session
def list_all(session: Session, gone: bool, as_json: bool) -> None:
    """List machines, newest first."""
    with session.client() as client:
        page = client.machines(gone=gone)
    if as_json:
        output.document(page)
        return
    output.table(
        ("MACHINE", "STATE", "LABEL", "HOST", "BUILD", "JOB", "READY AFTER", "AGE"),
        (
            (
                each.id,
                output.state(each.state, each.detail),
                each.label,
                each.host,
                each.build,
                each.job,
                None if each.boot_seconds is None else text.duration(each.boot_seconds),
                text.elapsed(each.seconds),
            )
            for each in page.entries
        ),
        empty="no machine is there now; --gone shows those that were",
    )
