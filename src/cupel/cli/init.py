"""`cupel init`: a configuration to start from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cupel.cli.session import Session, pass_session
from cupel.errors import CupelError, UserError

if TYPE_CHECKING:
    from cupel.cli.worktree import Worktree
    from cupel.config.detect import Detected
    from cupel.control.views import LabelView


@click.command()
@click.argument(
    "path", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path()
)
@pass_session
def init(session: Session, path: Path) -> None:
    """Write a .cupel.yaml to start from.

    It runs the tests of the working tree at PATH by the build tool that is found there, on a label
    of the server, if one is known and answers, and leaves results where Cupel shows them test by
    test. A configuration that is there is never overwritten.
    """
    from cupel.cli import worktree
    from cupel.config import detect, project, start

    tree = worktree.read(path)
    if there := [name for name in tree.listing if project.is_file(name)]:
        raise UserError(f"{tree.root / there[0]} is there already", hint="`cupel lint` checks it")
    url, offered = _server(session)
    detected = detect.detect(tree.files, tree.listing, offered or None)
    schema = f"{url}/schema/cupel.yaml.json" if url else None
    written = start.text(detected, schema=schema, label=_plain(offered))
    target = _write(tree, written)
    click.echo(f"wrote {target}")
    for line in _told(detected, url if offered else None):
        click.echo(f"  {line}")


def _server(session: Session) -> tuple[str | None, Mapping[str, LabelView]]:
    """Where the server is, if one is known, and its labels if it answers."""
    try:
        with session.client(timeout=2.0) as client:
            url = client.url
            try:
                return url, {label.label: label for label in client.labels()}
            except CupelError:
                return url, {}
    except CupelError:
        return None, {}


def _plain(offered: Mapping[str, LabelView]) -> str:
    """The label of an example: the usual one, else the first on which steps can run."""
    from cupel.config import detect

    names = sorted(name for name, label in offered.items() if not label.is_system)
    return detect.OFFLINE if detect.OFFLINE in names or not names else names[0]


def _write(tree: Worktree, text: str) -> Path:
    target = tree.root / ".cupel.yaml"
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{target} is there already", hint="`cupel lint` checks it") from None
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror}") from None
    return target


def _told(detected: Detected, url: str | None) -> list[str]:
    """What was chosen and why, and what to do next."""
    if detected.choice is None:
        return [
            "It is an example: nothing was recognised.",
            "Write what proves the project, and check it with `cupel lint`.",
        ]
    (job,) = detected.config.jobs.values()
    told = [f"It runs the job “{job.name}”, since {detected.choice.why}."]
    served = f"of {url}" if url else "that servers have if they are not told otherwise"
    network = "with a network" if detected.choice.network else "without a network"
    told.append(f"Its label {job.machine}, {network}, is one {served}.")
    if detected.others:
        others = "; ".join(f"{other.why}" for other in detected.others)
        told.append(f"There could be jobs for more: {others}.")
    told.append("Try it with `cupel run`, commit it, and propose it:")
    told.append("  git push cupel HEAD:refs/for/main")
    return told
