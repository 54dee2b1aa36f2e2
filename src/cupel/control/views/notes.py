"""What builds said of lines of the source, put beside the lines that their change adds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from cupel import logger
from cupel.control.views.nouns.notes import AnnotationView, FileCoverageView, NotesView
from cupel.core import coverage, results
from cupel.core.coverage import FileCoverage, Lines
from cupel.core.model import Build, Buildset, BuildState, Change, Item, Project
from cupel.core.results import Level
from cupel.errors import InfraError, NotFound
from cupel.git import commits, diff
from cupel.report.results.notes import Notes
from cupel.report.results.store import ResultStore
from cupel.store.interface import Transaction

log = logger.Logger(__name__)

MOST_FILES = 50
"""Files whose lines are shown beside what is said of them."""

LONGEST_LINE = 300
"""Characters of a line that are shown."""

NONE = NotesView(commit=None, annotations=[], files=[], covered=0, missed=0, has_coverage=False)

_ORDER = {Level.ERROR: 0, Level.WARNING: 1, Level.NOTICE: 2}


async def build_notes(
    tx: Transaction, store: ResultStore, repositories: Path, id: int
) -> NotesView:
    """Those of a build, or of the one whose pass it reused. Raises `NotFound`."""
    build = await tx.get(Build, id)
    if build is None:
        raise NotFound(f"there is no build {id}")
    buildset = await tx.get(Buildset, build.buildset_id)
    return await _view(tx, store, repositories, build.project_id, buildset, [build])


async def change_notes(
    tx: Transaction,
    store: ResultStore,
    repositories: Path,
    number: int,
    patch_set: int | None = None,
) -> NotesView:
    """Those of a change: of all builds of the newest state of a patch set that ran.

    It is by default the newest patch set. Raises `NotFound`.
    """
    change = await tx.get(Change, number)
    if change is None:
        raise NotFound(f"there is no change {number}")
    where = {"change_id": number, "patch_set": patch_set or change.patch_set}
    for item in await tx.select(Item, where, descending=True):
        buildset = await tx.get(Buildset, item.buildset_id) if item.buildset_id else None
        if buildset is None:
            continue
        builds = await tx.select(Build, {"buildset_id": buildset.id})
        ended = [build for build in builds if build.state is BuildState.FINISHED]
        if ended:
            return await _view(tx, store, repositories, change.project_id, buildset, ended)
    return NONE


async def _view(
    tx: Transaction,
    store: ResultStore,
    repositories: Path,
    project_id: int,
    buildset: Buildset | None,
    builds: Sequence[Build],
) -> NotesView:
    found = await asyncio.to_thread(_read, store, builds)
    if not any(notes.annotations or notes.coverage for _, notes in found):
        return NONE
    project = await tx.get(Project, project_id)
    assert project is not None
    added = await _added(repositories / f"{project.name}.git", buildset)
    merged = _merged(notes.coverage.items() for _, notes in found)
    files = [
        FileCoverageView(
            path=each.path, covered=each.covered, missed=each.missed, spans=list(each.spans)
        )
        for each in coverage.of_added(merged, added)
    ]
    annotations = _annotations(found, added)
    commit = None if buildset is None else buildset.commit
    return NotesView(
        commit=commit,
        annotations=await _with_source(repositories / f"{project.name}.git", commit, annotations),
        files=files,
        covered=sum(file.covered for file in files),
        missed=sum(file.missed for file in files),
        has_coverage=bool(merged),
    )


async def _with_source(
    repo: Path, commit: str | None, annotations: Sequence[AnnotationView]
) -> list[AnnotationView]:
    """Those of lines that the change adds, with these lines."""
    files: dict[str, list[str]] = {}
    shown = []
    for each in annotations:
        if commit is not None and each.touched and each.path and each.line:
            if each.path not in files and len(files) < MOST_FILES:
                files[each.path] = await _lines(repo, commit, each.path)
            lines = files.get(each.path, [])
            if each.line <= len(lines):
                source = results.printable(lines[each.line - 1][:LONGEST_LINE]).rstrip()
                each = each.model_copy(update={"source": source})  # noqa: PLW2901
        shown.append(each)
    return shown


async def _lines(repo: Path, commit: str, path: str) -> list[str]:
    try:
        data = await commits.read_file(repo, commit, path)
    except InfraError as error:
        log.warning("a file can't be read", path=path, error=str(error))
        return []
    return [] if data is None else data.decode(errors="replace").split("\n")


def _read(store: ResultStore, builds: Sequence[Build]) -> list[tuple[Build, Notes]]:
    found = []
    for build in builds:
        try:
            found.append((build, store.notes(build.reused_from or build.id)))
        except InfraError as error:
            log.warning("notes can't be read", build=build.id, error=str(error))
    return found


async def _added(repo: Path, buildset: Buildset | None) -> Lines:
    """What the state adds to the one that it is made on; nothing where that can't be told."""
    if buildset is None or buildset.commit is None:
        return {}
    try:
        return await diff.added(repo, buildset.onto, buildset.commit)
    except InfraError as error:
        log.warning("a change can't be compared", buildset=buildset.id, error=str(error))
        return {}


def _merged(found: Iterable[Iterable[tuple[str, FileCoverage]]]) -> dict[str, FileCoverage]:
    """Coverage of several builds: a line was run if it was in any of them."""
    merged: dict[str, FileCoverage] = {}
    for files in found:
        for path, file in files:
            before = merged.get(path)
            merged[path] = file if before is None else _either(before, file)
    return merged


def _either(one: FileCoverage, other: FileCoverage) -> FileCoverage:
    run = {
        line for first, last in (*one.covered, *other.covered) for line in range(first, last + 1)
    }
    missed = {
        line for first, last in (*one.missed, *other.missed) for line in range(first, last + 1)
    }
    return FileCoverage(covered=coverage.spans(run), missed=coverage.spans(missed - run))


def _annotations(found: Iterable[tuple[Build, Notes]], added: Lines) -> list[AnnotationView]:
    """All of them, each once: first those of lines that the change adds, errors before others."""
    views: dict[tuple[object, ...], AnnotationView] = {}
    for build, notes in found:
        for each in notes.annotations:
            key = (each.path, each.line, each.column, each.level, each.title, each.message)
            views.setdefault(
                key,
                AnnotationView(
                    path=each.path,
                    line=each.line,
                    end_line=each.end_line,
                    column=each.column,
                    level=each.level,
                    title=each.title,
                    message=each.message,
                    tool=each.tool,
                    source=None,
                    touched=coverage.touches(added, each.path, each.line, each.end_line),
                    build=build.id,
                    job=build.job,
                ),
            )
    return sorted(views.values(), key=_rank)


def _rank(view: AnnotationView) -> tuple[bool, int, str, int]:
    return (not view.touched, _ORDER[view.level], view.path or "", view.line or 0)
