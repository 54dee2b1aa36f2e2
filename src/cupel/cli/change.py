"""`cupel change`: what is proposed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cupel.cli import output, terminal
from cupel.cli.session import Session, pass_session

if TYPE_CHECKING:
    from cupel.control.views import ChangeRef, ChangeView


class Number(click.ParamType[int]):
    """The number of a change or build, with or without the `#` before it."""

    name = "number"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        text = str(value).removeprefix("#")
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            self.fail(f"{value!r} is not a number such as 7 or #7", param, ctx)
        return int(text)


NUMBER = Number()

FLAKED = "a flake: it had failed on the same before"


@click.group()
def change() -> None:
    """The changes that are or were proposed."""


@change.command("list")
@click.option("--project", help="Only this project's.")
@click.option("--state", type=click.Choice(["open", "landed", "abandoned"]), help="Only these.")
@click.option("--author", help="Only by `Name <mail>`, or of this owner.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, help="How many at most; 50.")
@click.option("--before", type=int, help="Only older ones than this number.")
@output.json_option
@pass_session
def list_all(
    session: Session,
    project: str | None,
    state: str | None,
    author: str | None,
    limit: int,
    before: int | None,
    as_json: bool,
) -> None:
    """List changes, newest first."""
    with session.client() as client:
        page = client.changes(
            project=project, state=state, author=author, limit=limit, before=before
        )
    if as_json:
        output.document(page)
        return
    output.table(
        ("CHANGE", "STATE", "PROJECT", "BRANCH", "AUTHOR", "TITLE"),
        (
            (
                f"#{each.id}",
                output.state(each.state),
                each.project,
                each.branch,
                name_of(each.author),
                each.title,
            )
            for each in page.entries
        ),
        empty="no changes",
    )
    if page.next is not None:
        click.echo(f"older ones: --before {page.next}")


@change.command()
@click.argument("number", metavar="CHANGE", type=NUMBER)
@output.json_option
@pass_session
def show(session: Session, number: int, as_json: bool) -> None:
    """Show all of a change: its approvals, and every build of every pipeline."""
    with session.client() as client:
        found = client.change(number)
    if as_json:
        output.document(found)
        return
    _head(found)
    rows = list(_builds(found))
    if rows:
        click.echo()
        output.table(("PIPELINE", "PROVED ON", "BUILD", "JOB", "STATE"), rows)


def _head(found: ChangeView) -> None:
    given = ", ".join(each.user for each in found.approvals if each.counts) or "nobody"
    output.fields(
        [
            ("change", f"#{found.id} {found.title}"),
            ("project", f"{found.project} {found.branch}"),
            ("author", found.author),
            ("state", output.state(found.state, found.waiting)),
            ("patch set", f"{found.patch_set} {found.commit[:12]}"),
            ("approved by", f"{given} ({found.approvals_given} of {found.approvals_needed})"),
            ("urgent", "yes" if found.urgent else None),
            ("needs", " ".join(_reference(found, each) for each in found.needs)),
            ("needed by", " ".join(_reference(found, each) for each in found.needed_by)),
            ("kept out", "; ".join(found.kept_out)),
            ("landed as", found.landed_commit),
            ("not landed", found.text),
        ]
    )
    if found.description.strip() not in ("", found.title):
        click.echo()
        for text in found.description.rstrip().split("\n"):
            click.echo(f"    {terminal.plain(text)}")


def _reference(found: ChangeView, other: ChangeRef) -> str:
    """Another change, with its state and, where it is another one, its project."""
    where = "" if other.project == found.project else f"{other.project}, "
    return f"#{other.id} ({where}{other.state})"


def _builds(found: ChangeView) -> Iterator[tuple[output.Text, ...]]:
    """A row per build, of the newest item first."""
    for history in found.items:
        for made in history.buildsets:
            onto = (made.onto or "itself")[:12]
            if not made.builds:
                word = history.item.status if made.current else made.state
                yield (history.item.pipeline, onto, None, None, output.state(word))
            for build in made.builds:
                yield (
                    history.item.pipeline,
                    onto,
                    build.id,
                    build.job,
                    output.state(build.icon, FLAKED if build.flaked else build.reason),
                )


def name_of(author: str) -> str:
    """The name in `Name <mail>`."""
    return author.partition("<")[0].strip() or author
