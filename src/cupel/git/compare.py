"""What differs between two states of a project's files: each file, and the lines."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from cupel.errors import UserError
from cupel.git import run
from cupel.git.repository import oid

SECONDS = 20.0
"""How long git may take for a comparison."""

LISTED = 8 << 20
"""Bytes of the names of files that differ; more than that is refused."""

READ = 8 << 20
"""Bytes of differing lines that are read; what is beyond is left out."""

LONGEST = 2_000
"""Characters of a line that are kept."""

_SIMILAR = 400
"""Files that are compared to find those which were renamed: the work is its square."""

_HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@ ?(.*)")


_IDS = re.compile(rb"index ([0-9a-f]+)\.\.([0-9a-f]+)")


class Status(enum.StrEnum):
    """What became of a file."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    RENAMED = "renamed"
    RETYPED = "retyped"
    """It is another kind of thing now, such as a link where there was a file."""


_STATUS = {
    "A": Status.ADDED,
    "D": Status.REMOVED,
    "M": Status.CHANGED,
    "R": Status.RENAMED,
    "T": Status.RETYPED,
}


class Side(enum.StrEnum):
    """Where a line stands: before, after, or in both."""

    BOTH = "both"
    OLD = "old"
    NEW = "new"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line and its numbers in the file before and after. `ends`: nothing ends its file's last
    line. `longer` is by how many characters it goes on."""

    side: Side
    old: int | None
    new: int | None
    text: str
    longer: int = 0
    ends: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    """Lines that stand together; `heading` is what git takes for the name of where they are."""

    old: int
    new: int
    heading: str
    lines: tuple[Line, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that differs. `before` is its path before, if that was another.

    `added` and `removed` count all of its lines that differ, None for one that is not text;
    `hunks` may be fewer: then it `goes_on`. `modes` are its kind and permissions before and after,
    `blobs` the ids of its contents.
    """

    path: str
    before: str | None
    status: Status
    modes: tuple[str, str]
    blobs: tuple[str, str]
    added: int | None
    removed: int | None
    hunks: tuple[Hunk, ...] = ()
    goes_on: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How much is wanted: lines around what differs, and at most so many lines of a file and all.

    With `spaces` lines that differ in white space alone count as different.
    """

    context: int = 3
    of_file: int = 600
    of_all: int = 3_000
    spaces: bool = True


async def files(repo: Path, old: str, new: str) -> list[File]:
    """The files in which two trees or commits differ, by path and without lines."""
    listed = await run.part(
        repo,
        *("diff-tree", "-r", "-z", "--raw", "--numstat", "--no-abbrev", *_FLAGS),
        *(oid(old), oid(new), "--"),
        limit=LISTED,
        timeout=SECONDS,
    )
    if not listed.whole:
        raise UserError(
            "more files differ than can be shown", hint=f"git diff --stat {old[:12]} {new[:12]}"
        )
    return _listed(listed.out)


async def lines(
    repo: Path, old: str, new: str, wanted: Sequence[File], amount: Amount
) -> list[File]:
    """These files, which `files` gave, with their lines as far as `amount` goes."""
    if not wanted or amount.of_all <= 0:
        return [dataclasses.replace(file, goes_on=bool(_size(file))) for file in wanted]
    paths = [path for file in wanted for path in (file.before, file.path) if path is not None]
    spaces = () if amount.spaces else ("--ignore-all-space",)
    found = await run.part(
        repo,
        *("--literal-pathspecs", "diff-tree", "-r", "-p", f"--unified={amount.context}"),
        *("--full-index", *_FLAGS),
        *(*spaces, oid(old), oid(new), "--", *paths),
        limit=READ,
        timeout=SECONDS,
    )
    return await asyncio.to_thread(parse, found.out, wanted, amount, complete=found.whole)


async def differing(repo: Path, old: str, new: str) -> frozenset[str]:
    """The paths of files that two trees or commits don't have alike, of either."""
    flags = ("-r", "-z", "--name-only", "--no-renames")
    found = await run.git(repo, "diff-tree", *flags, oid(old), oid(new), "--", timeout=SECONDS)
    return frozenset(found.out.decode(errors="replace").split("\0")[:-1])


_FLAGS = (
    *("--no-color", "--no-ext-diff", "--no-textconv", "--submodule=short", "--find-renames"),
    *(f"-l{_SIMILAR}", "--diff-algorithm=histogram"),
)


def _listed(out: bytes) -> list[File]:
    """Read `--raw --numstat -z`: all of the one, then all of the other, in the same order."""
    fields = iter(out.decode(errors="replace").split("\0")[:-1])
    found: list[File] = []
    field = next(fields, "")
    while field.startswith(":"):
        old_mode, new_mode, old_blob, new_blob, letter = field[1:].split(" ")
        path, before = next(fields), None
        if letter[0] in "RC":
            before, path = path, next(fields)
        found.append(
            File(
                path=path,
                before=before,
                status=_STATUS.get(letter[0], Status.CHANGED),
                modes=(old_mode, new_mode),
                blobs=(old_blob, new_blob),
                added=None,
                removed=None,
            )
        )
        field = next(fields, "")
    for number, file in enumerate(found):
        added, removed, path = field.split("\t", 2)
        if not path:
            next(fields), next(fields)
        if added != "-":
            found[number] = dataclasses.replace(file, added=int(added), removed=int(removed))
        field = next(fields, "")
    return found


