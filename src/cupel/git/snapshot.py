"""A person's working tree as a commit: what git would see there, committed or not.

The tree is made by git itself on a copy of the index. New objects go to a small bare repository of
ours, which borrows the person's objects: their index, refs, objects and files are only read.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from cupel.errors import UserError
from cupel.git import run
from cupel.process import Result

REF = "refs/heads/snapshot"
"""The ref of the bare repository that names the commit."""

MESSAGE = "What was not committed yet in {root}\n"

_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tbare = true
"""
_SECONDS = 900.0
_WHERE = (
    "--show-toplevel",
    "--git-common-dir",
    "--git-path",
    "objects",
    "--git-path",
    "index",
    "--is-shallow-repository",
    "--show-object-format",
)
_SETTINGS = r"^(remote\..*\.(url|promisor)|branch\..*\.merge)$"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Worktree:
    """A person's working tree. `root` is its top; `common`, `objects` and `index` are git's.

    `branch` is the one that is checked out, `upstream` the one that it is for; `urls` are those of
    its remotes, by name. `head` is the commit, its tree and its time; None before the first one.
    `partial`: not all of its history is here, so that commits made of it have none.
    """

    root: Path
    common: Path
    objects: Path
    index: Path
    partial: bool
    branch: str | None
    upstream: str | None
    urls: dict[str, str]
    head: tuple[str, str, int] | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A state of a working tree: `commit` with `tree`, in the bare repository `repo`.

    `dirty`: the commit is not the person's, but was made of what they have not committed yet.
    """

    repo: Path
    commit: str
    tree: str
    dirty: bool


async def find(path: Path) -> Worktree:
    """The working tree that `path` is in. Raises `UserError` where there is none."""
    if not path.is_dir():
        raise UserError(f"{path} is not a directory")
    found, head, branch, settings = await asyncio.gather(
        _git(path, "rev-parse", "--path-format=absolute", *_WHERE, check=False),
        _git(path, "log", "-1", "--no-show-signature", "--format=%H %T %ct", check=False),
        _git(path, "symbolic-ref", "--quiet", "--short", "HEAD", check=False),
        _git(
            path, "config", "-z", "--get-regexp", _SETTINGS,
            check=False,
        ),
    )  # fmt: skip
    if found.exit_status != 0:
        raise _no_worktree(path, found.err.decode(errors="replace").strip())
    root, common, objects, index, shallow, form = found.out.decode(
        errors="surrogateescape"
    ).splitlines()
    if form != "sha1":
        raise UserError(f"{root} names its objects by {form}", hint="Cupel reads those by sha1")
    current = branch.out.decode(errors="replace").strip() or None
    said = _settings(settings.out)
    merge = said.get(f"branch.{current}.merge", "")
    words = head.out.decode().split() if head.exit_status == 0 else []
    return Worktree(
        root=Path(root),
        common=Path(common),
        objects=Path(objects),
        index=Path(index),
        partial=shallow == "true" or any(key.endswith(".promisor") for key in said),
        branch=current,
        upstream=merge.removeprefix("refs/heads/") or None,
        urls={
            key.removeprefix("remote.").removesuffix(".url"): value
            for key, value in said.items()
            if key.startswith("remote.") and key.endswith(".url")
        },
        head=(words[0], words[1], int(words[2])) if words else None,
    )


def _no_worktree(path: Path, said: str) -> UserError:
    if "not a git repository" in said:
        return UserError(
            f"{path.resolve()} is in no git repository",
            hint="what is run is what git sees: `git init` makes one",
        )
    if "must be run in a work tree" in said:
        return UserError(f"{path.resolve()} is in a bare repository, which has no working tree")
    return UserError(f"git can't use the repository of {path.resolve()}", hint=said)


def _settings(listed: bytes) -> dict[str, str]:
    """Pairs as `git config -z` lists them; of a key that comes more than once, the first."""
    pairs = (each.partition("\n") for each in listed.decode(errors="replace").split("\0") if each)
    found: dict[str, str] = {}
    for key, _, value in pairs:
        found.setdefault(key, value)
    return found


async def _git(
    tree: Path, *args: str, check: bool = True, env: Mapping[str, str] | None = None
) -> Result:
    """Only reads, and takes no lock of theirs. Raises `UserError` in git's words."""
    done = await run.in_work_tree(
        tree, *args, env={"GIT_OPTIONAL_LOCKS": "0", **(env or {})}, timeout=_SECONDS
    )
    if check and done.exit_status != 0:
        said = done.err.decode(errors="replace").strip()[-2000:]
        raise UserError(f"git {args[0]} fails in {tree}", hint=said or None)
    return done


