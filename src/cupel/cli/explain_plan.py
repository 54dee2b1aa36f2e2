"""`cupel explain-plan`: what a queue believes of its changes, and what it does next."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cupel.cli import output, terminal
from cupel.cli.session import Session, pass_session
from cupel.errors import UserError

if TYPE_CHECKING:
    from cupel.client import Client
    from cupel.control.views import BrokenView, EntryView, PlanView, WantView

WIDTH = 80


@click.command("explain-plan")
@click.argument("queue", required=False)
@click.option("--branch", help="By default the queue's first.")
@output.json_option
@pass_session
def explain_plan(session: Session, queue: str | None, branch: str | None, as_json: bool) -> None:
    """Say why a queue does what it does, and what it does next.

    The queue is named by itself or a project; it can be left out where there is one only.
    """
    with session.client() as client:
        plan = client.plan(queue or _only(client), branch)
    if as_json:
        output.document(plan)
        return
    for line in lines(plan):
        click.echo(line)


def _only(client: Client) -> str:
    """The queue where there is one only. Raises UserError."""
    names = [each.name for each in client.rules()]
    if len(names) == 1:
        return names[0]
    if not names:
        raise UserError("there is no queue yet", hint="`cupel project add` makes one")
    raise UserError("which queue?", hint=f"there is {', '.join(names)}")


def lines(plan: PlanView) -> Iterator[str]:
    """The plan as plain text, none of it wider than WIDTH."""
    from cupel.report import reasons

    window = "no window" if plan.window is None else f"window {plan.window}"
    yield from _wrapped(
        f"{plan.queue} {plan.branch}: landing {plan.landing}, planner {plan.planner},"
        f" {window}, {_count(plan.machines, 'machine')}"
    )
    if plan.closed is not None:
        yield from _wrapped(f"the tree is closed: {plan.closed}")
    if plan.landing_now:
        yield from _wrapped(f"landing now: {reasons.numbers(plan.landing_now)}")
    if not plan.entries:
        yield "nothing waits to land"
        return
    yield from _heading("Changes, in order")
    for entry in plan.entries:
        yield from _entry(plan, entry)
    yield from _heading("Wanted runs, most urgent first")
    for want in plan.wants:
        yield from _want(plan, want)
    if not plan.wants:
        yield "  none"
    if plan.broken:
        yield from _heading("Is the branch itself broken?")
        for job in plan.broken:
            yield from _wrapped(f"{_job(plan, job)}: {reasons.percent(job.chance)}", "  ")
    yield from _heading("Proved, and why not landed")
    for proved in plan.proved:
        yield from _wrapped(f"{reasons.numbers(proved.changes)}: {proved.text}", "  ")
    if not plan.proved:
        yield "  none"


def _entry(plan: PlanView, entry: EntryView) -> Iterator[str]:
    from cupel.report import reasons

    yield from _wrapped(f"{reasons.numbers(entry.changes)} {entry.title}", "  ", "    ")
    rest = [reasons.chance(entry.bad, entry.began)]
    rest += [factor.text for factor in entry.factors[1:] if reasons.is_noteworthy(factor.odds)]
    doubted = set(entry.changes)
    rest += [each.text for each in entry.failures if doubted & set(each.doubted)]
    rest.append(reasons.expected(entry.on, plan.branch))
    rest += [f"also on {reasons.state(other, plan.branch)}" for other in entry.others]
    if entry.aside_text is not None:
        rest.append(f"set aside: {entry.aside_text}")
    if entry.waiting is not None:
        rest.append(entry.waiting)
    for text in rest:
        yield from _wrapped(text, "    ", "      ")


def _want(plan: PlanView, want: WantView) -> Iterator[str]:
    from cupel.report import reasons

    name = f"{_job(plan, want)} on {reasons.state(want.state, plan.branch)}"
    yield from _wrapped(f"{name}, score {want.score:.2f}", "  ", "    ")
    yield from _wrapped(want.why, "    ")
    if want.since is not None:
        yield f"    build {want.build}, for {max(0.0, plan.now - want.since):.0f} s"
    elif want.waits is not None:
        yield from _wrapped(want.waits, "    ")


def _job(plan: PlanView, about: WantView | BrokenView) -> str:
    """A job, with its project where the queue has several."""
    return f"{about.project} {about.job}" if plan.shared else about.job


def _heading(text: str) -> Iterator[str]:
    yield ""
    yield text


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _wrapped(text: str, first: str = "", later: str | None = None) -> list[str]:
    return textwrap.wrap(
        terminal.single(text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=first + "  " if later is None else later,
    )
