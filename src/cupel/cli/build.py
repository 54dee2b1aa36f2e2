"""`cupel build`: attempts at jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from cupel.cli import cause, output
from cupel.cli.change import NUMBER
from cupel.cli.session import Session, pass_session
from cupel.web import text

if TYPE_CHECKING:
    from cupel.control.views import BuildView, OfferView


@click.group()
def build() -> None:
    """The builds: attempts at jobs."""


@build.command("list")
@click.option("--project", help="Only this project's.")
@click.option(
    "--state",
    type=click.Choice(["queued", "starting", "running", "cancelling", "finished"]),
    help="Only these.",
)
@click.option("--limit", type=click.IntRange(1, 500), default=50, help="How many at most; 50.")
@click.option("--before", type=int, help="Only older ones than this number.")
@output.json_option
@pass_session
def list_all(
    session: Session,
    project: str | None,
    state: str | None,
    limit: int,
    before: int | None,
    as_json: bool,
) -> None:
    """List builds, newest first."""
    with session.client() as client:
        page = client.builds(project=project, state=state, limit=limit, before=before)
    if as_json:
        output.document(page)
        return
    output.table(
        ("BUILD", "STATE", "PROJECT", "PIPELINE", "CHANGE", "JOB", "TOOK"),
        (
            (
                each.id,
                output.state(each.icon, f"build {each.reused_from}" if each.reused_from else None),
                each.project,
                each.pipeline,
                f"#{each.change}" if each.change else None,
                each.job,
                None if each.seconds is None else text.duration(each.seconds),
            )
            for each in page.entries
        ),
        empty="no builds",
    )
    reused = sum(each.reused_from is not None for each in page.entries)
    if reused:
        click.echo(f"{reused} of {len(page.entries)} reused")
    if page.next is not None:
        click.echo(f"older ones: --before {page.next}")


@build.command()
@click.argument("number", metavar="BUILD", type=NUMBER)
@click.option(
    "--part",
    metavar="N",
    type=click.IntRange(0, 99),
    default=0,
    help="Which of its machines, if it has several: 0 is its own.",
)
@output.json_option
@pass_session
def metrics(session: Session, number: int, part: int, as_json: bool) -> None:
    """Show what a build's machine used, second by second."""
    with session.client() as client:
        found = client.metrics(number, part=part)
        while len(found.rows) < found.total:
            more = client.metrics(number, first=len(found.rows), part=part).rows
            if not more:
                break
            found.rows.extend(more)
    if as_json:
        output.document(found)
        return
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    before = [rows[0], *rows] if rows else []
    output.table(
        ("AFTER", "CPU", "MEMORY", "PROCESSES", "DISK", "READ", "WRITTEN", "WAITS"),
        (
            (
                text.duration((now["at"] or 0.0) - (rows[0]["at"] or 0.0)),
                _cores(last, now),
                _bytes(now["memory"]),
                _whole(now["processes"]),
                _bytes(now["disk"]),
                _bytes(now["read"]),
                _bytes(now["written"]),
                _waits(now),
            )
            for last, now in zip(before, rows, strict=False)
        ),
    )


def _cores(last: Mapping[str, float | None], now: Mapping[str, float | None]) -> str | None:
    """Cores in use since the last row."""
    used, had, at, since = now["cpu_seconds"], last["cpu_seconds"], now["at"], last["at"]
    if used is None or had is None or at is None or since is None or at <= since:
        return None
    return f"{(used - had) / (at - since):.2f}"


def _bytes(count: float | None) -> str | None:
    return None if count is None else text.size(int(count))


def _whole(count: float | None) -> str | None:
    return None if count is None else f"{count:.0f}"


def _waits(row: Mapping[str, float | None]) -> str | None:
    known = [row["waits_cpu"], row["waits_memory"], row["waits_io"]]
    if all(each is None for each in known):
        return None
    return " ".join("?" if each is None else f"{each:.0f}%" for each in known)


@build.command()
@click.argument("number", metavar="BUILD", type=NUMBER)
@output.json_option
@pass_session
def show(session: Session, number: int, as_json: bool) -> None:
    """Show all of a build: its steps, its machine and what it left."""
    with session.client() as client:
        found = client.build(number)
    if as_json:
        output.document(found)
        return
    if found.cause is not None:
        cause.show(found.cause)
    usage = found.usage
    output.fields(
        [
            ("build", f"{found.id} {found.job}, attempt {found.attempt}"),
            ("state", output.state(found.icon, found.reason)),
            ("reused", _reused(found)),
            ("offered", None if found.offer is None else f"{_word(found.offer)}, not run here"),
            ("refuted", f"by build {found.refuted_by}" if found.refuted_by else None),
            ("change", f"#{found.change} {found.title}" if found.change else found.title),
            ("pipeline", f"{found.project} {found.branch} {found.pipeline}"),
            ("machine", _machine(found.on, found.label)),
            ("open with", found.on.command if found.on else None),
            ("waits", found.waiting),
            ("waited", text.duration(found.waited)),
            ("took", None if found.seconds is None else text.duration(found.seconds)),
            ("cpu", None if usage.cpu_seconds is None else text.duration(usage.cpu_seconds)),
            ("memory", None if usage.memory_peak is None else text.size(usage.memory_peak)),
            ("tests", None if found.tests is None else found.tests.text),
            ("log", None if found.log_lines is None else f"{found.log_lines} lines"),
        ]
    )
    click.echo()
    output.table(
        ("STEP", "STATE", "TOOK", "NAME"),
        (
            (
                each.number,
                output.state(each.state),
                None if each.seconds is None else text.duration(each.seconds),
                each.name,
            )
            for each in found.steps
        ),
    )
    if found.caches:
        click.echo()
        output.table(
            ("CACHE", "WHAT CAME OF IT"), ((each.name, each.text) for each in found.caches)
        )
    if found.artefacts:
        click.echo()
        rows = ((each.path, text.size(each.size), each.sha256[:16]) for each in found.artefacts)
        output.table(("ARTEFACT", "SIZE", "SHA-256"), rows)


def _reused(found: BuildView) -> str | None:
    """The build that stands for this one, which was not run."""
    origin = found.reused
    if origin is None:
        return None
    of = f" of #{origin.change} {origin.title}" if origin.change else ""
    if origin.offer is not None:
        of = f", offered {_word(origin.offer)}, not run here"
    at = "" if origin.finished_at is None else f", finished {text.moment(origin.finished_at)}"
    saved = "" if origin.seconds is None else f", saved {text.duration(origin.seconds)}"
    return f"build {origin.build}{of}{at}{saved}"


def _word(offer: OfferView) -> str:
    return f"by {offer.by} from {offer.host}"


def _machine(on: object, label: str) -> str:
    from cupel.control.views import MachineRef

    if not isinstance(on, MachineRef):
        return label
    return f"{on.id} on {on.host}, {label} {(on.image or '')[:19]}".rstrip()
