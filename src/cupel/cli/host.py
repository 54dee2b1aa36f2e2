"""`cupel host`: the computers that make machines."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cupel import directory
from cupel.cli import output
from cupel.cli.session import Session, pass_session

if TYPE_CHECKING:
    from cupel.control import views


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
    default="",
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
    from cupel import serve_host
    from cupel.host import joining, remote

    serve_host.run(
        state or directory.default_state().with_name("cupel-host"),
        remote.server(server, token, insecure=insecure),
        name=joining.check_name(socket.gethostname() if name is None else name),
        slots=slots,
        labels=labels,
    )


@host.command()
@click.argument("name", metavar="HOST")
@output.json_option
@pass_session
def show(session: Session, name: str, as_json: bool) -> None:
    """Show a host, the machines that are on it, and how many builds it lost."""
    with session.client() as client:
        if as_json:
            output.document(client.host(name))
            return
        past = client.host_past(name)
    _tell(past.host, as_json)
    output.fields(
        (
            ("lost", _rate(past.lost)),
            ("lost elsewhere", _rate(past.lost_elsewhere)),
            ("", past.verdict),
            ("failed", _rate(past.failed)),
            ("failed elsewhere", _rate(past.failed_elsewhere)),
        )
    )


@host.command()
@click.argument("name", metavar="HOST")
@output.json_option
@pass_session
def drain(session: Session, name: str, as_json: bool) -> None:
    """Empty a host: builds that run end by themselves, nothing new begins.

    Its ready machines are deleted. It stays so until `cupel host undrain`.
    """
    with session.client() as client:
        found = client.drain_host(name, draining=True)
    _tell(found, as_json)


@host.command()
@click.argument("name", metavar="HOST")
@output.json_option
@pass_session
def undrain(session: Session, name: str, as_json: bool) -> None:
    """Use a drained host again."""
    with session.client() as client:
        found = client.drain_host(name, draining=False)
    _tell(found, as_json)


@host.command()
@click.argument("name", metavar="HOST")
@output.json_option
@pass_session
def release(session: Session, name: str, as_json: bool) -> None:
    """End the quarantine of a host that somebody has looked after.

    Without it, the host gets a build as a probe when its time is over, and others once that ends
    well.
    """
    with session.client() as client:
        found = client.release_host(name)
    _tell(found, as_json)


@host.command()
@click.argument("name", metavar="HOST")
@pass_session
def forget(session: Session, name: str) -> None:
    """Do not wait for a host any more that is lost for good.

    It is known again should it ever connect. To keep it out, revoke its token.
    """
    with session.client() as client:
        client.forget_host(name)


def _rate(found: views.RateView | None) -> str | None:
    if found is None:
        return None
    part, low, high = (f"{100 * each:.1f}" for each in (found.part, found.low, found.high))
    return f"{found.count} of {found.builds} builds, {part} % (between {low} and {high} %)"


def _tell(found: views.HostView, as_json: bool) -> None:
    if as_json:
        output.document(found)
        return
    output.fields(
        (
            ("host", found.name),
            ("state", output.state(found.state)),
            ("slots", f"{found.used} of {found.slots} used"),
            ("labels", " ".join(found.labels) or "any"),
            ("system", found.system or None),
            ("waiting", found.waiting),
            ("detail", found.detail),
            *(
                (f"machine {each.id}", output.state(each.state, each.job or each.label))
                for each in found.machines
            ),
        )
    )
