"""What differs between two patch sets of a change, as its author made it."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cupel import logger
from cupel.control.views.notes import NONE
from cupel.control.views.nouns.diff import DiffView, FileDiffView, HunkView, LineView
from cupel.control.views.nouns.notes import NotesView
from cupel.core.model import Change, PatchSet, Project
from cupel.errors import InfraError, NotFound, UserError
from cupel.git import commits, compare, diff, merge, repository
from cupel.git.compare import Amount, File
from cupel.git.repository import oid
from cupel.store.interface import Transaction

log = logger.Logger(__name__)

SHOWN = 300
"""Files whose lines are shown at once; of others the counts are."""

ALONE = 20_000
"""Lines of a file that is asked for alone."""

KEPT = 32
"""Comparisons that are remembered, without their lines: these are cheap to make again."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Two patch sets to compare; `start` None: the later with what it is made on."""

    project: str
    start: PatchSet | None
    end: PatchSet
    newest: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Trees:
    old: str
    new: str
    replayed: bool = False
    conflicts: tuple[str, ...] = ()


_Key = tuple[Path, str, str, str, str]

_remembered: collections.OrderedDict[_Key, tuple[_Trees, list[File]]] = collections.OrderedDict()
"""By repository, and by commits and their parents."""


def patch_set_or_base(text: str) -> int | None:
    """The number that `text` is; None for `base`, which is what a patch set is made on."""
    if text == "base":
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise UserError(
            f"from={text[:40]} is no patch set", hint="`from` is the number of one, or `base`"
        )
    return int(text)


async def diff_sides(
    tx: Transaction, id: int, *, start: int | None = None, end: int | None = None
) -> Sides:
    """The patch sets of a change to compare; `end` is by default the newest.

    Raises NotFound where there is no such change or patch set, UserError for an order that makes
    no sense.
    """
    change = await tx.get(Change, id)
    if change is None:
        raise NotFound(f"there is no change {id}", hint="`cupel change list` has them all")
    project = await tx.get(Project, change.project_id)
    assert project is not None
    found = {row.number: row for row in await tx.select(PatchSet, {"change_id": id})}
    last = change.patch_set if end is None else end
    for number in (last, start):
        if number is not None and number not in found:
            raise NotFound(
                f"change {id} has no patch set {number}", hint=f"it has 1 to {max(found)}"
            )
    if start is not None and start >= last:
        raise UserError(
            f"patch set {start} is not before patch set {last}",
            hint="`from` is the earlier one, or `base` for what the later one is made on",
        )
    return Sides(
        project=project.name,
        start=None if start is None else found[start],
        end=found[last],
        newest=change.patch_set,
    )


async def diff_view(
    repositories: Path,
    sides: Sides,
    *,
    path: str | None = None,
    amount: Amount | None = None,
    notes: NotesView | None = None,
) -> DiffView:
    """What differs between two patch sets; of `path` alone, at greater length, if that is given.

    `notes` are those of builds of the later one; they are put to lines that are theirs.
    """
    repo = repositories / f"{sides.project}.git"
    amount = amount or Amount()
    trees, listed = await _compared(repo, sides)
    wanted = listed[:SHOWN]
    if path is not None:
        wanted = [file for file in listed if file.path == path]
        if not wanted:
            raise NotFound(f"{path[:200]} does not differ between these patch sets")
        amount = dataclasses.replace(amount, of_file=ALONE, of_all=ALONE)
    if notes is not None:
        notes = await _as_there(repo, notes, sides.end.commit)
    told = await compare.lines(repo, trees.old, trees.new, wanted, amount)
    rest = () if path is not None else listed[SHOWN:]
    views = await asyncio.to_thread(_files, [*told, *rest], notes)
    return DiffView(
        change=sides.end.change_id,
        start=None if sides.start is None else sides.start.number,
        end=sides.end.number,
        old=trees.old,
        new=trees.new,
        replayed=trees.replayed,
        conflicts=list(trees.conflicts),
        files=views,
        added=sum(file.added or 0 for file in listed),
        removed=sum(file.removed or 0 for file in listed),
    )


