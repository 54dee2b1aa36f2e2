"""`cupel project`: the guarded repositories."""

from __future__ import annotations

from pathlib import Path

import click

from cupel.cli import output
from cupel.cli.session import Session, pass_session


class OnOff(click.ParamType[bool]):
    """`on` or `off`."""

    name = "on|off"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> bool:
        if isinstance(value, bool):
            return value
        if value not in ("on", "off"):
            self.fail(f"{value!r} is neither on nor off", param, ctx)
        return value == "on"


ON_OFF = OnOff()

approvals = click.option(
    "--approvals", type=click.IntRange(0, 100), help="How many a change needs; 1."
)
self_approval = click.option(
    "--self-approval/--no-self-approval", default=None, help="Whether its author's own counts; yes."
)
merge = click.option(
    "--merge",
    type=click.Choice(["merge", "rebase", "squash", "fast-forward"]),
    help="How a change becomes part of the branch; merge.",
)


@click.group()
def project() -> None:
    """The repositories that Cupel guards."""


@project.command()
@click.argument("name")
@click.option("--from", "source", metavar="PATH|URL", help="Import this repository's history.")
@click.option("--branch", help="The branch to guard; by default the repository's own, else main.")
@approvals
@self_approval
@merge
@click.option("--queue", help="The queue to share; by default one of its own.")
@output.json_option
@pass_session
def add(
    session: Session,
    /,
    name: str,
    source: str | None,
    branch: str | None,
    queue: str | None,
    as_json: bool,
    **policy: str | int | bool | None,
) -> None:
    """Guard a repository: a new and empty one, or a copy of another."""
    with session.client() as client:
        made = client.add_project(
            name,
            source=_absolute(source),
            branch=branch,
            queue=queue,
            policy={key: value for key, value in policy.items() if value is not None},
        )
        remote = client.remote(made.git_url)
    if as_json:
        output.document(made)
        return
    main = made.branches[0].name
    click.echo(f"{made.name} is guarded: {main} moves only through the gate.")
    click.echo(f"  git remote add cupel {remote}")
    click.echo(f"  git push cupel HEAD:refs/for/{main}")


@project.command("set")
@click.argument("name")
@approvals
@self_approval
@click.option("--attempts", type=click.IntRange(1, 10), help="How often a build may be tried.")
@merge
@click.option(
    "--keep-check",
    type=ON_OFF,
    help="Whether a change's check goes on after the change has entered the gate.",
)
@click.option("--queue", help="The queue to go through; not while a change is in the gate.")
@output.json_option
@pass_session
def change(
    session: Session,
    /,
    name: str,
    queue: str | None,
    as_json: bool,
    **policy: str | int | bool | None,
) -> None:
    """Change what a project asks of its changes, and the queue they go through."""
    asked = {key: value for key, value in policy.items() if value is not None}
    if not asked and queue is None:
        raise click.UsageError("nothing is to be changed: give an option")
    with session.client() as client:
        changed = client.set_project(name, queue=queue, policy=asked)
    if as_json:
        output.document(changed)
        return
    rules = changed.policy
    output.fields(
        [
            ("project", changed.name),
            ("queue", changed.queue),
            ("merge", rules.merge),
            ("approvals", rules.approvals),
            ("self-approval", "on" if rules.self_approval else "off"),
            ("attempts", rules.attempts),
            ("keep-check", "on" if rules.keep_check else "off"),
        ]
    )


@project.command("list")
@output.json_option
@pass_session
def list_all(session: Session, as_json: bool) -> None:
    """List all projects."""
    with session.client() as client:
        projects = client.projects()
    if as_json:
        output.document(projects)
        return
    output.table(
        ("PROJECT", "QUEUE", "BRANCHES", "OPEN", "QUEUED", "APPROVALS", "MERGE", "REMOTE"),
        (
            (
                each.name,
                each.queue,
                " ".join(branch.name for branch in each.branches),
                each.open_changes,
                each.queue_length,
                each.policy.approvals,
                each.policy.merge,
                each.git_url,
            )
            for each in projects
        ),
        empty="no repository is guarded yet: cupel project add NAME --from PATH",
    )


def _absolute(source: str | None) -> str | None:
    """The server has another working directory: what is a directory here is named in full."""
    if source is not None and Path(source).is_dir():
        return str(Path(source).resolve())
    return source
