"""`cupel search`: find changes, builds, tests, and lines in the logs of all builds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from cupel.cli import output, terminal
from cupel.cli.exits import Exit
from cupel.cli.flake import Until
from cupel.cli.session import Session, pass_session
from cupel.web import text

if TYPE_CHECKING:
    from cupel.control.views import FoundLog, LogsReached, SearchView

KINDS = ("changes", "builds", "tests", "projects", "machines", "logs")


@click.command()
@click.argument("words", metavar="WORDS", nargs=-1, required=True)
@click.option("--kind", type=click.Choice(KINDS), multiple=True, help="Only these; repeatable.")
@click.option("--project", help="Only this project's.")
@click.option("--job", help="Only of this job, or of all cells of its matrix.")
@click.option(
    "--verdict",
    type=click.Choice(["success", "failure", "timeout", "infra", "cancelled", "skipped"]),
    help="Only builds with this verdict.",
)
@click.option("--since", type=Until(), help="Only what is not older: `7d`, `36h`.")
@click.option("--regex", is_flag=True, help="A regular expression, for lines of logs.")
@click.option("--case", is_flag=True, help="In logs, match upper and lower case.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, help="How many of each; 20.")
@click.option("--before", type=int, help="Go on with the logs of builds before this one.")
@output.json_option
@pass_session
def search(
    session: Session,
    words: tuple[str, ...],
    kind: tuple[str, ...],
    project: str | None,
    job: str | None,
    verdict: str | None,
    since: float | None,
    regex: bool,
    case: bool,
    limit: int,
    before: int | None,
    as_json: bool,
) -> int:
    """Search changes, builds, tests, projects, machines, and the text of all logs.

    Words must all be there; in logs a text is found as it stands, in one line. `#12`, `build 34`
    and the beginning of a commit find what they name. Exits with 1 if nothing was found.
    """
    with session.client() as client:
        found = client.search(
            " ".join(words),
            kind=kind,
            project=project,
            job=job,
            verdict=verdict,
            since=None if since is None else time.time() - since,
            regex=regex,
            case=case,
            limit=limit,
            before=before,
        )
    if as_json:
        output.document(found)
    else:
        _show(found)
    return Exit.OK if _is_any(found) else Exit.NEGATIVE


def _is_any(found: SearchView) -> bool:
    rows = (found.jumps, found.changes, found.builds, found.tests, found.projects, found.machines)
    return any(rows) or (found.logs is not None and found.logs.reached.lines > 0)


def _show(found: SearchView) -> None:
    for jump in found.jumps:
        number = "" if jump.kind == "commit" else f" {jump.id}"
        _say(f"{jump.kind}{number}", jump.text)
    for change in found.changes:
        _say(f"change {change.id}", f"{change.title} ({change.project}, {change.state})")
    for build in found.builds:
        why = f": {build.reason}" if build.reason else ""
        _say(f"build {build.id}", f"{build.job} ({build.project}, {build.icon}){why}")
    for test in found.tests:
        _say(f"test in build {test.build}", f"{test.test} ({test.job}, {test.outcome})")
    for each in (*found.projects, *found.machines):
        _say(each.kind, f"{each.name} ({each.text})")
    if found.logs is not None:
        for log in found.logs.entries:
            _show_log(log)
        _say("logs", _reached(found.logs.reached))


def _show_log(log: FoundLog) -> None:
    what = f"{log.build.job} ({log.build.project}, {log.build.icon})"
    _say(f"log of build {log.build.id}", f"{what}: {log.lines} lines")
    for hit in log.hits:
        line = terminal.plain("".join(hit.text))
        click.echo(f"  {hit.number + 1:>7}  {line}")


def _reached(reached: LogsReached) -> str:
    least = "" if reached.complete else "at least "
    said = (
        f"{least}{reached.lines} lines in {reached.logs} logs; searched {reached.searched} "
        f"in {text.duration(reached.seconds)}"
    )
    if not reached.complete and reached.back_at is not None:
        said += f", back to {text.moment(reached.back_at)}"
    return said if reached.next is None else f"{said}; go on with --before {reached.next}"


def _say(what: str, words: str) -> None:
    click.echo(terminal.single(f"{what}: {words}"))
