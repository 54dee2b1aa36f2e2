"""`cupel doctor`: what this computer lacks."""

from __future__ import annotations

import dataclasses

import click

from cupel.cli import output
from cupel.cli.exits import Exit
from cupel.cli.session import Session, pass_session


@click.command()
@output.json_option
@pass_session
@click.pass_context
def doctor(ctx: click.Context, session: Session, as_json: bool) -> None:
    """Say what this computer lacks, and how to mend it."""
    from cupel.host import probe

    findings = probe.examine(session.directory)
    if as_json:
        output.document([dataclasses.asdict(each) for each in findings])
    else:
        for each in findings:
            word = "ok" if each.ok else "missing" if each.required else "lacking"
            click.echo(f"{word:8} {each.name}: {each.found}")
            if not each.ok and each.fix:
                click.echo(f"         {each.fix}")
    if any(each.required and not each.ok for each in findings):
        ctx.exit(Exit.NEGATIVE)
