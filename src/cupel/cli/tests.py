"""`cupel tests`: what the tests of a build said, and how one test went over builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cupel.cli import output, terminal
from cupel.cli.change import NUMBER
from cupel.cli.session import Session, pass_session
from cupel.errors import UserError
from cupel.web import text

if TYPE_CHECKING:
    from cupel.client import Client
    from cupel.control.views import ResultsView, ResultView, TestHistoryView

PAGE = 500
"""Results that are asked for at a time."""

_EXCERPT = 12
"""Lines of a failure's text that are shown: the last ones."""


@click.command()
@click.argument("build", metavar="[BUILD]", type=NUMBER, required=False)
@click.option("--failed", is_flag=True, help="Only those that failed, with their texts.")
@click.option(
    "--outcome",
    type=click.Choice(["failed", "flaky", "skipped", "passed"]),
    help="Only these.",
)
@click.option("--text", "part", metavar="TEXT", help="Only those with this in their names.")
@click.option("--limit", type=click.IntRange(1), default=100, help="How many at most; 100.")
@click.option("--history", metavar="NAME", help="How this test went over builds, instead.")
@click.option("--project", help="Of --history: whose test; by default of the only project.")
@click.option("--job", help="Of --history: only in this job.")
@output.json_option
@pass_session
def tests(
    session: Session,
    build: int | None,
    failed: bool,
    outcome: str | None,
    part: str | None,
    limit: int,
    history: str | None,
    project: str | None,
    job: str | None,
    as_json: bool,
) -> None:
    """Show what the tests of a build said, those that failed first."""
    if (build is None) == (history is None):
        raise UserError("say the number of a build, or --history and the name of a test")
    with session.client() as client:
        if history is not None:
            whose = project or _only_project(client)
            told = client.test_history(whose, history, job=job, limit=min(limit, PAGE))
            return output.document(told) if as_json else _show_history(told)
        assert build is not None
        found = _fetch(client, build, "failed" if failed else outcome, part, limit)
    if as_json:
        return output.document(found)
    return _show(found, with_text=failed)


def _fetch(
    client: Client, build: int, outcome: str | None, part: str | None, limit: int
) -> ResultsView:
    """The first results that fit, page by page."""
    found = client.tests(build, outcome=outcome, text=part, limit=min(limit, PAGE))
    while found.next is not None and len(found.entries) < limit:
        more = client.tests(
            build,
            outcome=outcome,
            text=part,
            first=found.next,
            limit=min(limit - len(found.entries), PAGE),
        )
        entries = [*found.entries, *more.entries]
        found = more.model_copy(update={"entries": entries})
    return found


def _only_project(client: Client) -> str:
    names = [each.name for each in client.projects()]
    if len(names) != 1:
        raise UserError("say whose test it is", hint="--project " + " | ".join(names or ["NAME"]))
    return names[0]


def _show(found: ResultsView, *, with_text: bool) -> None:
    tally = found.tally
    if tally is None:
        click.echo(f"build {found.build} has left no results of tests")
        return
    for notice in tally.notices:
        click.echo(terminal.single(f"! {notice}"))
    if with_text:
        for each in found.entries:
            _show_failure(each)
    else:
        output.table(
            ("OUTCOME", "TOOK", "TEST", "PLACE", "MESSAGE"),
            (
                (
                    output.state("flaky" if each.flaky else each.outcome),
                    None if each.seconds is None else text.duration(each.seconds),
                    _id(each),
                    each.place,
                    text.shortened(each.message, 80),
                )
                for each in found.entries
            ),
            empty="no tests" if found.kept else "the results are not kept any more",
        )
    if found.next is not None:
        click.echo(f"more of them: --limit {2 * found.next}")
    click.echo(tally.text)


def _show_failure(each: ResultView) -> None:
    where = f" {each.place}" if each.place else ""
    click.echo(terminal.single(f"{each.outcome}: {_id(each)}{where}"))
    lines = each.text.splitlines()[-_EXCERPT:] or [each.message]
    for line in lines:
        click.echo(f"    {terminal.plain(line)}")
    click.echo()


def _show_history(told: TestHistoryView) -> None:
    click.echo(terminal.single(told.id))
    output.table(
        ("BUILD", "OUTCOME", "TOOK", "WHEN", "JOB", "KEY", "MESSAGE"),
        (
            (
                each.build,
                output.state("flaky" if each.flaky else each.outcome),
                None if each.seconds is None else text.duration(each.seconds),
                text.moment(each.at),
                each.job,
                (each.key or "")[:12],
                text.shortened(each.message, 80),
            )
            for each in told.entries
        ),
        empty="it has not run in any build that is kept",
    )


def _id(each: ResultView) -> str:
    return f"{each.suite}::{each.name}" if each.suite else each.name
