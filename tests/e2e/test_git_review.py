"""The real git-review against a real server: what its users do with Gerrit, they do with Cupel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from e2e import server as serving
from e2e.conftest import Project
from e2e.server import Server, Work

pytestmark = pytest.mark.e2e

CLIENT = shutil.which("git-review", path=str(Path(sys.executable).parent)) or shutil.which(
    "git-review"
)


class Person:
    """Somebody with a clone, a token in git's credential helper, and git-review."""

    def __init__(self, directory: Path, server: Server, work: Work) -> None:
        self.directory = directory
        self.home = directory.parent / "home"
        self.home.mkdir()
        address = server.url.removeprefix("http://")
        (self.home / ".git-credentials").write_text(f"http://ada:{server.token}@{address}\n")
        (self.home / ".gitconfig").write_text(
            "[credential]\n\thelper = store\n"
            "[user]\n\tname = Ada\n\temail = ada@example.org\n[gitreview]\n\tusername = ada\n"
        )
        self.git("clone", "--quiet", f"{server.url}/{work.project}", str(directory))
        host, _, port = address.partition(":")
        (directory / ".gitreview").write_text(
            f"[gerrit]\nscheme=http\nhost={host}\nport={port}\nproject={work.project}\n"
            "defaultbranch=main\ndefaultremote=cupel\n"
        )

    def run(self, *words: str) -> str:
        env = {
            "PATH": f"{Path(CLIENT or '').parent}:{os.environ['PATH']}",
            "HOME": str(self.home), "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1",
            "no_proxy": "127.0.0.1", "LC_ALL": "C.UTF-8", "GIT_EDITOR": "true",
        }  # fmt: skip
        place = self.directory if self.directory.exists() else self.directory.parent
        done = subprocess.run(
            words, cwd=place, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=serving.PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def git(self, *words: str) -> str:
        return self.run("git", *words)

    def review(self, *words: str) -> str:
        return self.run("git", "review", *words)

    def commit(self, text: str, *how: str) -> None:
        (self.directory / "greeting").write_text(text)
        self.git("add", "greeting")
        self.git("commit", "--quiet", *how)


@pytest.mark.skipif(CLIENT is None, reason="git-review is not installed; scripts/setup --tests")
def test_git_review_sets_up_pushes_lists_and_downloads(
    server: Server, project: Project, tmp_path: Path
) -> None:
    work = project(serving.jobs(tests="cat greeting") | {"greeting": "hello\n"})
    person = Person(tmp_path / "clone", server, work)

    assert "Creating a git remote called 'cupel'" in person.review("-s", "--remote-hook")
    hook = (person.directory / ".git/hooks/commit-msg").read_text()
    assert hook == server.request("GET", "/tools/hooks/commit-msg").text

    person.git("checkout", "--quiet", "-b", "greet")
    person.commit("hello, world\n", "--message", "Greet the world")
    assert "Change-Id: I" in person.git("log", "-1")
    pushed = person.review("-t", "greetings")
    (number,) = serving.Pushed(0, pushed).changes
    view = server.change(number)
    assert (view["title"], view["topic"]) == ("Greet the world", "greetings")

    person.commit("hello, whole world\n", "--amend", "--no-edit")
    assert serving.Pushed(0, person.review("-R", "-f")).changes == [number]
    assert person.git("branch", "--show-current").strip() == "main"
    assert server.change(number)["patch_set"] == 2

    listed = person.review("-l")
    assert f"{number}  main  Greet the world" in listed
    assert "greetings" in person.review("-ll")
    assert "Found 1 items for review" in listed

    greeting = person.directory / "greeting"
    person.review("-d", str(number))
    assert greeting.read_text() == "hello, whole world\n"
    compared = person.review("-R", "-m", f"{number},1-2")
    assert "-hello, world\n+hello, whole world" in compared
    person.review("-d", f"{number},1")
    assert greeting.read_text() == "hello, world\n"
    assert person.git("branch", "--show-current").strip() == f"review/{number}-patch1"

    # A token in the address does as well.
    (person.home / ".git-credentials").unlink()
    address = server.url.removeprefix("http://")
    person.git("remote", "set-url", "cupel", f"http://ada:{server.token}@{address}/{work.project}")
    assert "Found 1 items for review" in person.review("-l")

    # What Gerrit gives as the address of those who log in.
    logged_in = f"{server.url}/a/{work.project}"
    assert "refs/heads/main" in person.git("ls-remote", logged_in)


def test_a_change_is_checked_out_in_a_work_tree(server: Server, project: Project) -> None:
    work = project(serving.jobs(tests="cat greeting") | {"greeting": "hello\n"})
    number = work.propose("Look at me", {"greeting": "hello you\n"})
    proposed = work.git("rev-parse", "HEAD")
    work.start_over()
    done = server.cli("change", "checkout", f"{number}/1", "--branch", "look", cwd=work.directory)
    assert done.returncode == 0, done.stderr
    assert f"#{number}, patch set 1, on look" in done.stdout
    assert work.git("rev-parse", "HEAD") == proposed
    missing = server.cli("change", "checkout", f"{number}/2", cwd=work.directory)
    assert (missing.returncode, f"change {number} has no patch set 2" in missing.stderr) == (
        2,
        True,
    )
    mine = server.cli("change", "list", "--mine", "--project", work.project)
    assert f"#{number}" in mine.stdout
