import base64
import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.api import gerrit
from cupel.api.gerrit import GUARD, Query, parse
from cupel.control.auth import Scope
from cupel.core.model import ChangeState
from cupel.errors import UserError
from unit.api.calls import Server, call, get


def asked(directory: Path, query: str) -> list[dict[str, object]]:
    answer = get(directory, f"/changes/?q={query}")
    assert answer.status_code == 200, answer.text
    assert answer.text.startswith(GUARD)
    found: list[dict[str, object]] = json.loads(answer.text[4:])
    return found


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("", Query()),
        (
            "project:demo status:open",
            Query(project="demo", states=(ChangeState.OPEN,)),
        ),
        (
            'project:"a b" branch:refs/heads/main is:merged',
            Query(project="a b", branch="main", states=(ChangeState.LANDED,)),
        ),
        ("topic:{one two}", Query(topic="one two")),
        ("17", Query(number=17)),
        ("change:17", Query(number=17)),
        ("I0123abcd", Query(key="I0123abcd")),
    ],
)
def test_queries_are_read_in_gerrits_words(text: str, query: Query) -> None:
    assert parse(text) == query


@pytest.mark.parametrize("text", ["owner:self", "label:Code-Review=2", "status:pending", "words"])
def test_what_git_review_does_not_ask_is_refused_in_words(text: str) -> None:
    with pytest.raises(UserError, match="does not understand") as caught:
        parse(text)
    assert "git-review" in (caught.value.hint or "")


@given(st.text(max_size=80))
def test_any_query_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(UserError):
        parse(text)


@pytest.mark.parametrize("value", ["%00", "%ff", "branch:%00", "topic:%ed%a0%80", "I" + "0" * 65])
def test_a_strange_query_is_an_answer(tmp_path: Path, value: str) -> None:
    assert get(tmp_path, f"/changes/?q={value}").status_code in (200, 400)


def test_an_unreadable_query_is_an_answer_too(tmp_path: Path) -> None:
    answer = get(tmp_path, "/changes/?q=%22open")
    assert (answer.status_code, "cannot be read" in answer.text) == (400, True)


def test_a_list_has_what_git_review_prints(tmp_path: Path) -> None:
    found = asked(tmp_path, "project:demo%20status:open")
    assert found
    assert all(each["status"] == "NEW" and each["project"] == "demo" for each in found)
    assert [each["_number"] for each in found] == sorted(
        (int(str(each["_number"])) for each in found), reverse=True
    )
    # git-review cannot print a topic that is null.
    assert all(each.get("topic", "") is not None for each in found)
    assert all("revisions" not in each for each in found)


def test_one_change_has_the_ref_of_its_newest_patch_set(tmp_path: Path) -> None:
    number = asked(tmp_path, "status:open")[0]["_number"]
    (found,) = asked(tmp_path, f"{number}&o=CURRENT_REVISION")
    revisions = found["revisions"]
    assert isinstance(revisions, dict)
    newest = revisions[found["current_revision"]]
    assert newest["ref"].startswith(f"refs/changes/{int(str(number)) % 100:02}/{number}/")
    assert newest["fetch"]["http"]["ref"] == newest["ref"]


def test_a_project_that_is_not_there_has_no_changes(tmp_path: Path) -> None:
    assert asked(tmp_path, "project:nothing") == []


def test_both_addresses_and_options_that_are_not_there(tmp_path: Path) -> None:
    assert get(tmp_path, "/a/changes/?q=status:open").status_code == 200
    assert get(tmp_path, "/changes/?q=1&o=LABELS").status_code == 400


def test_a_mere_name_in_the_address_is_nobody_and_may_read_what_anybody_may(
    tmp_path: Path,
) -> None:
    name = "Basic " + base64.b64encode(b"ada:").decode()
    assert get(tmp_path, "/changes/?q=status:open", Authorization=name).status_code == 200


