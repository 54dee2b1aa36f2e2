"""`cupel change`: what is proposed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cupel.cli import cause, output, terminal
from cupel.cli.session import Session, pass_session
from cupel.errors import UserError

if TYPE_CHECKING:
    from cupel.control.views import ChangeRef, ChangeView
    from cupel.git.checkout import Wanted


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


class PatchSetNumber(click.ParamType[tuple[int, int | None]]):
    """A change, and perhaps one of its patch sets: 7, #7, 7/2, or 7,2 as git-review has it."""

    name = "patch set"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int | None]:
        found = re.fullmatch(r"#?([0-9]{1,18})(?:[/,]([0-9]{1,9}))?", str(value))
        if found is None:
            self.fail(f"{value!r} is not a change such as 7, or 7/2 for a patch set", param, ctx)
        return int(found[1]), None if found[2] is None else int(found[2])


PATCH_SET = PatchSetNumber()

FLAKED = "a flake: it had failed on the same before"


@click.group()
def change() -> None:
    """The changes that are or were proposed."""


@change.command("list")
@click.option("--project", help="Only this project's.")
@click.option("--state", type=click.Choice(["open", "landed", "abandoned"]), help="Only these.")
@click.option("--author", help="Only by `Name <mail>`, or of this owner.")
@click.option("--mine", is_flag=True, help="Only those of the token's owner.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, help="How many at most; 50.")
@click.option("--before", type=int, help="Only older ones than this number.")
@output.json_option
@pass_session
def list_all(
    session: Session,
    project: str | None,
    state: str | None,
    author: str | None,
    mine: bool,
    limit: int,
    before: int | None,
    as_json: bool,
) -> None:
    """List changes, newest first."""
    if mine and author is not None:
        raise UserError("--mine and --author say the same thing differently", hint="give one")
    with session.client() as client:
        author = client.me().user if mine else author
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
    for each in found.causes:
        cause.show(each, build=True)
    _head(found)
    _blocked(found)
    rows = list(_builds(found))
    if rows:
        click.echo()
        output.table(("PIPELINE", "PROVED ON", "BUILD", "JOB", "STATE"), rows)


@change.command()
@click.argument("wanted", metavar="CHANGE[/PATCHSET]", type=PATCH_SET)
@click.option("--branch", metavar="NAME", help="Be on this branch; by default on none.")
@pass_session
def checkout(session: Session, wanted: tuple[int, int | None], branch: str | None) -> None:
    """Fetch a change, and check it out in the work tree here.

    The newest patch set, or the one that is named. What is not committed, or on no branch, is never
    lost: then it says so, and changes nothing.
    """
    from cupel.git import checkout as work

    number, chosen = wanted
    with session.client() as client:
        found = client.change(number)
        known = [each.number for each in found.patch_sets]
        if chosen is not None and chosen not in known:
            raise UserError(f"change {number} has no patch set {chosen}, only 1 to {max(known)}")
        urls = {each.name: each.git_url for each in client.projects()}
        patch_set = chosen or found.patch_set
        asked = work.Wanted(
            change=number,
            patch_set=patch_set,
            project=found.project,
            url=urls[found.project],
            token=client.token,
            branch=branch,
        )
    commit = asyncio.run(_check_out(asked))
    where = f"on {branch}" if branch else "on no branch"
    click.echo(
        terminal.single(f"{commit[:12]} {found.title}: #{number}, patch set {patch_set}, {where}")
    )


async def _check_out(asked: Wanted) -> str:
    from cupel.git import checkout as work

    return await work.checkout(await work.root_of(Path.cwd()), asked)


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
            ("place", _place(found)),
            ("cost", _cost(found)),
            ("needs", " ".join(_reference(found, each) for each in found.needs)),
            ("needed by", " ".join(_reference(found, each) for each in found.needed_by)),
            ("landed as", found.landed_commit),
            ("not landed", found.text),
        ]
    )
    if found.description.strip() not in ("", found.title):
        click.echo()
        for text in found.description.rstrip().split("\n"):
            click.echo(f"    {terminal.plain(text)}")


def _blocked(found: ChangeView) -> None:
    """What stands between it and its branch, each with what cures it."""
    for each in found.blocked:
        click.echo()
        click.echo(terminal.single(f"{each.kind}: {each.text}"))
        if each.cure is not None:
            told = f"{each.cure}: {each.command}" if each.command else each.cure
            click.echo(terminal.single(f"    {told}"))


def _place(found: ChangeView) -> str | None:
    if found.place is None:
        return None
    return f"{found.place.place} of {found.place.of} in the queue {found.place.queue}"


def _cost(found: ChangeView) -> str | None:
    """What it has cost, and of that what was lost or repeated."""
    spent = sum(each.seconds for each in found.costs)
    if not spent:
        return None
    lost = sum(each.wasted + each.repeated for each in found.costs)
    saved = sum(each.saved for each in found.costs)
    words = [f"{spent / 60:.1f} machine-minutes"]
    words += [f"{lost / 60:.1f} of them lost or repeated"] if lost else []
    words += [f"reuse saved {saved / 60:.1f}"] if saved else []
    return ", ".join(words)


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
