"""`cupel logs`: what builds printed, and what they print."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cupel.cli import cause, output, terminal
from cupel.cli.change import NUMBER
from cupel.cli.exits import Exit
from cupel.cli.session import Session, pass_session
from cupel.errors import UserError
from cupel.web import text

if TYPE_CHECKING:
    from cupel.client import Client
    from cupel.control.views import BuildView, LogLineView

BAD = ("failure", "timeout", "infra")


@click.command()
@click.argument("number", metavar="BUILD", type=NUMBER, required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until the build has finished.")
@click.option("--failed", metavar="CHANGE", type=NUMBER, help="The failed builds of this change.")
@click.option("--step", help="Only this step: its number or its name.")
@click.option("--machine", metavar="NAME", help="Only this machine of a job that has several.")
@click.option("--grep", metavar="TEXT", help="Only lines with this text, whatever its case.")
@click.option("--times", is_flag=True, help="Put the time (UTC) before each line.")
@click.option("--raw", is_flag=True, help="As printed, terminal escapes and all.")
@output.json_option
@pass_session
@click.pass_context
def logs(
    ctx: click.Context,
    session: Session,
    number: int | None,
    follow: bool,
    failed: int | None,
    step: str | None,
    machine: str | None,
    grep: str | None,
    times: bool,
    raw: bool,
    as_json: bool,
) -> None:
    """Print the log of BUILD, or of a change's failed builds.

    With several machines, each line begins with the name of the one that it came from.
    Of a build that was reused it is the log of the one that ran.
    Terminal escapes are left out, so that a build cannot act on your terminal. With --follow, the
    exit code is 1 unless the build succeeds.
    """
    if (number is None) == (failed is None):
        raise click.UsageError("say a BUILD, or --failed CHANGE")
    if grep is not None and follow:
        raise click.UsageError("--grep looks through what is there, --follow waits for more")
    printer = Printer(times=times, raw=raw, as_json=as_json)
    with session.client() as client:
        for build in [number] if number is not None else _failed(client, failed or 0):
            found = client.build(build)
            if failed is not None and not as_json:
                printer.heading(f"build {build}, {found.job}: {found.icon}")
                if found.cause is not None:
                    cause.show(found.cause)
            ran = found.reused_from or build
            if ran != build and not as_json:
                printer.heading(f"build {build} was not run: the log of build {ran}")
            only = None if step is None else _step(found, step)
            if machine is not None and machine not in found.machines:
                raise _no_machine(found, machine)
            printer.print(
                line
                for line in (
                    client.log(ran, follow=follow) if grep is None else client.find(ran, grep)
                )
                if (only is None or line.step == only) and machine in (None, line.machine)
            )
            if follow and client.build(build).verdict != "success":
                ctx.exit(Exit.NEGATIVE)


def _failed(client: Client, number: int) -> list[int]:
    """The builds that failed on the newest state on which any did. Raises UserError for none."""
    change = client.change(number)
    for history in change.items:
        for buildset in history.buildsets:
            bad = [build.id for build in buildset.builds if build.verdict in BAD]
            if bad:
                return bad
    raise UserError(f"no build of change {number} has failed")


def _step(build: BuildView, wanted: str) -> int:
    """The number of a step. Raises UserError for one that the build does not have."""
    for step in build.steps:
        if wanted in (str(step.number), step.name):
            return step.number
    names = ", ".join(f"{step.number} {step.name}" for step in build.steps) or "none"
    raise UserError(f"build {build.id} has no step {wanted!r}", hint=f"its steps: {names}")


def _no_machine(build: BuildView, wanted: str) -> UserError:
    names = ", ".join(build.machines) or "it has one, without a name"
    return UserError(f"build {build.id} has no machine {wanted!r}", hint=f"machines: {names}")


class Printer:
    """Prints lines so that pieces of one line, however they come, stay one line."""

    def __init__(self, *, times: bool, raw: bool, as_json: bool) -> None:
        self._times = times
        self._raw = raw
        self._as_json = as_json
        self._inside = False

    def heading(self, said: str) -> None:
        click.echo(f"==> {terminal.single(said)} <==")

    def print(self, lines: Iterator[LogLineView]) -> None:
        for line in lines:
            if self._as_json:
                output.line(line)
            else:
                self._write(line)
        self._end()

    def _write(self, line: LogLineView) -> None:
        if not line.continues:
            self._end()
        begin = f"{text.clock(line.at)} " if self._times else ""
        begin += f"{line.machine} | " if line.machine else ""
        shown = line.text if self._raw else terminal.plain(line.text)
        # Not `click.echo`: it strips what `--raw` asks for.
        sys.stdout.write(("" if self._inside else begin) + shown)
        self._inside = True
        if line.ended:
            self._end()
        sys.stdout.flush()

    def _end(self) -> None:
        if self._inside:
            sys.stdout.write("\n")
            self._inside = False
