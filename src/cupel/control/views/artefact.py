"""What builds left: all of it, a directory of it, or one file."""

from __future__ import annotations

from collections.abc import Sequence

from cupel.control.views.nouns.artefact import DirectoryView, SubdirectoryView
from cupel.control.views.nouns.build import ArtefactView
from cupel.core.model import Artefact
from cupel.errors import NotFound
from cupel.store.interface import Transaction


async def artefact_list(tx: Transaction, build: int) -> list[ArtefactView]:
    """What a build left, by path."""
    rows = await tx.select(Artefact, {"build_id": build}, order="path")
    return [_view(row) for row in rows]


async def artefact_view(tx: Transaction, build: int, path: str) -> ArtefactView:
    """One file that a build left. Raises `NotFound`."""
    where = {"build_id": build, "path": path}
    rows = await tx.select(Artefact, where) if "\0" not in path else []
    if not rows:
        raise NotFound(
            f"build {build} left no file {path[:500]!r}",
            hint=f"`cupel build show {build}` lists what it left",
        )
    return _view(rows[0])


def directory(left: Sequence[ArtefactView], path: str) -> DirectoryView:
    """What is in a directory of all that a build left."""
    before = f"{path}/" if path else ""
    within = [file for file in left if file.path.startswith(before)]
    below: dict[str, list[ArtefactView]] = {}
    files = []
    for file in within:
        name, slash, _ = file.path.removeprefix(before).partition("/")
        if slash:
            below.setdefault(name, []).append(file)
        else:
            files.append(file)
    parts = path.split("/") if path else []
    return DirectoryView(
        path=path,
        parents=["/".join(parts[:depth]) for depth in range(1, len(parts))],
        directories=[
            SubdirectoryView(
                name=name,
                path=before + name,
                files=len(found),
                size=sum(file.size for file in found),
            )
            for name, found in sorted(below.items())
        ],
        files=files,
        size=sum(file.size for file in within),
    )


def _view(row: Artefact) -> ArtefactView:
    return ArtefactView(
        id=row.id, path=row.path, size=row.size, sha256=row.sha256, created_at=row.created_at
    )
