"""`cupel lint`: the server's own reading of a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cupel.cli import labels, output, terminal
from cupel.cli.exits import Exit
from cupel.cli.session import Session, pass_session

if TYPE_CHECKING:
    from cupel.config.problem import Problem


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path())
@labels.server_option
@click.option("--strict", is_flag=True, help="Exit with 2 for a warning, too.")
@output.json_option
@pass_session
@click.pass_context
def lint(
    ctx: click.Context, session: Session, path: Path, server: bool, strict: bool, as_json: bool
) -> None:
    """Check the configuration, as the server reads it.

    It is that of the working tree at PATH, by default the current one.
    Prints each problem as file:line:column with what to write instead, and exits with 2 if there
    is one. Warnings are of what is likely a mistake, and count with --strict only. Whether the
    labels of machines exist is told with --server.
    """
    from cupel.cli import worktree
    from cupel.config import load, warning
    from cupel.config.problem import ConfigErrors

    tree = worktree.read(path)
    known = labels.ask(session) if server else None
    try:
        loaded = load.load(tree.files, tree.listing, known)
    except ConfigErrors as errors:
        if as_json:
            output.document([_described(problem, "error") for problem in errors.problems])
        else:
            click.echo(terminal_lines(str(errors)))
        ctx.exit(Exit.USER)
    # What was detected is Cupel's choice: there is nobody to warn.
    found = () if loaded.notice else warning.warnings(loaded.config, tree.listing, known)
    if as_json:
        output.document([_described(problem, "warning") for problem in found])
    else:
        for problem in found:
            click.echo(terminal_lines(f"{problem.at}: warning: {problem.text}"))
        click.echo(loaded.notice or f"{tree.root}: good, {_counted(loaded.config.jobs, found)}")
    if found and strict:
        ctx.exit(Exit.USER)


def _counted(jobs: Mapping[str, object], found: Sequence[Problem]) -> str:
    counted = [(len(jobs), "job"), *([(len(found), "warning")] if found else [])]
    return ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counted)


def terminal_lines(said: str) -> str:
    """A text of several lines that quotes files: harmless, the lines kept."""
    return "\n".join(terminal.plain(each) for each in said.split("\n"))


def _described(problem: Problem, severity: str) -> dict[str, Any]:
    return {
        "severity": severity,
        "file": problem.at.file,
        "line": problem.at.line,
        "column": problem.at.column,
        "message": problem.message,
        "hint": problem.hint,
    }
