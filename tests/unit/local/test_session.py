"""What a run says of itself and of what it lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from cupel.errors import InfraError
from cupel.git.snapshot import Worktree
from cupel.local import session, sources


def worktree(root: str = "/home/ada/app", **urls: str) -> Worktree:
    path = Path(root)
    return Worktree(
        root=path, common=path, objects=path, index=path, partial=False, branch="topic",
        upstream=None, urls=urls, head=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tree", "name"),
    [
        (worktree(cupel="http://cupel:t@host:8470/demo.git", origin="x/y.git"), "demo"),
        (worktree(origin="git@example.org:team/app.git"), "app"),
        (worktree(origin="https://example.org/team/app/"), "app"),
        (worktree(other="z"), "app"),
        (worktree("/home/ada/My App (1)"), "My-App-1-"),
        (worktree("/home/ada/..."), "project"),
        (worktree("/"), "project"),
    ],
)
def test_the_project_has_the_name_of_its_remote_or_directory(tree: Worktree, name: str) -> None:
    assert sources.project_of(tree) == name


def test_an_image_that_only_root_can_bring_is_said_at_once(tmp_path: Path) -> None:
    session.check_images([], is_root=False, state=tmp_path)
    session.check_images(["small"], is_root=True, state=tmp_path)
    with pytest.raises(InfraError, match="the image of small is not in") as raised:
        session.check_images(["small"], is_root=False, state=tmp_path)
    assert raised.value.hint == f"once: sudo cupel --state {tmp_path} run …; then it takes no root"
