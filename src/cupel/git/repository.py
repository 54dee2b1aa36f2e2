"""The bare repositories that Cupel keeps: made, and their refs moved."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cupel.errors import Bug, Conflict, InfraError
from cupel.git import run, settings

_OID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_STALE = 600.0
"""Seconds after which a lock or a quarantine is surely of a git that was killed."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The branch stands at the wanted commit."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """The branch was not where it was expected, and has not been touched; it stands at `head`."""

    head: str | None


async def create(path: Path, branch: str, hooks: Path) -> None:
    """Make an empty bare repository whose HEAD is `branch`. All or nothing.

    Raises `Conflict` when something is at `path` already.
    """
    staging = await stage(path, branch)
    adopt(staging, path, hooks)


async def stage(path: Path, branch: str) -> Path:
    """A new bare repository beside `path`, which `adopt` moves there."""
    if path.exists():
        raise Conflict(f"{path} exists already", hint="choose another name, or remove it")
    staging = path.with_name(f".{path.name}.new")
    await asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True)
    staging.mkdir(parents=True)
    await run.git(staging, "init", "--quiet", "--bare", "--template=", f"--initial-branch={branch}")
    settings.include(staging)
    return staging


def adopt(staging: Path, path: Path, hooks: Path) -> None:
    """Put a staged repository in its place, with its settings."""
    settings.write(staging, hooks)  # the same relative path: both lie in one directory
    staging.rename(path)


def refresh(repo: Path, hooks: Path) -> None:
    """Bring a repository of an earlier life up to date: its settings, and what a crash left."""
    settings.write(repo, hooks)
    sweep(repo, before=time.time() - _STALE)


def sweep(repo: Path, *, before: float) -> None:
    """Remove locks and quarantines older than `before`, left by a git that was killed.

    A lock that stays would refuse every later move of its branch.
    """
    locks = [*repo.glob("*.lock"), *repo.glob("refs/**/*.lock")]
    for left in (*locks, *quarantines(repo)):
        if left.lstat().st_mtime >= before:
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def quarantines(repo: Path) -> list[Path]:
    """Where the objects of pushes lie that are not accepted yet; git leaves them when killed."""
    return list(repo.glob("objects/tmp_objdir-incoming-*"))


async def maintain(repo: Path) -> None:
    """Pack what has gathered. Unreachable objects stay for two weeks: a push may be using them."""
    await run.git(repo, "gc", "--quiet", "--prune=2.weeks.ago", timeout=None)


async def head(repo: Path, branch: str) -> str | None:
    """The commit that a branch stands at; None while it is unborn."""
    return await resolve(repo, f"refs/heads/{branch}")


async def resolve(repo: Path, revision: str, *, env: Mapping[str, str] | None = None) -> str | None:
    """The id of the commit that a ref, an abbreviation or a tag names; None if there is none."""
    result = await run.git(
        repo,
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        f"{revision}^{{commit}}",
        env=env,
        check=False,
    )
    return result.out.decode().strip() if result.exit_status == 0 else None


async def heads(repo: Path) -> dict[str, str]:
    """Every branch and the commit that it stands at."""
    return {
        ref.removeprefix("refs/heads/"): commit
        for ref, commit in (await refs(repo, "refs/heads/")).items()
    }


async def refs(repo: Path, prefix: str) -> dict[str, str]:
    """The refs below `prefix` (which ends in a slash) and the objects that they name."""
    result = await run.git(repo, "for-each-ref", "--format=%(objectname) %(refname)", prefix)
    pairs = (line.split(" ", 1) for line in result.out.decode(errors="replace").splitlines())
    return {ref: commit for commit, ref in pairs}


async def move(
    repo: Path, branch: str, old: str | None, new: str, *, reason: str = "land"
) -> Moved | Elsewhere:
    """Compare-and-swap a branch from `old` (None: it must be unborn) to `new`.

    Repeated after it has succeeded, it is `Moved` again, even if somebody has pushed on top since:
    a server that was killed after the move must not land the same commit a second time.
    """
    ref = f"refs/heads/{branch}"
    expected = "0" * len(new) if old is None else oid(old)
    result = await run.git(repo, "update-ref", "-m", reason, ref, oid(new), expected, check=False)
    if result.exit_status == 0:
        return Moved()
    found = await look(repo, branch, old, new)
    if found is not None:
        return found
    raise InfraError(
        f"cannot move {branch} of {repo.name}", hint=result.err.decode(errors="replace").strip()
    )


async def look(repo: Path, branch: str, old: str | None, new: str) -> Moved | Elsewhere | None:
    """What `move` would find: None if the branch stands at `old`, so that it could be moved."""
    found = await head(repo, branch)
    if found is not None and await contains(repo, found, new):
        return Moved()
    return None if found == old else Elsewhere(head=found)


async def contains(repo: Path, head: str, commit: str) -> bool:
    """Whether `commit` is `head` or an ancestor of it."""
    args = ("merge-base", "--is-ancestor", oid(commit), oid(head))
    result = await run.git(repo, *args, check=False)
    if result.exit_status > 1:
        raise InfraError(
            f"cannot compare commits in {repo.name}", hint=result.err.decode(errors="replace")
        )
    return result.exit_status == 0


def change_ref(change: int, patch_set: int) -> str:
    """The ref that keeps a patch set: Gerrit's layout, so Gerrit's clients find it."""
    return f"refs/changes/{change % 100:02d}/{change}/{patch_set}"


def state_ref(buildset: int) -> str:
    """The ref that keeps a speculative state."""
    return f"refs/cupel/states/{buildset}"


async def keep_patch_set(repo: Path, change: int, patch_set: int, commit: str) -> str:
    """Keep a patch set's commit for good. Repeatable. Returns its ref."""
    ref = change_ref(change, patch_set)
    await run.git(repo, "update-ref", ref, oid(commit))
    return ref


async def keep_state(repo: Path, buildset: int, commit: str) -> str:
    """Keep a speculative state's commit until `drop_states`. Repeatable. Returns its ref."""
    ref = state_ref(buildset)
    await run.git(repo, "update-ref", ref, oid(commit))
    return ref


async def drop_states(repo: Path, buildsets: Sequence[int]) -> None:
    """Let speculative states go. Those that are gone already are passed over."""
    if not buildsets:
        return
    commands = "".join(f"delete {state_ref(buildset)}\n" for buildset in buildsets)
    await run.git(repo, "update-ref", "--stdin", stdin=commands.encode())


async def states(repo: Path) -> dict[int, str]:
    """The speculative states that are kept, by buildset."""
    kept = await refs(repo, "refs/cupel/states/")
    return {int(ref.rpartition("/")[2]): commit for ref, commit in kept.items()}


def oid(text: str) -> str:
    """`text`, if it is a full object id. Raises `Bug` otherwise: git could read it as an option."""
    if not _OID.fullmatch(text):
        raise Bug(f"{text!r} is not an object id")
    return text
