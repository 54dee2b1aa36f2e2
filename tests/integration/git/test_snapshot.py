"""Working trees as commits: what git would see, and nothing of the person's repository touched."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from cupel.errors import UserError
from cupel.git import snapshot
from cupel.git.snapshot import Snapshot, Worktree


def git(tree: Path, *words: str) -> str:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = (
        "-c",
        "user.name=Ada",
        "-c",
        "user.email=ada@example.org",
        "-c",
        "init.defaultBranch=main",
    )
    done = subprocess.run(
        ["git", "-C", str(tree), *who, *words], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with a commit and a tag."""
    root = tmp_path / "work"
    (root / "sub").mkdir(parents=True)
    (root / "kept").write_text("one\n")
    (root / "gone").write_text("gone\n")
    (root / "sub/tool").write_text("#!/bin/sh\n")
    (root / ".gitignore").write_text("*.log\n")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "One")
    git(root, "tag", "-a", "v1", "-m", "One")
    return root


def take(tree: Path, *, below: str = ".") -> Snapshot:
    async def both() -> Snapshot:
        return await snapshot.take(await snapshot.find(tree / below), tree.parent / "tree.git")

    return asyncio.run(both())


def found(tree: Path) -> Worktree:
    return asyncio.run(snapshot.find(tree))


def listed(state: Snapshot) -> dict[str, str]:
    """Mode by path."""
    said = git(state.repo, "ls-tree", "-r", state.commit)
    return {line.split("\t")[1]: line.split()[0] for line in said.splitlines()}


def test_a_clean_tree_is_what_is_committed(tree: Path) -> None:
    state = take(tree)
    assert (state.commit, state.dirty) == (git(tree, "rev-parse", "HEAD"), False)
    assert state.tree == git(tree, "rev-parse", "HEAD^{tree}")


def test_what_git_would_see_is_in_the_tree(tree: Path) -> None:
    (tree / "kept").write_text("two\n")
    (tree / "gone").unlink()
    (tree / "new").write_text("new\n")
    (tree / "sub/tool").chmod(0o755)
    (tree / "link").symlink_to("nowhere")
    (tree / "noise.log").write_text("ignored\n")
    state = take(tree, below="sub")
    assert state.dirty
    assert listed(state) == {
        ".gitignore": "100644",
        "kept": "100644",
        "link": "120000",
        "new": "100644",
        "sub/tool": "100755",
    }
    assert git(state.repo, "show", f"{state.commit}:kept") == "two"
    assert git(state.repo, "rev-parse", f"{state.commit}^") == git(tree, "rev-parse", "HEAD")
    assert git(state.repo, "describe", state.commit).startswith("v1-1-g")


def test_nothing_of_the_repository_is_touched(tree: Path) -> None:
    (tree / "kept").write_text("two\n")
    (tree / "new").write_text("new\n")

    def contents() -> dict[str, bytes]:
        files = (path for path in (tree / ".git").rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in files}

    status = git(tree, "status", "--short")
    before = contents()
    take(tree)
    assert contents() == before
    assert git(tree, "status", "--short") == status


def test_the_same_tree_is_the_same_commit(tree: Path) -> None:
    (tree / "new").write_text("new\n")
    assert take(tree) == take(tree)


def test_a_change_in_the_moment_of_the_commit_is_seen(tree: Path) -> None:
    """The copy of the index keeps its time: a file of the same size may have changed since."""
    for number in range(20):
        (tree / "kept").write_text(f"{number:03}\n")
        git(tree, "add", "kept")
        (tree / "kept").write_text(f"{number:03}\n".replace("0", "x"))
        assert "x" in git(take(tree).repo, "show", "snapshot:kept")


def test_a_tree_without_a_commit(tree: Path) -> None:
    new = tree.parent / "fresh"
    new.mkdir()
    git(new, "init", "--quiet")
    (new / "file").write_text("x")
    state = take(new)
    assert state.dirty
    assert listed(state) == {"file": "100644"}


def test_a_shallow_clone_has_no_history_to_offer(tree: Path) -> None:
    (tree / "kept").write_text("two\n")
    git(tree, "commit", "--quiet", "-am", "Two")
    clone = tree.parent / "clone"
    git(tree.parent, "clone", "--quiet", "--depth=1", f"file://{tree}", str(clone))
    state = take(clone)
    assert not state.dirty
    assert git(state.repo, "rev-list", state.commit) == state.commit
    mirror = tree.parent / "mirror"
    git(tree.parent, "init", "--quiet", "--bare", str(mirror))
    git(mirror, "fetch", "--quiet", str(state.repo), f"+{state.commit}:refs/mirror/main")
    assert git(mirror, "show", f"{state.commit}:kept") == "two"


def test_our_own_state_in_the_tree_is_left_out(tree: Path) -> None:
    async def both() -> Snapshot:
        repo = tree / "state/run/x/tree.git"
        return await snapshot.take(await snapshot.find(tree), repo, without=tree / "state")

    assert not asyncio.run(both()).dirty


def test_a_linked_work_tree(tree: Path) -> None:
    linked = tree.parent / "linked"
    git(tree, "worktree", "add", "--quiet", "-b", "other", str(linked))
    (linked / "kept").write_text("there\n")
    state = take(linked)
    assert git(state.repo, "show", f"{state.commit}:kept") == "there"
    assert not take(tree).dirty


def test_submodules_stay_links(tree: Path) -> None:
    git(
        tree, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tree), "module"
    )
    (tree / "module/new").write_text("not seen\n")
    state = take(tree)
    assert listed(state)["module"] == "160000"


def test_a_committed_state(tree: Path) -> None:
    (tree / "kept").write_text("two\n")
    git(tree, "commit", "--quiet", "-am", "Two")
    (tree / "kept").write_text("three\n")
    where = found(tree)
    state = asyncio.run(snapshot.committed(where, "v1", tree.parent / "tree.git"))
    assert (state.commit, state.dirty) == (git(tree, "rev-parse", "v1^{commit}"), False)
    for name in ("nothing", "--all", "v1:kept"):
        with pytest.raises(UserError, match="has no commit"):
            asyncio.run(snapshot.committed(where, name, tree.parent / "tree.git"))


def test_a_hook_s_environment_does_not_mislead(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert take(tree).dirty is False


def test_where_there_is_no_working_tree(tree: Path) -> None:
    with pytest.raises(UserError, match="in no git repository"):
        found(tree.parent)
    with pytest.raises(UserError, match="bare repository"):
        found(tree / ".git")
    with pytest.raises(UserError, match="is not a directory"):
        found(tree / "kept")


def test_the_branch_and_the_remotes(tree: Path) -> None:
    git(tree, "checkout", "--quiet", "-b", "topic")
    git(tree, "remote", "add", "origin", "https://example.org/app.git")
    git(tree, "config", "branch.topic.merge", "refs/heads/main")
    where = found(tree)
    assert (where.root, where.branch, where.upstream) == (tree, "topic", "main")
    assert where.urls == {"origin": "https://example.org/app.git"}


def test_files_are_read_from_a_tree(tree: Path) -> None:
    state = take(tree)
    found = asyncio.run(
        snapshot.read(state.repo, state.tree, ["kept", "sub", "none", ".gitignore"])
    )
    assert found == {"kept": b"one\n", ".gitignore": b"*.log\n"}
