"""`cupel host`: the computers that make machines."""

from __future__ import annotations

import socket
from pathlib import Path

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


@host.command()
@click.option("--server", required=True, metavar="URL", help="The server to make machines for.")
@click.option(
    "--token",
    required=True,
    envvar="CUPEL_HOST_TOKEN",
    help="A token with the scope `host`; better in CUPEL_HOST_TOKEN, where nobody else sees it.",
)
@click.option("--name", help="What the server calls this host; by default the computer's name.")
@click.option(
    "--slots",
    type=click.IntRange(1, 10_000),
    help="How many machines at a time; by default one for each cpu, at least 2.",
)
@click.option(
    "--labels",
    multiple=True,
    metavar="LABEL",
    help="Make only this label's machines; more than once for more. By default all.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="The host's own directory; by default ~/.local/state/cupel-host.",
)
@click.option("--insecure", is_flag=True, help="Without encryption, to other computers too.")
def run(
    server: str,
    token: str,
    name: str | None,
    slots: int | None,
    labels: tuple[str, ...],
    state: Path | None,
    insecure: bool,
) -> None:
    """Make machines for a server, on this computer, until Ctrl-C.

    A connection that is lost is made again; builds go on meanwhile, until the server's lease ends.
    """
    from cupel import client, serve_host
    from cupel.host import remote

    serve_host.run(
        state or client.default_state().with_name("cupel-host"),
        remote.server(server, token, insecure=insecure),
        name=name or socket.gethostname(),
        slots=slots,
        labels=labels,
    )
