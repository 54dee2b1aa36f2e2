"""`cupel machine`: machines, each used once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cupel.cli import output
from cupel.cli.session import Session, pass_session
from cupel.web import text

if TYPE_CHECKING:
    from cupel.control import views


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
                output.state(each.state, _note(each)),
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


@machine.command()
@click.argument("number", metavar="MACHINE", type=int)
@output.json_option
@pass_session
def show(session: Session, number: int, as_json: bool) -> None:
    """Show one machine, and the states that it was in."""
    with session.client() as client:
        if as_json:
            output.document(client.machine(number))
            return
        past = client.machine_past(number)
    _tell(past.machine, as_json)
    click.echo()
    output.table(
        ("STATE", "SINCE", "FOR", "WHY"),
        (
            (
                output.state(each.state),
                f"{text.moment(each.at)}",
                None if each.seconds is None else text.duration(each.seconds),
                each.why,
            )
            for each in past.states
        ),
    )


@machine.command()
@click.argument("number", metavar="MACHINE", type=int)
@output.json_option
@pass_session
def delete(session: Session, number: int, as_json: bool) -> None:
    """Delete a machine.

    What it runs is lost and run again elsewhere, without using up an attempt.
    """
    with session.client() as client:
        found = client.delete_machine(number)
    _tell(found, as_json)


def _note(found: views.MachineView) -> str | None:
    if found.held_until is None or found.state != "held":
        return found.detail
    return f"for {found.held_by} until {text.clock(found.held_until)} UTC: {found.command}"


def _tell(found: views.MachineView, as_json: bool) -> None:
    if as_json:
        output.document(found)
        return
    boot = found.boot_seconds
    output.fields(
        (
            ("machine", found.id),
            ("state", output.state(found.state, _note(found))),
            ("label", found.label),
            ("host", found.host),
            ("image", found.image),
            ("build", found.build),
            ("job", found.job),
            ("project", found.project),
            ("change", found.change),
            ("visitors", found.visitors or None),
            ("ready after", None if boot is None else text.duration(boot)),
            ("existed", text.elapsed(found.seconds)),
        )
    )
