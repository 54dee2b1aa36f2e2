"""`cupel status`: the queues at a glance, once or live."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from cupel.cli import output, terminal
from cupel.cli.change import name_of
from cupel.cli.session import Session, pass_session
from cupel.errors import UserError
from cupel.report import cause as words
from cupel.web import text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cupel.client import Client
    from cupel.control.views import ItemView, JobView, MineView, QueueView

REFRESH = 1.0
"""Seconds between two looks of `--watch`."""

RECENT = 5
CAUSES = 3
"""Changes that failed whose errors are shown."""

FAILED = ("failed", "rejected")
AHEAD = 3
COLUMNS = ("CHANGE", "STATE", "PROVED ON", "JOBS", "FOR", "LANDS", "AUTHOR", "TITLE")
GOES_ON = frozenset({"seconds", "estimate"})
"""What of a queue changes by itself."""


@click.command()
@click.argument("project", required=False)
@click.option("--watch", is_flag=True, help="Stay and follow what happens, until Ctrl-C.")
@click.option("--mine", is_flag=True, help="Show your own changes, and what each waits for.")
@output.json_option
@pass_session
def status(session: Session, project: str | None, watch: bool, mine: bool, as_json: bool) -> None:
    """Show the queues: what is proved on what, and waits for what.

    Those of PROJECT, or of all projects. Below: why the last changes that failed did.
    With --json, the queues; with --json --watch, a line of JSON whenever they change. With --mine,
    the changes that you pushed, those first that do not go on by themselves.
    """
    if mine and (watch or project):
        raise UserError(
            "--mine is of all projects, and as it is now", hint="leave out PROJECT and --watch"
        )
    with session.client() as client:
        if mine and as_json:
            output.document(client.mine())
        elif mine:
            _print_mine(client.mine())
        elif watch and as_json:
            _watch_json(client, project)
        elif watch:
            _watch(client, project)
        elif as_json:
            output.document(client.queues(project))
        else:
            queues = client.queues(project)
            _print(queues)
            _print_causes(client, queues)


def _print_mine(found: MineView) -> None:
    """What needs its owner first, then what goes on, then what landed lately."""
    rows = [
        (
            f"#{each.id}",
            output.state(each.status, each.text),
            "you" if each.needs_owner else "",
            f"{each.project} {each.branch}",
            each.title,
        )
        for each in found.changes
    ]
    rows += [
        (f"#{each.id}", output.state("landed"), "", f"{each.project} {each.branch}", each.title)
        for each in found.landed[:RECENT]
    ]
    if rows:
        output.table(("CHANGE", "STATE", "NEEDS", "LANDS ON", "TITLE"), rows)
    else:
        click.echo(f"{found.user} has pushed no change yet")


def _print_causes(client: Client, queues: Sequence[QueueView]) -> None:
    """Of changes that fail, or were rejected lately: the error, and whose fault it is."""
    items = [item for queue in queues for item in _items(queue) if item.status in FAILED]
    for number in list(dict.fromkeys(item.change for item in items if item.change))[:CAUSES]:
        for found in client.change(number).causes[:1]:
            click.echo()
            brief = words.brief(found.tests, found.failing, found.lines) or found.reason
            said = f"#{number} {found.job}" + (f": {brief}" if brief else "")
            click.echo(terminal.single(said))
            proofs = [proof.text for proof in found.blame.proofs]
            click.echo(f"  {terminal.single(words.whose(found.blame.text, proofs))}")


def _print(queues: Sequence[QueueView]) -> None:
    """The queues in which something goes on or did lately, else a word that nothing does."""
    shown = [queue for queue in queues if _is_shown(queue)]
    for number, queue in enumerate(shown):
        if number:
            click.echo()
        output.table(COLUMNS, _rows(queue), title=_title(queue))
    if not shown:
        click.echo("nothing is queued, and nothing was lately")


def _watch(client: Client, project: str | None) -> None:
    """Draw the queues anew every second."""
    if not output.is_terminal():
        raise UserError("--watch draws on a terminal", hint="`--watch --json` is for programs")
    from rich.live import Live

    console = output.console()
    with Live(_drawn(client.queues(project)), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(REFRESH)
            live.update(_drawn(client.queues(project)), refresh=True)


def _watch_json(client: Client, project: str | None) -> None:
    """Print the queues when something but the time has changed."""
    before: list[object] = []
    while True:
        queues = client.queues(project)
        still = [_timeless(queue.model_dump(mode="json")) for queue in queues]
        if still != before:
            output.line(queues)
            before = still
        time.sleep(REFRESH)


def _timeless(value: object) -> object:
    """The same without what changes by itself."""
    match value:
        case dict():
            return {key: _timeless(each) for key, each in value.items() if key not in GOES_ON}
        case list():
            return [_timeless(each) for each in value]
        case _:
            return value


def _drawn(queues: Sequence[QueueView]) -> RenderableType:
    from rich.console import Group

    tables = [
        output.rich_table(COLUMNS, list(_rows(queue)), title=_title(queue))
        for queue in queues
        if _is_shown(queue)
    ]
    return Group(*tables) if tables else "nothing is queued, and nothing was lately"


def _title(queue: QueueView) -> str:
    heads = [(each.project, (each.head or "unborn")[:12]) for each in queue.heads]
    at = ", ".join(head if len(heads) == 1 else f"{head} ({name})" for name, head in heads)
    rules = queue.rules
    closed = f", closed by {rules.closed_by}: {rules.closed}" if rules.closed else ""
    left = queue.estimate.empties
    empty = f", empty in about {text.roughly(left)}" if queue.gate and left is not None else ""
    return f"{queue.name} {queue.branch} at {at}: {len(queue.gate)} in the gate{empty}{closed}"


def _is_shown(queue: QueueView) -> bool:
    return bool(_items(queue) or queue.kept_out or queue.rules.closed)


def _items(queue: QueueView) -> list[ItemView]:
    return [*queue.gate, *queue.check, *queue.post, *queue.recent[:RECENT]]


def _rows(queue: QueueView) -> Iterator[tuple[output.Text, ...]]:
    for item in _items(queue):
        name = f"#{item.change}" if item.change else item.commit[:12]
        yield (
            name if item.pipeline == "gate" else f"{name} {item.pipeline}",
            output.state(item.status, item.text or item.waiting),
            _proved_on(item),
            _jobs(item.jobs),
            text.elapsed(item.seconds),
            _lands(item),
            name_of(item.author),
            item.title,
        )
    for kept in queue.kept_out:
        yield (
            f"#{kept.change.id}",
            output.state("kept out", kept.text),
            "",
            "",
            "",
            "",
            name_of(kept.change.author),
            kept.change.title,
        )


def _lands(item: ItemView) -> str:
    """In about how long it is expected to, where that is known."""
    if item.estimate is None or item.estimate.lands is None:
        return ""
    return f"~{text.roughly(item.estimate.lands)}"


def _proved_on(item: ItemView) -> str:
    """The branch, and the changes between it and the item; the farther ones only counted."""
    if item.proof is None or item.finished_at is not None or item.proof.onto is None:
        return ""
    shown = " ".join(f"+#{number}" for number in item.proof.ahead[-AHEAD:])
    more = item.proof.ahead_count - min(AHEAD, len(item.proof.ahead))
    return " ".join(filter(None, (item.branch, f"+{more} more" if more > 0 else "", shown)))


def _jobs(jobs: Sequence[JobView]) -> str:
    """Each job when there are few, else how many are in which state."""
    if len(jobs) <= 3:
        return " ".join(f"{_symbol(job)} {job.name}" for job in jobs)
    counts: dict[str, int] = {}
    for job in jobs:
        counts[_symbol(job)] = counts.get(_symbol(job), 0) + 1
    return " ".join(f"{symbol}{count}" for symbol, count in counts.items())


def _symbol(job: JobView) -> str:
    return output.STYLES.get(job.icon, ("·", ""))[0]
