"""Commits written straight into a bare repository."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cupel.git import repository, run


async def make(tmp_path: Path) -> Path:
    repo = tmp_path / "repositories" / "r.git"
    await repository.create(repo, "main", tmp_path / "hooks")
    return repo


async def commit(
    repo: Path,
    files: Mapping[str, str | bytes | tuple[str, str]],
    *parents: str,
    message: str = "x",
    env: Mapping[str, str] | None = None,
) -> str:
    """A commit of these files; a tuple is (mode, content or id for a submodule)."""
    entries = []
    for path, content in sorted(files.items()):
        mode, text = content if isinstance(content, tuple) else ("100644", content)
        blob = text if mode == "160000" else await _blob(repo, text)
        entries.append(f"{mode} {blob} 0\t{path}\0")
    index = {"GIT_INDEX_FILE": str(repo / "index.test")}
    await run.git(repo, "read-tree", "--empty", env=index)
    await run.git(
        repo,
        "update-index",
        "-z",
        "--index-info",
        stdin="".join(map(str, entries)).encode(),
        env=index,
    )
    tree = (await run.git(repo, "write-tree", "--missing-ok", env=index)).out.decode().strip()
    ancestry = [word for parent in parents for word in ("-p", parent)]
    made = await run.git(
        repo, "commit-tree", tree, *ancestry, "-F", "-", stdin=message.encode(), env=env
    )
    return made.out.decode().strip()


async def _blob(repo: Path, text: str | bytes) -> str:
    content = text if isinstance(text, bytes) else text.encode()
    made = await run.git(repo, "hash-object", "-w", "--stdin", stdin=content)
    return made.out.decode().strip()