async def take(worktree: Worktree, repo: Path, *, without: Path | None = None) -> Snapshot:
    """What stands in the working tree now: files that git tracks, and those it does not ignore.

    What is below `without` is left out. `repo` is made anew. Where nothing differs from what is
    committed, the commit is that one. Raises `UserError` when git can't add a file.
    """
    _lay(worktree, repo)
    tree, tags = await asyncio.gather(_write_tree(worktree, repo, without), _tags(worktree))
    head = worktree.head
    dirty = head is None or tree != head[1]
    made = head is None or dirty or worktree.partial
    commit = await _commit(worktree, repo, tree) if head is None or made else head[0]
    return _keep(repo, tags, commit, tree, dirty=dirty)


async def committed(worktree: Worktree, revision: str, repo: Path) -> Snapshot:
    """The state that a ref, an abbreviation or a tag names. Raises `UserError` if there is none."""
    _lay(worktree, repo)
    form = ("log", "-1", "--no-show-signature", "--format=%H %T", "--end-of-options")
    found, tags = await asyncio.gather(
        _git(worktree.root, *form, revision, "--", check=False), _tags(worktree)
    )
    words = found.out.decode().split()
    if found.exit_status != 0 or len(words) != 2:
        raise UserError(f"{worktree.root} has no commit {revision!r}")
    commit, tree = words
    if worktree.partial:
        commit = await _commit(worktree, repo, tree)
    return _keep(repo, tags, commit, tree, dirty=False)


def _lay(worktree: Worktree, repo: Path) -> None:
    """An empty bare repository that borrows the person's objects."""
    shutil.rmtree(repo, ignore_errors=True)
    for directory in ("objects/info", "objects/pack", "refs/heads"):
        (repo / directory).mkdir(parents=True)
    (repo / "config").write_text(_CONFIG)
    (repo / "HEAD").write_text(f"ref: {REF}\n")
    (repo / "objects/info/alternates").write_text(f"{_quoted(str(worktree.objects))}\n")


def _quoted(path: str) -> str:
    """A path as a line of git's alternates, where a quotation mark begins a quoted one."""
    if not re.search(r'["\n#]', path):
        return path
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


async def _write_tree(worktree: Worktree, repo: Path, without: Path | None) -> str:
    index = repo / "index"
    with contextlib.suppress(FileNotFoundError):
        # With its time: by that git tells which files may have changed since in the same moment.
        shutil.copy2(worktree.index, index)
    env = {"GIT_INDEX_FILE": str(index), "GIT_OBJECT_DIRECTORY": str(repo / "objects")}
    quiet = ("-c", "advice.addEmbeddedRepo=false", "-c", "core.safecrlf=false")
    add = ["add", "--all", "--", ":/"]
    if without is not None and without.is_relative_to(worktree.root):
        add.append(f":(exclude,top,literal){without.relative_to(worktree.root)}")
    added = await _git(worktree.root, *quiet, *add, env=env, check=False)
    if added.exit_status != 0:
        said = added.err.decode(errors="replace").strip()[-2000:]
        raise UserError(f"git can't add all files of {worktree.root}", hint=said)
    written = await _git(worktree.root, "write-tree", env=env)
    return written.out.decode().strip()


async def _commit(worktree: Worktree, repo: Path, tree: str) -> str:
    """A commit of the tree on top of what is committed; the same one for the same of both."""
    head = worktree.head
    parents = ("-p", head[0]) if head is not None and not worktree.partial else ()
    when = f"@{head[2] if head is not None else 0} +0000"
    env = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
    made = await run.git(
        repo, "commit-tree", tree, *parents, env=env,
        stdin=MESSAGE.format(root=worktree.root).encode(errors="surrogateescape"),
    )  # fmt: skip
    return made.out.decode().strip()


async def _tags(worktree: Worktree) -> bytes:
    """The person's tags as a packed-refs file; none where what they lead to may be missing."""
    if worktree.partial:
        return b""
    form = "%(objectname) %(refname)%(if)%(*objectname)%(then)%0a^%(*objectname)%(end)"
    listed = await _git(worktree.root, "for-each-ref", f"--format={form}", "refs/tags")
    return b"# pack-refs with: peeled fully-peeled sorted \n" + listed.out


def _keep(repo: Path, tags: bytes, commit: str, tree: str, *, dirty: bool) -> Snapshot:
    (repo / "packed-refs").write_bytes(tags)
    (repo / REF).write_text(f"{commit}\n")
    return Snapshot(repo=repo, commit=commit, tree=tree, dirty=dirty)


async def read(repo: Path, tree: str, paths: Sequence[str]) -> dict[str, bytes]:
    """The content of files of a tree, by path; those that are no files are left out."""
    if not paths:
        return {}
    asked = "".join(f"{tree}:{path}\n" for path in paths).encode(errors="surrogateescape")
    found = (await run.git(repo, "cat-file", "--batch", stdin=asked)).out
    contents: dict[str, bytes] = {}
    for path in paths:
        head, _, found = found.partition(b"\n")
        words = head.split()
        if len(words) == 3 and words[2].isdigit():
            size = int(words[2])
            if words[1] == b"blob":
                contents[path] = found[:size]
            found = found[size + 1 :]
    return contents
