"""Makes speculative states: merges without a work tree, the same result for the same inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cupel.errors import InfraError
from cupel.git import commits, run
from cupel.git.repository import oid
from cupel.process import Result


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A state that can be proved: a commit and its tree."""

    commit: str
    tree: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Conflicted:
    """The commits do not go together; `messages` are git's."""

    paths: tuple[str, ...]
    messages: tuple[str, ...]


def message(number: int, title: str, trailers: Sequence[tuple[str, str]] = ()) -> str:
    """The message of the commit that merges a change."""
    lines = [f"Merge change {number}: {' '.join(title.split())}"]
    if trailers:
        lines += ["", *(f"{name}: {' '.join(value.split())}" for name, value in trailers)]
    return "\n".join((*lines, ""))


async def merge(
    repo: Path, onto: str | None, commit: str, *, message: str, when: float
) -> Merged | Conflicted:
    """The state that `commit` makes on top of `onto`.

    Where one contains the other no merge is made: the state is the one that contains. The same
    inputs, `message` and `when` (seconds since the epoch) included, give the same commit, so that
    a repeated merge is harmless. Nothing but objects is written; keep the commit by a ref.
    """
    if onto is None:
        return await _as_is(repo, commit)
    base = await _base(repo, onto, commit)
    if base is None:
        return Conflicted(paths=(), messages=("the commits have no history in common",))
    if base in (onto, commit):
        return await _as_is(repo, commit if base == onto else onto)
    tree = await _merge_trees(repo, onto, commit)
    if isinstance(tree, Conflicted):
        return tree
    made = await _commit(repo, tree, (onto, commit), message, int(when))
    return Merged(commit=made, tree=tree)


async def _as_is(repo: Path, commit: str) -> Merged:
    return Merged(commit=commit, tree=await commits.tree_of(repo, commit))


async def _base(repo: Path, onto: str, commit: str) -> str | None:
    """A best common ancestor. If one commit contains the other there is only one: the contained."""
    result = await run.git(repo, "merge-base", oid(onto), oid(commit), check=False)
    if result.exit_status > 1:
        raise _failed(repo, result)
    return result.out.decode().strip() or None


async def _merge_trees(repo: Path, onto: str, commit: str) -> str | Conflicted:
    result = await run.git(
        repo,
        "merge-tree",
        "--write-tree",
        "--messages",
        "--name-only",
        "-z",
        oid(onto),
        oid(commit),
        check=False,
    )
    if result.exit_status == 0:
        return result.out.split(b"\0", 1)[0].decode()
    if result.exit_status == 1:
        return parse_conflict(result.out)
    raise _failed(repo, result)


def parse_conflict(out: bytes) -> Conflicted:
    """Read what `git merge-tree --name-only --messages -z` says of a conflict.

    The tree; the conflicted paths up to an empty field; then for each message the number of its
    paths, the paths, its kind and its text (git-scm.com/docs/git-merge-tree).
    """
    fields = iter(out.decode(errors="replace").split("\0")[1:-1])
    paths = set(iter(lambda: next(fields, ""), ""))
    messages = []
    for count in fields:
        concerned = [next(fields) for _ in range(int(count))]
        kind, text = next(fields), next(fields)
        if kind.startswith("CONFLICT"):
            paths.update(concerned)
            messages.append(text.strip())
    return Conflicted(paths=tuple(sorted(paths)), messages=tuple(messages))


async def _commit(repo: Path, tree: str, parents: tuple[str, ...], message: str, when: int) -> str:
    date = f"@{when} +0000"  # without the @, git takes small numbers for something else
    result = await run.git(
        repo,
        "commit-tree",
        tree,
        *(word for parent in parents for word in ("-p", oid(parent))),
        "-F",
        "-",
        stdin=message.replace("\0", "").encode(errors="replace"),
        env={"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date},
    )
    return result.out.decode().strip()


def _failed(repo: Path, result: Result) -> InfraError:
    return InfraError(
        f"git cannot merge in {repo.name}: exit status {result.exit_status}",
        hint=result.err.decode(errors="replace").strip() or None,
    )
