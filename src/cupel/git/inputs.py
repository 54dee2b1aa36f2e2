"""What a job depends on in a state, as a digest: the same digest, the same verdict to expect.

A digest is a SHA-256 over length-delimited texts: the format's version, the job as frozen, the
entries of the commit's tree that the job's `inputs` match, and the trees of the projects beside.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from cupel.core.cache import JobCache
from cupel.core.job import Boot, Job, Link, Service, Step
from cupel.core.job import Part as JobPart
from cupel.errors import Bug
from cupel.git import commits, run
from cupel.git.commits import Env
from cupel.git.repository import oid

FORMAT = "cupel inputs 1"
"""Changed whenever the same things get another digest, so that an old one is not mistaken."""

KEPT = 512
"""Digests of what patterns match in a tree that are remembered."""

IRRELEVANT = frozenset({"base", "voting", "evidence", "semaphores", "hold"})
"""What of a frozen job cannot change its verdict; `base` is in its name."""

Patterns = tuple[str, ...]
Part = (
    str
    | bytes
    | float
    | Step
    | Boot
    | JobPart
    | Service
    | Link
    | JobCache
    | None
    | tuple["Part", ...]
)

_SUBMODULE = "160000"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A file, link or submodule of a tree: `mode` as git prints it, `path` from the root."""

    mode: str
    object_id: str
    path: bytes


async def keys(
    repo: Path,
    commit: str,
    jobs: Sequence[Job],
    *,
    beside: Sequence[tuple[str, Path, str]] = (),
    env: Env = None,
) -> tuple[tuple[str, str], ...]:
    """For each job its name and, in hex, the digest of what it depends on in this state.

    `beside` are the projects that jobs may ask for: name, repository and commit. Raises `Bug` for
    a job that asks for one which is not there.
    """
    tree = await commits.tree_of(repo, commit, env=env)
    asked = {name for job in jobs for name in job.projects}
    trees = {
        name: await commits.tree_of(path, at, env=env) for name, path, at in beside if name in asked
    }
    matched = await _matched(repo, tree, {job.inputs for job in jobs}, env)
    return tuple((job.name, key(job, matched[job.inputs], trees)) for job in jobs)


async def with_contents(
    repo: Path, commit: str, jobs: Sequence[Job], *, env: Env = None
) -> tuple[Job, ...]:
    """The jobs, whose caches know what the files are that they go by."""
    wanted = {cache.files for job in jobs for cache in job.caches if cache.files}
    if not wanted:
        return tuple(jobs)
    matched = await _matched(repo, await commits.tree_of(repo, commit, env=env), wanted, env)
    return tuple(
        dataclasses.replace(
            job,
            caches=tuple(
                dataclasses.replace(cache, contents=matched.get(cache.files, ""))
                for cache in job.caches
            ),
        )
        for job in jobs
    )


def key(job: Job, matched: str, trees: Mapping[str, str]) -> str:
    """The digest for a job, of what its inputs match and of the trees of projects by name."""
    missing = [name for name in job.projects if name not in trees]
    if missing:
        raise Bug(f"job {job.name!r} asks for {', '.join(missing)}, not in its state")
    beside = tuple((name, trees[name]) for name in sorted(job.projects))
    return digest((FORMAT, definition(job), matched, beside))


def definition(job: Job) -> Part:
    """All of a frozen job that its verdict can depend on."""
    names = (field.name for field in dataclasses.fields(job) if field.name not in IRRELEVANT)
    return tuple((name, getattr(job, name)) for name in names)


def match(entries: Iterable[Entry], patterns: Patterns) -> Iterator[Entry]:
    """The entries that the patterns match, as in .gitignore; of a directory, all below it."""
    import pathspec

    spec = pathspec.GitIgnoreSpec.from_lines(patterns)
    for entry in entries:
        name = entry.path.decode(errors="surrogateescape")
        if spec.match_file(name) or (entry.mode == _SUBMODULE and spec.match_file(f"{name}/")):
            yield entry


def digest(part: Part) -> str:
    """In hex; parts that differ, in whatever way they are nested, have different digests."""
    state = hashlib.sha256()
    for piece in _encoded(part):
        state.update(piece)
    return state.hexdigest()


def _encoded(part: Part) -> Iterator[bytes]:
    match part:
        case str():
            text = part.encode(errors="surrogatepass")
            yield b"t%d:%b" % (len(text), text)
        case bytes():
            yield b"b%d:%b" % (len(part), part)
        case Step() | Boot() | JobPart() | Service() | Link() | JobCache():
            yield from _encoded(
                tuple(getattr(part, field.name) for field in dataclasses.fields(part))
            )
        case None:
            yield b"x"
        case tuple():
            yield b"l%d:" % len(part)
            for each in part:
                yield from _encoded(each)
        case _:
            yield b"n%b:" % repr(float(part)).encode()


_remembered: collections.OrderedDict[tuple[str, Patterns], str] = collections.OrderedDict()
"""By tree and patterns, the one that was used last at the end. Trees are named by content, so it
is good for all repositories."""


async def _matched(
    repo: Path, tree: str, wanted: Collection[Patterns], env: Env
) -> dict[Patterns, str]:
    """A name for what each of the patterns match; without any, the tree is the name of it all."""
    found = {patterns: _recall(tree, patterns) for patterns in wanted}
    missing = [patterns for patterns, name in found.items() if name is None]
    if missing:
        listing = await run.git(repo, "ls-tree", "-r", "-z", "--full-tree", oid(tree), env=env)
        # Off the loop: with many files and patterns this takes its time.
        for patterns, name in await asyncio.to_thread(_digests, listing.out, missing):
            found[patterns] = name
            _remember(tree, patterns, name)
    return {patterns: name for patterns, name in found.items() if name is not None}


def _recall(tree: str, patterns: Patterns) -> str | None:
    if not patterns:
        return tree
    name = _remembered.get((tree, patterns))
    if name is not None:
        _remembered.move_to_end((tree, patterns))
    return name


def _remember(tree: str, patterns: Patterns, name: str) -> None:
    _remembered[tree, patterns] = name
    while len(_remembered) > KEPT:
        _remembered.popitem(last=False)


def _digests(listing: bytes, wanted: Collection[Patterns]) -> list[tuple[Patterns, str]]:
    entries = parse(listing)
    return [
        (patterns, digest(tuple((e.mode, e.object_id, e.path) for e in match(entries, patterns))))
        for patterns in wanted
    ]


def parse(listing: bytes) -> list[Entry]:
    """Read what `git ls-tree -r -z` prints: mode, kind and id, a tab, the path."""
    entries = []
    for line in listing.split(b"\0")[:-1]:
        about, _, path = line.partition(b"\t")
        mode, _, object_id = about.decode().split(" ")
        entries.append(Entry(mode, object_id, path))
    return entries