async def _compared(repo: Path, sides: Sides) -> tuple[_Trees, list[File]]:
    start = sides.start
    key = (
        repo,
        "" if start is None else start.commit,
        "" if start is None else start.parent or "",
        sides.end.commit,
        sides.end.parent or "",
    )
    if key in _remembered and not await _is_kept(repo, _remembered[key][0]):
        _remembered.pop(key, None)
    if key not in _remembered:
        await _there(repo, sides)
        trees = await _trees(repo, sides)
        _remembered[key] = (trees, await compare.files(repo, trees.old, trees.new))
        while len(_remembered) > KEPT:
            _remembered.popitem(last=False)
    found = _remembered[key]
    _remembered.move_to_end(key)
    return found


async def _is_kept(repo: Path, trees: _Trees) -> bool:
    """Whether git has what is compared: nothing refers to what was replayed, so it goes one day."""
    if not repo.is_dir():
        return False
    return not trees.replayed or await commits.kind_of(repo, trees.old) is not None


async def _there(repo: Path, sides: Sides) -> None:
    if not repo.is_dir() or await repository.resolve(repo, oid(sides.end.commit)) is None:
        raise InfraError(
            f"the repository of {sides.project} has no commit {sides.end.commit[:12]}",
            hint="it was restored from elsewhere, or removed by hand: push the change again",
        )


async def _trees(repo: Path, sides: Sides) -> _Trees:
    """What to compare so that it is what the author did.

    Of two patch sets that are made on different commits the plain difference has what others did
    in between. `git range-diff` has not, but shows a difference of differences, in which no line
    has a number. So the earlier is put on what the later is made on, as by a rebase of which nobody
    mends anything: what differs then is what the author did, the conflicts that were resolved
    included, as in `git show --remerge-diff`.
    """
    start, end = sides.start, sides.end
    if start is None:
        return _Trees(old=end.parent or diff.EMPTY_TREE, new=end.commit)
    if start.parent == end.parent or end.parent is None:
        return _Trees(old=start.commit, new=end.commit)
    made = await merge.replay(repo, start.commit, start.parent, end.parent)
    return _Trees(old=made.tree, new=end.commit, replayed=True, conflicts=made.conflicts)


async def _as_there(repo: Path, notes: NotesView, commit: str) -> NotesView:
    """Those of files that are in the state of the builds as they are in the patch set: in others
    what has landed in between has moved the lines."""
    if notes.commit is None:
        return notes
    try:
        others = await compare.differing(repo, notes.commit, commit)
    except InfraError as error:
        log.warning("a state can't be compared", commit=notes.commit, error=str(error))
        return NONE
    same = [note for note in notes.annotations if note.path and note.path not in others]
    files = [file for file in notes.files if file.path not in others]
    return notes.model_copy(update={"annotations": same, "files": files})


def _files(files: Sequence[File], notes: NotesView | None) -> list[FileDiffView]:
    return [_file(file, notes) for file in files]


def _file(file: File, notes: NotesView | None) -> FileDiffView:
    said = [] if notes is None else [n for n in notes.annotations if n.path == file.path and n.line]
    missed = [] if notes is None else [n.spans for n in notes.files if n.path == file.path]
    old, new = file.modes
    differ = old != new and "000000" not in (old, new)
    return FileDiffView(
        path=file.path,
        before=file.before,
        status=file.status,
        modes=(old, new) if differ else None,
        added=file.added,
        removed=file.removed,
        hunks=[
            HunkView(
                old=hunk.old,
                new=hunk.new,
                heading=hunk.heading,
                lines=[
                    LineView(
                        side=line.side,
                        old=line.old,
                        new=line.new,
                        text=line.text,
                        longer=line.longer,
                        ends=line.ends,
                    )
                    for line in hunk.lines
                ],
            )
            for hunk in file.hunks
        ],
        goes_on=file.goes_on,
        annotations=said,
        missed=[span for spans in missed for span in spans],
    )