def parse(
    out: bytes, wanted: Sequence[File], amount: Amount, *, complete: bool = True
) -> list[File]:
    """Put the lines of a diff, as far as it was read, to the files that it is of, in their order.

    Which file a part is of is known by the ids of its contents: names may look like anything. A
    file of which nothing differs but white space has no part where that is left aside; so has one
    that comes after the end of what was read, if that is not `complete`.
    """
    found: list[File] = []
    parts = list(_parts(out))[::-1]
    room = amount.of_all
    for file in wanted:
        hunks: list[Hunk] = []
        limit = min(amount.of_file, room)
        whole = complete and not amount.spaces
        # git tells of what is another kind of thing now in two parts, one for each kind
        for _ in range(2 if file.status is Status.RETYPED else 1):
            if parts and _is_of(parts[-1], file):
                more, whole = _hunks(parts.pop(), limit - sum(len(h.lines) for h in hunks))
                hunks += more
        told = sum(line.side is not Side.BOTH for hunk in hunks for line in hunk.lines)
        goes_on = _size(file) > 0 and (not whole or (amount.spaces and told < _size(file)))
        found.append(dataclasses.replace(file, hunks=tuple(hunks), goes_on=goes_on))
        room -= sum(len(hunk.lines) for hunk in hunks)
    return found


def _is_of(part: Sequence[bytes], file: File) -> bool:
    """Whether a part is of the file; one of a new name or mode alone has no ids."""
    for line in part:
        if ids := _IDS.match(line):
            old, new = (each.decode() for each in ids.groups())
            if file.status is Status.RETYPED:
                return old == file.blobs[0] or new == file.blobs[1]
            return (old, new) == file.blobs
        if _HUNK.match(line):
            break
    return file.blobs[0] == file.blobs[1]


def _size(file: File) -> int:
    return (file.added or 0) + (file.removed or 0)


def _parts(out: bytes) -> Iterator[list[bytes]]:
    """The lines of each file's part. What is in a hunk may look like anything: it is counted."""
    part: list[bytes] | None = None
    old = new = 0
    for line in out.split(b"\n"):
        if old > 0 or new > 0:
            sign = line[:1]
            old -= sign in (b" ", b"-", b"")
            new -= sign in (b" ", b"+", b"")
        elif line.startswith(b"diff --git "):
            if part is not None:
                yield part
            part = []
        elif hunk := _HUNK.match(line):
            old, new = (1 if count is None else int(count) for count in hunk.group(2, 4))
        if part is not None:
            part.append(line)
    if part is not None:
        yield part


def _hunks(part: Sequence[bytes], limit: int) -> tuple[list[Hunk], bool]:
    """The hunks of a file's part, at most so many lines, and whether these are all."""
    found: list[Hunk] = []
    lines: list[Line] = []
    left_old = left_new = old = new = 0
    for raw in part:
        if raw.startswith(b"\\") and lines:
            lines[-1] = dataclasses.replace(lines[-1], ends=True)
        elif left_old > 0 or left_new > 0:
            if limit <= 0:
                return _closed(found, lines), False
            limit -= 1
            side = {b"-": Side.OLD, b"+": Side.NEW}.get(raw[:1], Side.BOTH)
            lines.append(_line(raw[1:], side, old, new))
            if side is not Side.NEW:
                left_old, old = left_old - 1, old + 1
            if side is not Side.OLD:
                left_new, new = left_new - 1, new + 1
        elif hunk := _HUNK.match(raw):
            found, lines = _closed(found, lines), []
            old, new = int(hunk[1]), int(hunk[3])
            left_old, left_new = (1 if n is None else int(n) for n in hunk.group(2, 4))
            heading = hunk[5].decode(errors="replace")[:LONGEST]
            found.append(Hunk(old=old, new=new, heading=heading, lines=()))
    return _closed(found, lines), left_old <= 0 and left_new <= 0


def _closed(found: list[Hunk], lines: list[Line]) -> list[Hunk]:
    if not found or not lines:
        return found
    return [*found[:-1], dataclasses.replace(found[-1], lines=tuple(lines))]


def _line(raw: bytes, side: Side, old: int, new: int) -> Line:
    text = raw.decode(errors="replace")
    return Line(
        side=side,
        old=None if side is Side.NEW else old,
        new=None if side is Side.OLD else new,
        text=text[:LONGEST],
        longer=max(0, len(text) - LONGEST),
    )
