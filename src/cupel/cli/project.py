"""`cupel project`: the guarded repositories."""

from __future__ import annotations

from pathlib import Path

import click

from cupel.cli import output
from cupel.cli.session import Session, pass_session


@click.group()
def project() -> None:
    """The repositories that Cupel guards."""


@project.command()
@click.argument("name")
@click.option("--from", "source", metavar="PATH|URL", help="Import this repository's history.")
@click.option("--branch", help="The branch to guard; by default the repository's own, else main.")
@click.option("--approvals", type=click.IntRange(0, 100), help="How many a change needs; 1.")
@click.option(
    "--self-approval/--no-self-approval", default=None, help="Whether its author's own counts; yes."
)
@output.json_option
@pass_session
def add(
    session: Session,
    name: str,
    source: str | None,
    branch: str | None,
    approvals: int | None,
    self_approval: bool | None,
    as_json: bool,
) -> None:
    """Guard a repository: a new and empty one, or a copy of another."""
    asked = {"approvals": approvals, "self_approval": self_approval}
    policy = {key: value for key, value in asked.items() if value is not None}
    with session.client() as client:
        made = client.add_project(name, source=_absolute(source), branch=branch, policy=policy)
        remote = client.remote(made.git_url)
    if as_json:
        output.document(made)
        return
    main = made.branches[0].name
    click.echo(f"{made.name} is guarded: {main} moves only through the gate.")
    click.echo(f"  git remote add cupel {remote}")
    click.echo(f"  git push cupel HEAD:refs/for/{main}")


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
        ("PROJECT", "BRANCHES", "OPEN", "QUEUED", "APPROVALS", "REMOTE"),
        (
            (
                each.name,
                " ".join(branch.name for branch in each.branches),
                each.open_changes,
                each.queue_length,
                each.policy.approvals,
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
