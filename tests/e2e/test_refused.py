"""Pushes that cannot be taken: they say why, leave nothing behind, and harm nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e import server as serving
from e2e.conftest import Project
from e2e.server import Pushed, Server, Work

pytestmark = pytest.mark.e2e

JOB = "  tests:\n    machine: small\n    steps: [make]\n"


@pytest.fixture
def work(project: Project) -> Work:
    return project(serving.jobs(tests="true"))


def repository(server: Server, work: Work) -> Path:
    return server.state / "git" / f"{work.project}.git"


def contents(repo: Path) -> set[Path]:
    """Every object and ref, wherever it may lie."""
    return {
        path
        for part in ("objects", "refs", "packed-refs")
        for path in (repo / part).rglob("*")
        if path.is_file()
    }


def push_config(work: Work, text: str) -> Pushed:
    work.start_over()
    work.commit("Configure", {".cupel.yaml": text})
    return work.push("land", "wait")


@pytest.mark.parametrize(
    ("text", "where", "told"),
    [
        pytest.param("jobs: [\n", ".cupel.yaml:2:1", "", id="malformed"),
        pytest.param(
            f"jobs:\n{JOB}    timeuot: 5m\ngate: [tests]\n",
            ".cupel.yaml:5:5", "timeout", id="unknown key",
        ),
        pytest.param(
            f"jobs:\n{JOB}    needs: [other]\n  other:\n    machine: small\n    steps: [make]\n"
            "    needs: [tests]\ngate: [tests]\n",
            ".cupel.yaml:", "tests", id="cycle",
        ),
        pytest.param(
            f"jobs:\n{JOB.replace('small', 'smal')}gate: [tests]\n",
            ".cupel.yaml:3:14", "small", id="unknown label",
        ),
        pytest.param("jobs: {}\ngate: [nothing]\n", ".cupel.yaml:2:8", "nothing", id="no job"),
        pytest.param("a: &a [*a, *a]\n", ".cupel.yaml:", "", id="recursive"),
        pytest.param("\x00\x1b[2J", ".cupel.yaml:", "", id="binary"),
        pytest.param("[" * 10_000, ".cupel.yaml:", "", id="deep"),
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_used(
    text: str, where: str, told: str, server: Server, work: Work
) -> None:
    before = contents(repository(server, work))
    pushed = push_config(work, text)
    assert not pushed.ok
    assert where in pushed.remote, pushed.text
    assert told in pushed.remote
    assert "Nothing of this push was taken." in pushed.remote
    assert "\x1b[2J" not in pushed.text
    assert contents(repository(server, work)) == before
    assert server.get(f"/api/changes?project={work.project}")["entries"] == []


def test_a_bad_push_to_one_project_lets_the_others_go_on(
    server: Server, project: Project, work: Work
) -> None:
    other = project(serving.jobs(tests="true"))
    assert not push_config(work, "jobs: [\n").ok
    number = other.propose("Go on", {"x": "x"}, "land", "wait")
    assert server.change(number)["state"] == "landed"


def test_a_guarded_branch_says_what_to_type_instead(server: Server, work: Work) -> None:
    work.start_over()
    work.commit("Sneak in", {"x": "x"})
    for ref in ("HEAD:main", "+HEAD:refs/heads/main"):
        pushed = work.push(ref=ref)
        assert not pushed.ok
        assert "HEAD:refs/for/main" in pushed.remote, pushed.text
    assert "it cannot be deleted" in work.push(ref=":main").remote
    assert serving.first_parents(work) == ["Begin"]


@pytest.mark.parametrize(
    "ref", ["HEAD:refs/changes/01/1/1", "HEAD:refs/cupel/states/1", "HEAD:refs/notes/x",
            "HEAD:refs/for/nowhere"],
)  # fmt: skip
def test_cupels_own_refs_are_its_own(ref: str, work: Work) -> None:
    work.start_over()
    work.commit("Sneak in", {"x": "x"})
    assert not work.push(ref=ref).ok


def test_unknown_options_name_the_nearest(work: Work) -> None:
    work.start_over()
    work.commit("With a typo", {"x": "x"})
    pushed = work.push("lnad")
    assert not pushed.ok
    assert "land" in pushed.remote


def test_nothing_to_propose_is_said(work: Work) -> None:
    work.start_over()
    pushed = work.push("land", "wait")
    assert not pushed.ok
    assert "main" in pushed.remote


@pytest.mark.parametrize("token", ["", "wrong", "cupel_" + "A" * 43])
def test_a_wrong_token_may_not_push(token: str, work: Work) -> None:
    work.start_over()
    pushed = work.push(ref="HEAD:refs/for/main", remote=work.remote(token=token))
    assert not pushed.ok
    assert "Authentication failed" in pushed.text or "could not read" in pushed.text


def test_a_token_that_may_only_read_may_not_push(server: Server, work: Work) -> None:
    made = server.cli("token", "create", "reader", "--scope", "read")
    remote = work.remote(token=made.stdout.strip())
    assert work.git("ls-remote", remote, "refs/heads/main")
    work.start_over()
    work.commit("Sneak in", {"x": "x"})
    pushed = work.push(remote=remote)
    assert not pushed.ok
    assert "403" in pushed.text


def test_a_revoked_token_is_none(server: Server, work: Work) -> None:
    made = server.post("/api/tokens", {"name": "gone soon", "scopes": ["write"]})
    headers = {"Authorization": f"Bearer {made['secret']}"}
    assert server.request("GET", "/api/status", headers=headers).status_code == 200
    assert server.cli("token", "revoke", str(made["id"])).returncode == 0
    assert server.request("GET", "/api/status", headers=headers).status_code == 401
    work.start_over()
    work.commit("Sneak in", {"x": "x"})
    assert "Authentication failed" in work.push(remote=work.remote(token=made["secret"])).text


def test_an_unknown_project_is_said(work: Work) -> None:
    work.start_over()
    pushed = work.push(remote=work.remote(project="nowhere"))
    assert not pushed.ok
    assert "not found" in pushed.text


@pytest.mark.parametrize(
    "name", ["../x", "a/b", ".git", "api", "x.lock", "-x", "", "ä", "a" * 65, "x\x1b[2J"]
)
def test_names_that_no_project_may_have(name: str, server: Server) -> None:
    made = server.cli("project", "add", "--", name)
    assert made.returncode == 2, made.stdout
    assert "\x1b" not in made.stderr


def test_a_source_that_is_no_repository_is_said(server: Server, tmp_path: Path) -> None:
    for source in (str(tmp_path), "/nowhere", "ext::sh -c 'touch /tmp/owned'", "--upload-pack=x"):
        made = server.cli("project", "add", "imported", f"--from={source}")
        assert made.returncode in (2, 3), made.stderr
        assert made.stderr.startswith("cupel: ")
    assert server.request("GET", "/api/projects/imported").status_code == 404
