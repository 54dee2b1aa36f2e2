"""A patch set into a work tree: nothing that was there is lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from cupel.errors import UserError
from cupel.git import checkout
from cupel.git.checkout import Wanted

REF = "refs/changes/07/7/1"


def git(directory: Path, *words: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env = {
        **kept, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org",
    }  # fmt: skip
    done = subprocess.run(
        ["git", *words], cwd=directory, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(directory: Path, text: str) -> str:
    (directory / "file").write_text(text)
    git(directory, "add", "file")
    git(directory, "commit", "--quiet", "--message", text)
    return git(directory, "rev-parse", "HEAD")


class Place:
    """A server's repository with a patch set of change 7, and a clone."""

    def __init__(self, root: Path) -> None:
        self.origin = root / "origin"
        self.origin.mkdir()
        git(self.origin, "init", "--quiet", "--initial-branch=main")
        commit(self.origin, "first")
        self.tree = root / "tree"
        git(root, "clone", "--quiet", str(self.origin), str(self.tree))
        git(self.origin, "checkout", "--quiet", "--detach")
        self.proposed = commit(self.origin, "proposed")
        git(self.origin, "update-ref", REF, self.proposed)
        git(self.origin, "checkout", "--quiet", "main")

    def check_out(self, tree: Path | None = None, branch: str | None = None) -> str:
        wanted = Wanted(
            change=7, patch_set=1, project="demo", url=str(self.origin), token=None, branch=branch
        )
        return asyncio.run(checkout.checkout(tree or self.tree, wanted))

    @property
    def state(self) -> tuple[str, str, str]:
        return (
            git(self.tree, "rev-parse", "HEAD"),
            git(self.tree, "branch", "--show-current"),
            (self.tree / "file").read_text(),
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_patch_set_is_checked_out_on_no_branch(place: Place) -> None:
    assert place.check_out() == place.proposed
    assert place.state == (place.proposed, "", "proposed")
    assert git(place.tree, "rev-parse", REF) == place.proposed


def test_a_patch_set_is_checked_out_on_a_branch_again_and_again(place: Place) -> None:
    for _ in range(2):
        place.check_out(branch="fix")
        assert place.state == (place.proposed, "fix", "proposed")
        git(place.tree, "checkout", "--quiet", "main")


def test_from_one_checkout_to_the_next_nothing_is_in_the_way(place: Place) -> None:
    place.check_out()
    place.check_out()
    assert place.state[0] == place.proposed


@pytest.mark.parametrize("staged", [False, True])
def test_uncommitted_work_stays(place: Place, staged: bool) -> None:
    (place.tree / "file").write_text("precious")
    if staged:
        git(place.tree, "add", "file")
    before = place.state
    with pytest.raises(UserError, match="uncommitted work: file") as caught:
        place.check_out()
    assert "git stash" in (caught.value.hint or "")
    assert place.state == before


def test_an_untracked_file_in_the_way_stays(place: Place) -> None:
    git(place.origin, "checkout", "--quiet", "--detach", place.proposed)
    (place.origin / "new").write_text("theirs")
    git(place.origin, "add", "new")
    git(place.origin, "commit", "--quiet", "--message", "with a new file")
    git(place.origin, "update-ref", REF, "HEAD")
    (place.tree / "new").write_text("mine")
    before = place.state
    with pytest.raises(UserError, match="untracked"):
        place.check_out()
    assert (place.state, (place.tree / "new").read_text()) == (before, "mine")


def test_commits_on_no_branch_stay_reachable(place: Place) -> None:
    git(place.tree, "checkout", "--quiet", "--detach")
    alone = commit(place.tree, "alone")
    with pytest.raises(UserError, match=f"{alone[:12]}.*would be lost"):
        place.check_out()
    assert place.state[0] == alone


def test_a_branch_with_commits_of_its_own_stays(place: Place) -> None:
    git(place.tree, "checkout", "--quiet", "-b", "fix")
    own = commit(place.tree, "mine")
    git(place.tree, "checkout", "--quiet", "main")
    with pytest.raises(UserError, match="the branch fix has 1 commit that would be lost"):
        place.check_out(branch="fix")
    assert git(place.tree, "rev-parse", "fix") == own


def test_another_project_is_left_alone(place: Place, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet", "--initial-branch=main")
    own = commit(other, "another story")
    with pytest.raises(UserError, match="no commit in common with the project demo"):
        place.check_out(tree=other)
    assert git(other, "rev-parse", "HEAD") == own


def test_what_cannot_be_fetched_is_told_without_the_token(place: Place) -> None:
    wanted = Wanted(
        change=7, patch_set=9, project="demo", url=str(place.origin), token="cupel_secret"
    )
    missing = Wanted(
        change=8, patch_set=1, project="demo", url=str(place.origin), token="cupel_secret"
    )
    for each in (wanted, missing):
        with pytest.raises(UserError, match="cannot be fetched") as caught:
            asyncio.run(checkout.checkout(place.tree, each))
        assert "secret" not in str(caught.value)


def test_outside_of_a_work_tree_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not in a git work tree"):
        asyncio.run(checkout.root_of(tmp_path))
