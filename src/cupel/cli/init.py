"""`cupel init`: a configuration to start from."""

from __future__ import annotations

from pathlib import Path

import click

from cupel.errors import UserError

START = """\
jobs:
  tests:
    machine: debian-12
    steps:
      - echo "write here what proves your project"
check: [tests]
gate: [tests]
"""

HEADER = "# What proves a change: the jobs, and which of them run when. `cupel lint` checks it.\n"


@click.command()
@click.argument(
    "path", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path()
)
def init(path: Path) -> None:
    """Write a .cupel.yaml to start from.

    It says what Cupel would do without one for the working tree at PATH.
    A configuration that is there is never overwritten.
    """
    from cupel.cli import worktree
    from cupel.config import project, render

    tree = worktree.read(path)
    if there := [name for name in tree.listing if project.is_file(name)]:
        raise UserError(f"{tree.root / there[0]} is there already", hint="`cupel lint` checks it")
    loaded = tree.load()
    found = bool(loaded.config.jobs)
    target = tree.root / ".cupel.yaml"
    try:
        with target.open("x") as file:
            file.write(HEADER + (render.render_yaml(loaded.config) if found else START))
    except FileExistsError:
        raise UserError(f"{target} is there already", hint="`cupel lint` checks it") from None
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror}") from None
    if found:
        click.echo(f"wrote {target}, which runs {', '.join(loaded.config.jobs)}")
        click.echo("  commit it, and propose it: git push cupel HEAD:refs/for/main")
    else:
        click.echo(f"wrote {target}, an example, since nothing was recognised")
        click.echo("  write what proves the project, and check it with `cupel lint`")
