"""Why a build did not pass, at the top of what a command prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cupel.cli import terminal
from cupel.report import cause as words

if TYPE_CHECKING:
    from cupel.control.views import CauseView


def show(found: CauseView, *, build: bool = False) -> None:
    """Print whose fault it is with its proof, then the error; with `build`, which build it is."""
    named = f"{found.job}, build {found.build}" if build else found.job
    click.secho(terminal.single(f"{named}: {found.blame.text}"), bold=True)
    for proof in found.blame.proofs:
        click.echo(f"  {terminal.single(proof.text)}")
    said = words.error(found.tests, found.failing, found.lines)
    for line in said:
        click.echo(f"  {terminal.plain(line)}")
    click.echo()