def test_where_a_login_is_asked_for_the_client_is_sent_for_its_password(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        server.world.config.read = "login"
        name = "Basic " + base64.b64encode(b"ada:").decode()
        refused = await server.client.get(
            "/changes/?q=status:open", headers={"Authorization": name}
        )
        assert refused.status_code == 401
        token = (await server.bearer(Scope.READ))["Authorization"].removeprefix("Bearer ")
        pair = base64.b64encode(f"ada:{token}".encode()).decode()
        given = await server.client.get(
            "/changes/?q=status:open", headers={"Authorization": f"Basic {pair}"}
        )
        assert given.status_code == 200

    call(tmp_path, ask)


class Repository:
    """A repository with our hook."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self("init", "--quiet", "--initial-branch=main")
        hook = path / ".git/hooks/commit-msg"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(gerrit.hook())
        hook.chmod(0o755)

    def __call__(self, *words: str) -> str:
        env = {
            "PATH": os.environ["PATH"], "HOME": str(self.path), "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org",
            "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org",
        }  # fmt: skip
        done = subprocess.run(
            ["git", *words], cwd=self.path, env=env, capture_output=True, text=True, check=True
        )
        return done.stdout

    def commit(self, message: str, *more: str) -> str:
        self("commit", "--quiet", "--allow-empty", "--message", message, *more)
        return self("log", "-1", "--format=%B").strip()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "repo").mkdir()
    return Repository(tmp_path / "repo")


def keys(message: str) -> list[str]:
    return [line for line in message.splitlines() if line.startswith("Change-Id: I")]


def test_the_hook_gives_each_commit_its_own_id(repository: Repository) -> None:
    one, two = repository.commit("Same"), repository.commit("Same")
    assert len(keys(one)) == len(keys(two)) == 1
    assert keys(one) != keys(two)
    assert len(keys(one)[0]) == len("Change-Id: I") + 40


def test_an_id_stays_when_the_commit_is_amended(repository: Repository) -> None:
    message = repository.commit("First")
    repository("commit", "--quiet", "--amend", "--no-edit", "--allow-empty")
    assert repository("log", "-1", "--format=%B").strip() == message


def test_the_id_joins_the_trailers_even_behind_a_divider(repository: Repository) -> None:
    message = repository.commit("Two\n\nBody\n---\nmore body\n\nSigned-off-by: x <x@y>")
    assert message.splitlines()[-2].startswith("Signed-off-by")
    assert keys(message) == [message.splitlines()[-1]]


@pytest.mark.parametrize("word", ["fixup", "squash", "amend"])
def test_what_becomes_part_of_another_commit_gets_none(repository: Repository, word: str) -> None:
    assert keys(repository.commit(f"{word}! Two")) == []


def test_an_id_in_the_text_is_not_the_commits_own(repository: Repository) -> None:
    message = repository.commit("Revert\n\nChange-Id: I0123456789abcdef\n\nIt was wrong.")
    assert len(keys(message)) == 2


def test_the_hook_can_be_switched_off(repository: Repository) -> None:
    repository("config", "gerrit.createChangeId", "false")
    assert keys(repository.commit("Plain")) == []


def test_comments_and_the_diff_of_verbose_are_no_message(repository: Repository) -> None:
    hook = repository.path / ".git/hooks/commit-msg"
    file = repository.path / "message"
    scissors = f"# {'-' * 24} >8 {'-' * 24}"
    empty = f"\n# Please enter the message\n{scissors}\ndiff --git a b\n"
    file.write_text(empty)
    env = {"PATH": os.environ["PATH"], "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@b"}
    subprocess.run([hook, file], cwd=repository.path, env=env, check=True)
    assert file.read_text() == empty
    file.write_text(f"Say something\n{empty}+Change-Id: I12345678\n")
    subprocess.run([hook, file], cwd=repository.path, env=env, check=True)
    before, _, after = file.read_text().partition(scissors)
    assert len(keys(before)) == 1
    assert keys(after) == []


def test_the_hook_is_served_to_everybody(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        server.world.config.read = "login"
        answer = await server.client.get("/tools/hooks/commit-msg")
        assert answer.status_code == 200
        assert answer.text.startswith("#!/bin/sh\n")

    call(tmp_path, ask)
