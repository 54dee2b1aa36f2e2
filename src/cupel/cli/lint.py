"""`cupel lint`: the server's own reading of a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cupel.cli import output, terminal
from cupel.cli.exits import Exit

if TYPE_CHECKING:
    from cupel.config.problem import Problem


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path())
@output.json_option
@click.pass_context
def lint(ctx: click.Context, path: Path, as_json: bool) -> None:
    """Check the configuration, as the server reads it.

    It is that of the working tree at PATH, by default the current one.
    Prints each problem as file:line:column with what to write instead, and exits with 2 if there
    is one. Whether a machine label exists is for the server to say.
    """
    from cupel.cli import worktree
    from cupel.config.problem import ConfigErrors

    tree = worktree.read(path)
    try:
        loaded = tree.load()
    except ConfigErrors as errors:
        if as_json:
            output.document([_described(problem) for problem in errors.problems])
        else:
            click.echo(terminal_lines(str(errors)))
        ctx.exit(Exit.USER)
    if as_json:
        output.document([])
        return
    jobs = len(loaded.config.jobs)
    click.echo(loaded.notice or f"{tree.root}: good, {jobs} {'job' if jobs == 1 else 'jobs'}")


def terminal_lines(said: str) -> str:
    """A text of several lines that quotes files: harmless, the lines kept."""
    return "\n".join(terminal.plain(each) for each in said.split("\n"))


def _described(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.at.file,
        "line": problem.at.line,
        "column": problem.at.column,
        "message": problem.message,
        "hint": problem.hint,
    }
