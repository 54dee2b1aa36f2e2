"""`cupel hold`: machines that are kept for somebody to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cupel.cli import output
from cupel.cli.change import NUMBER
from cupel.cli.session import Session, pass_session
from cupel.web import text

if TYPE_CHECKING:
    from cupel.control.views import HoldView


class Asking(click.Group):
    """`cupel hold 123` and `cupel hold --job tests` are short for `cupel hold ask …`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {*self.commands, "-h", "--help"}
        if args and args[0] not in known:
            args = ["ask", *args]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or self.commands.get("ask")


class Seconds(click.ParamType[float]):
    """A duration as in configurations: `2h`, `30m`."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        from cupel.config import quantity

        found = quantity.seconds(str(value))
        if found is None:
            self.fail(f"{value!r} is not a duration such as 2h or 30m", param, ctx)
        return found


@click.group(cls=Asking)
def hold() -> None:
    """Keep machines after their builds, to look at them with `cupel shell`."""


@hold.command()
@click.argument("number", metavar="[BUILD]", type=NUMBER, required=False)
@click.option("--job", help="That of the next build of this job that fails.")
@click.option("--change", type=NUMBER, help="Only of this change's builds.")
@click.option("--project", help="Only of this project's builds.")
@click.option("--count", type=click.IntRange(1, 20), default=1, help="How many machines; 1.")
@click.option("--for", "seconds", type=Seconds(), default="2h", help="For how long each; 2h.")
@click.option("--reason", required=True, help="Why, for all who see it.")
@output.json_option
@pass_session
def ask(
    session: Session,
    number: int | None,
    job: str | None,
    change: int | None,
    project: str | None,
    count: int,
    seconds: float,
    reason: str,
    as_json: bool,
) -> None:
    """Keep the machine of a build, or of those that fail.

    With BUILD: that of a build that runs, however it ends; one that is held already is kept for
    longer. Else those of the next builds that fail, within a day. `ask` may be left out.
    """
    body = {
        "build": number,
        "job": job,
        "change": change,
        "project": project,
        "count": count,
        "seconds": seconds,
        "reason": reason,
    }
    with session.client() as client:
        found = client.ask_hold(body)
    if as_json:
        output.document(found)
        return
    click.echo(f"hold {found.id}: {_says(found)}")
    for each in found.machines:
        click.echo(f"held until {text.clock(each.until)} UTC: {each.command}")


def _says(found: HoldView) -> str:
    if found.build is not None:
        return f"the machine of build {found.build}"
    machines = "machine" if found.left == 1 else f"{found.left} machines"
    what = f"build of {found.job}" if found.job else "build"
    of = f" of change {found.change}" if found.change else ""
    of += f" in {found.project}" if found.project and not found.change else ""
    return f"the {machines} of the next {what}{of} that fails, for {text.duration(found.seconds)}"


@hold.command("list")
@click.option("--over", is_flag=True, help="Those that are over, too.")
@output.json_option
@pass_session
def list_all(session: Session, over: bool, as_json: bool) -> None:
    """List holds, newest first, with the machines that are kept."""
    with session.client() as client:
        found = client.holds(over=over)
    if as_json:
        output.document(found)
        return
    output.table(
        ("HOLD", "STATE", "OWNER", "FOR", "KEPT", "UNTIL", "OPEN WITH", "REASON"),
        (row for each in found for row in _rows(each)),
        empty="nothing is held; --over shows what was",
    )


def _rows(found: HoldView) -> list[list[output.Text]]:
    first: list[output.Text] = [
        found.id,
        output.state(found.state, found.detail),
        found.owner,
        _about(found),
    ]
    if not found.machines:
        waits = text.clock(found.expires_at) if found.ended_at is None else None
        to_come = f"{found.left} to come" if found.left else None
        return [[*first, to_come, waits, None, found.reason]]
    return [
        [*first, f"machine {each.machine}", text.clock(each.until), each.command, found.reason]
        for each in found.machines
    ]


def _about(found: HoldView) -> str:
    if found.build is not None:
        return f"build {found.build}"
    words = [found.job, f"#{found.change}" if found.change else None, found.project]
    return " ".join(word for word in words if word)


@hold.command()
@click.argument("number", metavar="HOLD", type=NUMBER)
@output.json_option
@pass_session
def release(session: Session, number: int, as_json: bool) -> None:
    """Let the machines of a hold go."""
    with session.client() as client:
        found = client.release_hold(number)
    if as_json:
        output.document(found)
        return
    click.echo(f"hold {found.id} is over: {found.detail}")
