"""Makes speculative states without a work tree: the same result for the same inputs.

Nothing but objects is written; keep a state's commit by a ref.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

from cupel.core.model import MergeMethod
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
    """The commits do not go together; `messages` say why, git's own or ours."""

    paths: tuple[str, ...]
    messages: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A change's commit and how it is to become part of `branch`.

    `merged` is the message of the commit that merges it. `trailers` are added to its own message
    where it is squashed. `when` is the date of what is made, in seconds since the epoch.
    """

    commit: str
    branch: str
    method: MergeMethod
    merged: str
    trailers: tuple[tuple[str, str], ...]
    when: float


async def make(repo: Path, onto: str | None, proposal: Proposal) -> Merged | Conflicted:
    """The state that a change makes on top of `onto`: the same for the same arguments.

    Where `onto` is None it is the change's commit as it stands, and `onto` itself where that has
    all of the change already.
    """
    commit = proposal.commit
    if onto is None:
        return await as_is(repo, commit)
    match proposal.method:
        case MergeMethod.MERGE:
            return await merge(repo, onto, commit, message=proposal.merged, when=proposal.when)
        case MergeMethod.FAST_FORWARD:
            return await _fast_forward(repo, onto, commit, proposal.branch)
        case MergeMethod.REBASE | MergeMethod.SQUASH:
            return await _pick(repo, onto, proposal)
        case _:
            assert_never(proposal.method)


async def as_is(repo: Path, commit: str) -> Merged:
    """A commit as the state."""
    return Merged(commit=commit, tree=await commits.tree_of(repo, commit))


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
    a repeated merge is harmless.
    """
    if onto is None:
        return await as_is(repo, commit)
    base = await _base(repo, onto, commit)
    if base is None:
        return Conflicted(paths=(), messages=("the commits have no history in common",))
    if base in (onto, commit):
        return await as_is(repo, commit if base == onto else onto)
    tree = await _merge_trees(repo, onto, commit)
    if isinstance(tree, Conflicted):
        return tree
    made = await _commit(repo, tree, (onto, commit), message, int(when))
    return Merged(commit=made, tree=tree)


async def _fast_forward(repo: Path, onto: str, commit: str, branch: str) -> Merged | Conflicted:
    base = await _base(repo, onto, commit)
    if base in (onto, commit):
        return await as_is(repo, commit if base == onto else onto)
    why = f"`{branch}` has moved: rebase the change onto it"
    return Conflicted(paths=(), messages=(why,))


async def _pick(repo: Path, onto: str, proposal: Proposal) -> Merged | Conflicted:
    """The one commit of a change, without those below it, as a commit on top of `onto`."""
    picked = await commits.raw(repo, proposal.commit)
    if await _base(repo, onto, picked.id) == picked.id:
        return await as_is(repo, onto)
    parent = picked.parents[0] if picked.parents else None
    tree = picked.tree
    if parent != onto:
        found = await _merge_trees(repo, await _beside(repo, onto, parent), picked.id)
        if isinstance(found, Conflicted):
            return found
        tree = found
    if tree == await commits.tree_of(repo, onto):
        return await as_is(repo, onto)
    squash = proposal.method is MergeMethod.SQUASH
    if parent == onto and not squash:
        return Merged(commit=picked.id, tree=tree)
    text = picked.message
    if squash:
        text = await _with_trailers(repo, text, proposal.trailers)
    made = await commits.write(
        repo, dataclasses.replace(picked, tree=tree, parents=(onto,), message=text), proposal.when
    )
    return Merged(commit=made, tree=tree)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The tree that a commit's own part makes on another base; in `conflicts` both stand."""

    tree: str
    conflicts: tuple[str, ...]


async def replay(repo: Path, commit: str, parent: str | None, onto: str) -> Replayed:
    """What `commit` adds to `parent`, on top of `onto`.

    Where these do not go together the files have git's conflict markers, as in the merge that a
    person would have had to resolve.
    """
    result = await _merge_tree(repo, await _beside(repo, onto, parent), commit)
    tree = result.out.split(b"\0", 1)[0].decode()
    paths = parse_conflict(result.out).paths if result.exit_status else ()
    return Replayed(tree=tree, conflicts=paths)


async def _beside(repo: Path, onto: str, parent: str | None) -> str:
    """A commit of `onto`'s tree whose history is that of a change's parent.

    Merged with the change, the parent is the base: a cherry-pick, for a git that cannot be told
    the base (`merge-tree --merge-base` came with 2.40).
    """
    tree = await commits.tree_of(repo, onto)
    return await _commit(repo, tree, () if parent is None else (parent,), "", 0)


async def _with_trailers(
    repo: Path, message: bytes, trailers: tuple[tuple[str, str], ...]
) -> bytes:
    words = [f"--trailer={name}: {' '.join(value.split())}" for name, value in trailers]
    flags = ("--no-divider", "--if-exists=addIfDifferent")
    result = await run.git(repo, "interpret-trailers", *flags, *words, stdin=message)
    return result.out


async def _base(repo: Path, onto: str, commit: str) -> str | None:
    """A best common ancestor. If one commit contains the other there is only one: the contained."""
    result = await run.git(repo, "merge-base", oid(onto), oid(commit), check=False)
    if result.exit_status > 1:
        raise _failed(repo, result)
    return result.out.decode().strip() or None


async def _merge_trees(repo: Path, onto: str, commit: str) -> str | Conflicted:
    result = await _merge_tree(repo, onto, commit)
    if result.exit_status == 0:
        return result.out.split(b"\0", 1)[0].decode()
    return parse_conflict(result.out)


async def _merge_tree(repo: Path, onto: str, commit: str) -> Result:
    """What `git merge-tree` says; its status is 1 for a conflict."""
    result = await run.git(
        repo,
        "merge-tree",
        "--write-tree",
        "--messages",
        "--name-only",
        "--allow-unrelated-histories",  # whether they are related has been seen to
        "-z",
        oid(onto),
        oid(commit),
        check=False,
    )
    if result.exit_status not in (0, 1):
        raise _failed(repo, result)
    return result


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
