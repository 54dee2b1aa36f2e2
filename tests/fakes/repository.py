"""A real repository behind a project of a told world: its patch sets are commits that git has."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Mapping
from pathlib import Path

from cupel.core.model import Buildset, Change, PatchSet, Project
from fakes.rows import World

Files = Mapping[str, bytes | None]


class Repository:
    """A bare repository with commits as they are asked for; `root` is where those of all lie."""

    def __init__(self, root: Path, project: str) -> None:
        self.path = root / f"{project}.git"
        root.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", self.path], check=True)

    def commit(self, files: Files, parent: str | None = None, message: str = "x\n") -> str:
        """A commit that has these files besides those of its parent; None removes one."""
        index = {"GIT_INDEX_FILE": str(self.path / "index.tmp")}
        (self.path / "index.tmp").unlink(missing_ok=True)
        if parent is not None:
            self._git("read-tree", parent, **index)
        lines = b""
        for path, data in files.items():
            if data is None:
                lines += b"0 %b\t%b\0" % (b"0" * 40, path.encode())
                continue
            blob = self._git("hash-object", "-w", "--stdin", stdin=data)
            lines += b"100644 %b\t%b\0" % (blob.encode(), path.encode())
        self._git("update-index", "-z", "--index-info", stdin=lines, **index)
        tree = self._git("write-tree", **index)
        parents = () if parent is None else ("-p", parent)
        return self._git("commit-tree", tree, *parents, "-F", "-", stdin=message.encode())

    def tree(self, commit: str) -> str:
        return self._git("rev-parse", f"{commit}^{{tree}}")

    def point(self, ref: str, commit: str) -> None:
        self._git("update-ref", ref, commit)

    def _git(self, *words: str, stdin: bytes = b"", **environment: str) -> str:
        identity = {
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "Ada"), ("EMAIL", "a@example.org"), ("DATE", "@9 +0000"))
        }
        done = subprocess.run(
            ["git", f"--git-dir={self.path}", *words],
            input=stdin,
            env={"PATH": "/usr/bin:/bin", **identity, **environment},
            capture_output=True,
            check=True,
        )
        return done.stdout.decode().strip()


def be(world: World, change: Change, repository: Repository, *made: tuple[str, str | None]) -> None:
    """Let the patch sets of a change be these commits, each with the one that it is made on."""
    rows = world.rows_of(PatchSet).values()
    own = sorted((row for row in rows if row.change_id == change.id), key=lambda row: row.number)
    for row, (commit, parent) in zip(own, made, strict=True):
        tree = repository.tree(commit)
        world.put(dataclasses.replace(row, commit=commit, tree=tree, parent=parent))


def be_state(
    world: World, buildset: int, repository: Repository, commit: str, *, onto: str | None
) -> None:
    """Let the state that a buildset is of be this commit, made on another."""
    row = world.rows_of(Buildset)[buildset]
    tree = repository.tree(commit)
    world.put(dataclasses.replace(row, commit=commit, tree=tree, onto=onto))


def of(directory: Path, project: Project) -> Repository:
    """That of a project, where a served world looks for it."""
    return Repository(directory / "git", project.name)
