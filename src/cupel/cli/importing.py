"""`cupel import`: configurations of other systems as one of Cupel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cupel.cli import output, terminal
from cupel.cli.exits import Exit
from cupel.errors import NotFound, UserError

if TYPE_CHECKING:
    from cupel.cli.worktree import Worktree
    from cupel.config.workflow.note import Note


@click.group("import")
def importing() -> None:
    """Turn the configuration of another system into a .cupel.yaml."""


@importing.command()
@click.argument(
    "directory", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path()
)
@click.option("--machine", metavar="LABEL", help="The label of each job's machine; debian-12-net.")
@click.option("--print", "only_print", is_flag=True, help="Print it, and write no file.")
@output.json_option
@click.pass_context
def github(
    ctx: click.Context, directory: Path, machine: str | None, only_print: bool, as_json: bool
) -> None:
    """Import the workflows of GitHub Actions.

    Turns what runs on Linux for changes in .github/workflows of the working tree at DIRECTORY into
    a .cupel.yaml; Forgejo's and Gitea's are read as well. Names each thing that could not be
    carried over by place and code, with what to do about it, and exits with 1 if there is one. A
    configuration that is there is never overwritten.
    """
    from cupel.cli import worktree
    from cupel.config import project
    from cupel.config.job import MAIN_FILE
    from cupel.config.workflow import convert

    tree = worktree.read(directory)
    if not only_print and (there := [name for name in tree.listing if project.is_file(name)]):
        hint = "--print shows what would be written"
        raise UserError(f"{tree.root / there[0]} is there already", hint=hint)
    imported = convert.convert(_workflows(tree), machine or convert.MACHINE)
    good = bool(imported.config.jobs)
    if good and not only_print:
        _write(tree.root, imported.files)
    if as_json:
        files = dict(imported.files) if good else {}
        output.document({"files": files, "notes": [_described(each) for each in imported.notes]})
    elif good and only_print:
        click.echo(imported.files[MAIN_FILE], nl=False)
    if not as_json:
        _tell(imported.notes, [tree.root / name for name in imported.files] if good else [],
              written=not only_print)  # fmt: skip
    if not good:
        raise UserError("nothing was imported: no job runs on Linux for changes")
    ctx.exit(Exit.NEGATIVE if imported.notes else Exit.OK)


def _workflows(tree: Worktree) -> Mapping[str, str]:
    """The texts of the workflows, of the first directory that has some."""
    from cupel.cli import worktree
    from cupel.config.workflow import convert

    found = [name for name in tree.listing if convert.FILES.fullmatch(name)]
    for directory in (".github/", ".forgejo/", ".gitea/"):
        names = [name for name in found if name.startswith(directory)]
        if names:
            return {name: worktree.text(tree.root / name) for name in names}
    raise NotFound(
        f"{tree.root} has no .github/workflows", hint="`cupel init` looks at build tools instead"
    )


def _write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        target = root / name
        try:
            target.parent.mkdir(exist_ok=True)
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise UserError(f"{target} is there already") from None
        except OSError as error:
            raise UserError(f"{target} cannot be written: {error.strerror}") from None


def _tell(notes: tuple[Note, ...], written_to: list[Path], *, written: bool) -> None:
    """What was not carried over, and what was written; beside a printed file on stderr."""
    for note in notes:
        for line in str(note).split("\n"):
            click.echo(terminal.plain(line), err=not written)
    count = len(notes)
    if written:
        for target in written_to:
            click.echo(f"wrote {target}")
        things = "thing was" if count == 1 else "things were"
        click.echo(f"{count} {things} not carried over" if count else "all was carried over")


def _described(note: Note) -> dict[str, Any]:
    return {
        "file": note.at.file,
        "line": note.at.line,
        "column": note.at.column,
        "code": str(note.code),
        "message": note.message,
        "hint": note.hint,
    }
