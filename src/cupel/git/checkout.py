"""A patch set into somebody's work tree, without losing what is there."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path

from cupel.errors import UserError
from cupel.git import repository, run
from cupel.process import Result

_SHOWN = 5
"""So many names of files are told at most."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which patch set is wanted, where it is, and the token to fetch it with.

    `branch` is what the work tree is to be on; None: on no branch.
    """

    change: int
    patch_set: int
    project: str
    url: str
    token: str | None
    branch: str | None = None


async def checkout(tree: Path, wanted: Wanted) -> str:
    """Fetch a patch set and check it out in the work tree `tree`; its commit.

    It is kept by its ref in the repository too, so that it can be found again. Raises `UserError`
    when that would lose something, and leaves all as it was.
    """
    await _clean(tree)
    ref = repository.change_ref(wanted.change, wanted.patch_set)
    commit = await _fetch(tree, wanted, ref)
    await _related(tree, wanted, commit)
    await _reachable(tree)
    if wanted.branch is None:
        done = await _git(tree, "checkout", "--quiet", "--detach", commit)
    else:
        await _free(tree, wanted.branch, commit)
        done = await _git(tree, "checkout", "--quiet", "-B", wanted.branch, commit)
    if done.exit_status != 0:
        raise UserError(
            f"git does not check out change {wanted.change}: {_said(done)}",
            hint="nothing was changed; move what is in the way, and try again",
        )
    return commit


async def root_of(path: Path) -> Path:
    """The top of the work tree that `path` is in. Raises `UserError` if there is none."""
    found = await _git(path, "rev-parse", "--show-toplevel")
    if found.exit_status != 0:
        raise UserError(
            f"{path} is not in a git work tree", hint="clone the project first, and go there"
        )
    return Path(found.out.decode(errors="surrogateescape").rstrip("\n"))


async def _clean(tree: Path) -> None:
    """Raises `UserError` where something is not committed, or git is in the midst of something."""
    found = await _git(tree, "status", "--porcelain", "-z", "--untracked-files=no")
    names = [entry[3:] for entry in found.out.decode(errors="replace").split("\0") if entry[2:3]]
    if names:
        shown = ", ".join(names[:_SHOWN])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise UserError(
            f"there is uncommitted work: {shown}{more}",
            hint="commit it, or put it aside with `git stash`; nothing was changed",
        )


async def _fetch(tree: Path, wanted: Wanted, ref: str) -> str:
    config = {} if wanted.token is None else {"http.extraHeader": _authorization(wanted.token)}
    done = await _git(
        tree, "fetch", "--quiet", "--no-tags", wanted.url, f"+{ref}:{ref}", config=config
    )
    if done.exit_status != 0:
        raise UserError(
            f"change {wanted.change} cannot be fetched from {wanted.url}: {_said(done)}",
            hint="`cupel status` shows whether the server answers and lets you in",
        )
    found = await _git(tree, "rev-parse", "--verify", f"{ref}^{{commit}}")
    return found.out.decode().strip()


def _authorization(token: str) -> str:
    pair = base64.b64encode(f"cupel:{token}".encode()).decode()
    return f"Authorization: Basic {pair}"


async def _related(tree: Path, wanted: Wanted, commit: str) -> None:
    """Raises `UserError` in a work tree of something else."""
    head = await _git(tree, "rev-parse", "--verify", "--quiet", "HEAD")
    if head.exit_status != 0:
        return  # nothing is committed here yet
    base = await _git(tree, "merge-base", "HEAD", commit)
    if base.exit_status != 0:
        raise UserError(
            f"{tree} has no commit in common with the project {wanted.project}",
            hint=f"change {wanted.change} is one of {wanted.project}; go to a clone of that",
        )


async def _reachable(tree: Path) -> None:
    """Raises `UserError` where commits would be left that nothing names."""
    if (await _git(tree, "symbolic-ref", "--quiet", "HEAD")).exit_status == 0:
        return
    head = (await _git(tree, "rev-parse", "--verify", "--quiet", "HEAD")).out.decode().strip()
    named = await _git(tree, "for-each-ref", "--count=1", f"--contains={head}")
    if head and not named.out.strip():
        raise UserError(
            f"commit {head[:12]}, which is checked out, is on no branch and would be lost",
            hint="name it first: git branch NAME",
        )


async def _free(tree: Path, branch: str, commit: str) -> None:
    """Raises `UserError` when the branch has commits that no other ref has and `commit` lacks."""
    valid = await _git(tree, "check-ref-format", "--branch", branch)
    if valid.exit_status != 0:
        raise UserError(f"{branch!r} cannot be the name of a branch")
    name = f"refs/heads/{branch}"
    tip = await _git(tree, "rev-parse", "--verify", "--quiet", name)
    if tip.exit_status != 0:
        return
    others = ["--not", commit, f"--exclude={name}", "--all"]
    alone = await _git(tree, "rev-list", "--count", name, *others)
    count = int(alone.out)
    if count:
        raise UserError(
            f"the branch {branch} has {count} commit{'s' * (count > 1)} that would be lost",
            hint="choose another name with --branch, or rename it: git branch --move "
            f"{branch} NAME",
        )


async def _git(tree: Path, *words: str, config: dict[str, str] | None = None) -> Result:
    """git in somebody's work tree, whose own configuration counts."""
    return await run.in_work_tree(tree, *words, config=config)


def _said(done: Result) -> str:
    lines = done.err.decode(errors="replace").strip().splitlines()
    text = " ".join(line.removeprefix("fatal: ").removeprefix("error: ").strip() for line in lines)
    return text[:500]
