"""`cupel flake` and `cupel quarantine`: tests that fail for no reason, and what is done then."""

from __future__ import annotations

import click

from cupel.cli import output
from cupel.cli.session import Session, pass_session
from cupel.config import quantity
from cupel.web import text


@click.group()
def flake() -> None:
    """The tests that are known to be flaky."""


@flake.command("list")
@click.option("--project", help="Only this project's.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, help="How many at most; 50.")
@output.json_option
@pass_session
def flakes(session: Session, project: str | None, limit: int, as_json: bool) -> None:
    """List tests that have failed and passed on the same, those first that did so last.

    The rate is how often a test fails for no reason, of the job's builds; recent ones weigh more.
    """
    with session.client() as client:
        found = client.flakes(project=project, limit=limit)
    if as_json:
        output.document(found)
        return
    output.table(
        ("PROJECT", "JOB", "TEST", "RATE", "TIMES", "LAST SEEN", "FAILED IN", "PASSED IN"),
        (
            (
                each.project,
                each.job,
                each.test + (" (quarantined)" if each.quarantined is not None else ""),
                f"{100 * each.rate:.0f}%",
                each.count,
                text.moment(each.last_seen),
                each.proofs[-1].failed,
                each.proofs[-1].passed,
            )
            for each in found
        ),
        empty="no test is known to be flaky",
    )


@click.group()
def quarantine() -> None:
    """The tests that may fail for a while without blocking."""


@quarantine.command("list")
@click.option("--project", help="Only this project's.")
@click.option("--ended", is_flag=True, help="Those that have ended, too.")
@output.json_option
@pass_session
def list_all(session: Session, project: str | None, ended: bool, as_json: bool) -> None:
    """List what is quarantined, that which expires first first."""
    with session.client() as client:
        found = client.quarantines(project=project, ended=ended)
    if as_json:
        output.document(found)
        return
    output.table(
        ("NUMBER", "STATE", "PROJECT", "JOB", "TEST", "OWNER", "UNTIL", "REASON"),
        (
            (
                each.id,
                each.state,
                each.project,
                each.job or "all",
                each.test,
                each.owner,
                text.moment(each.expires_at),
                each.reason,
            )
            for each in found
        ),
        empty="no test is quarantined",
    )


class Until(click.ParamType[float]):
    """How long something lasts, in seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        seconds = quantity.seconds(str(value))
        if seconds is None:
            self.fail(f"{value!r} is not a duration such as 14d or 36h", param, ctx)
        return seconds


@quarantine.command()
@click.argument("test", metavar="TEST")
@click.option("--project", required=True, help="Whose test it is.")
@click.option("--job", help="Only in this job; by default in all.")
@click.option("--owner", required=True, help="Who sees to it, and is told when it expires.")
@click.option("--until", type=Until(), required=True, help="How long: `14d`, `36h`; at most 90d.")
@click.option("--reason", required=True, help="Why, for those who meet it.")
@output.json_option
@pass_session
def add(
    session: Session,
    test: str,
    project: str,
    job: str | None,
    owner: str,
    until: float,
    reason: str,
    as_json: bool,
) -> None:
    """Let a test fail without blocking, for a while; it runs on.

    TEST is its name as results have it, such as `tests.test_cache::test_expiry`.
    """
    with session.client() as client:
        made = client.quarantine(project, test, job=job, owner=owner, reason=reason, seconds=until)
    if as_json:
        output.document(made)
    else:
        click.echo(f"quarantined until {text.moment(made.expires_at)}, as number {made.id}")


@quarantine.command()
@click.argument("number", metavar="NUMBER", type=int)
@pass_session
def remove(session: Session, number: int) -> None:
    """Have a test block again. `cupel quarantine list` has the numbers."""
    with session.client() as client:
        client.release(number)
    click.echo(f"quarantine {number} has ended")
