"""Reads commits, trees and files of a bare repository.

Every reader takes `env`: in a push that is not accepted yet the new objects lie in quarantine, and
the environment that git gave to its hook is what makes them visible.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from cupel.errors import UserError
from cupel.git import run
from cupel.git.repository import oid

FILE_LIMIT = 1 << 20
"""Bytes of the largest file that `read_file` reads unless told otherwise."""

COMMITTER = b"Cupel <cupel@localhost>"
"""Who commits what is rebased; merges are by the same (`run.environment`)."""

Env = Mapping[str, str] | None

_FIELDS = 7
_FORMAT = "%H%x00%T%x00%P%x00%an%x00%ae%x00%at%x00%B"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit. `message` is as written; `authored_at` in seconds since the epoch."""

    id: str
    tree: str
    parents: tuple[str, ...]
    author_name: str
    author_email: str
    authored_at: int
    message: str

    @property
    def subject(self) -> str:
        """The first paragraph in one line."""
        return " ".join(self.message.strip().partition("\n\n")[0].split())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """A commit to the byte: `author` and `encoding` are the values of its headers."""

    id: str
    tree: str
    parents: tuple[str, ...]
    author: bytes
    encoding: bytes | None
    message: bytes


async def tree_of(repo: Path, commit: str, *, env: Env = None) -> str:
    """The id of a commit's tree."""
    result = await run.git(repo, "rev-parse", "--verify", f"{oid(commit)}^{{tree}}", env=env)
    return result.out.decode().strip()


async def kind_of(repo: Path, object_id: str, *, env: Env = None) -> str | None:
    """`commit`, `tag`, `tree` or `blob`; None when the repository lacks the object."""
    result = await run.git(repo, "cat-file", "-t", oid(object_id), env=env, check=False)
    return result.out.decode().strip() if result.exit_status == 0 else None


async def commit_info(repo: Path, commit: str, *, env: Env = None) -> Commit:
    return (await _log(repo, "--no-walk", oid(commit), env=env))[0]


async def raw(repo: Path, commit: str, *, env: Env = None) -> Raw:
    """A commit as git keeps it, without other headers than those of `Raw`, such as signatures."""
    content = (await run.git(repo, "cat-file", "commit", oid(commit), env=env)).out
    head, _, message = content.partition(b"\n\n")
    headers = [line.partition(b" ")[::2] for line in head.split(b"\n")]
    found = dict(headers)
    return Raw(
        id=commit,
        tree=found[b"tree"].decode(),
        parents=tuple(value.decode() for name, value in headers if name == b"parent"),
        author=found[b"author"],
        encoding=found.get(b"encoding"),
        message=message,
    )


async def write(repo: Path, commit: Raw, when: float) -> str:
    """Write a commit by Cupel of its author's, made `when`; `commit.id` counts for nothing."""
    parents = b"".join(b"parent %b\n" % oid(parent).encode() for parent in commit.parents)
    encoding = b"" if commit.encoding is None else b"encoding %b\n" % commit.encoding
    content = b"tree %b\n%bauthor %b\n" % (
        oid(commit.tree).encode(),
        parents,
        commit.author,
    ) + b"committer %b %d +0000\n%b\n%b" % (COMMITTER, int(when), encoding, commit.message)
    # Literally: a header that was good enough for the push is good enough here.
    words = ("hash-object", "-t", "commit", "-w", "--literally", "--stdin")
    return (await run.git(repo, *words, stdin=content)).out.decode().strip()


async def stack(
    repo: Path, base_refs: Sequence[str], tip: str, *, limit: int, env: Env = None
) -> tuple[Commit, ...]:
    """The newest `limit` commits on the first-parent line of `tip` that no base contains.

    Oldest first. The bases are commit ids; a merge stands for all that it brings.
    """
    bounds = (f"^{oid(base)}" for base in base_refs)
    return tuple(
        await _log(
            repo, "--first-parent", "--reverse", f"--max-count={limit}", oid(tip), *bounds, env=env
        )
    )


async def read_file(
    repo: Path, commit: str, path: str, *, limit: int = FILE_LIMIT, env: Env = None
) -> bytes | None:
    """A file's bytes; None when there is no such file. Raises `UserError` above `limit` bytes."""
    listed = await run.git(repo, "ls-tree", "-z", "-l", oid(commit), "--", path, env=env)
    entry, _, name = listed.out.partition(b"\0")[0].partition(b"\t")
    if name != path.encode(errors="surrogateescape"):
        return None
    _, kind, blob, size = entry.split()
    if kind != b"blob":
        return None
    if int(size) > limit:
        raise UserError(f"{path} is larger than {limit} bytes", hint="make it smaller")
    return (await run.git(repo, "cat-file", "blob", blob.decode(), env=env)).out


async def list_files(
    repo: Path, commit: str, under: str | None = None, *, env: Env = None
) -> tuple[str, ...]:
    """The paths of all files, or of those in the directory `under`, at any depth."""
    paths = ("--", f"{under.rstrip('/')}/") if under else ()
    result = await run.git(
        repo, "ls-tree", "-r", "-z", "--name-only", "--full-tree", oid(commit), *paths, env=env
    )
    return tuple(_text(path) for path in result.out.split(b"\0") if path)


async def _log(repo: Path, *args: str, env: Env) -> list[Commit]:
    result = await run.git(repo, "log", "-z", f"--format=tformat:{_FORMAT}", *args, "--", env=env)
    fields = _text(result.out).split("\0")[:-1]
    return [_commit(*fields[n : n + _FIELDS]) for n in range(0, len(fields), _FIELDS)]


def _commit(
    commit: str, tree: str, parents: str, name: str, email: str, at: str, message: str
) -> Commit:
    return Commit(
        id=commit,
        tree=tree,
        parents=tuple(parents.split()),
        author_name=name,
        author_email=email,
        authored_at=int(at or "0"),
        message=message,
    )


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
