"""From a push to a landed tree, as those see it who push, approve and fetch."""

from __future__ import annotations

import pytest

from e2e import server as serving
from e2e.conftest import Project
from e2e.server import Server

pytestmark = pytest.mark.e2e

GREEN = serving.jobs(tests="cat greeting; grep -q hello greeting") | {"greeting": "hello\n"}


def test_a_good_change_lands_while_its_author_looks_on(server: Server, project: Project) -> None:
    work = project(GREEN)
    work.start_over()
    work.commit("Greet the world", {"greeting": "hello, world\n"})
    pushed = work.push("land", "wait")
    number = pushed.change
    assert pushed.ok, pushed.text
    assert f"Change {number}: Greet the world (new)" in pushed.remote
    assert f"{server.url}/changes/{number}" in pushed.remote
    assert "tests: success in " in pushed.remote
    view = server.change(number)
    assert f"Change {number} landed on main as {view['landed_commit']}" in pushed.remote


def test_main_moves_to_exactly_the_tree_that_was_tested(server: Server, project: Project) -> None:
    work = project(GREEN)
    number = work.propose("Land me", {"greeting": "hello again\n"}, "land", "wait")
    view = server.change(number)
    (gate,) = [each for each in view["items"] if each["item"]["pipeline"] == "gate"]
    work.git("fetch", "--quiet", work.remote(), "main")
    assert work.git("rev-parse", "FETCH_HEAD") == view["landed_commit"]
    assert work.git("rev-parse", "FETCH_HEAD^{tree}") == gate["buildsets"][0]["tree"]
    assert work.git("show", "FETCH_HEAD:greeting") == "hello again"
    assert serving.first_parents(work) == ["Land me", "Begin"]


def test_a_checked_change_lands_when_somebody_approves(server: Server, project: Project) -> None:
    work = project(GREEN)
    work.start_over()
    work.commit("Wait for an approval", {"greeting": "hello there\n"})
    pushed = work.push("wait")
    number = pushed.change
    assert f"Change {number} passed check; to land it: cupel approve {number}" in pushed.remote
    assert server.change(number)["state"] == "open"
    approved = server.cli("approve", str(number))
    assert approved.returncode == 0, approved.stderr
    assert server.ended(number)["state"] == "landed"
    again = server.cli("approve", str(number))
    assert again.returncode == 2
    assert f"change {number} is landed" in again.stderr


def test_a_stack_lands_in_its_order(server: Server, project: Project) -> None:
    work = project(GREEN)
    work.start_over()
    for title in ("First of three", "Second of three", "Third of three"):
        work.commit(title, {f"{title.split()[0]}.txt": title})
    pushed = work.push("land", "wait")
    assert len(pushed.changes) == 3, pushed.text
    assert [server.change(n)["state"] for n in pushed.changes] == ["landed"] * 3
    assert serving.first_parents(work) == [
        "Third of three", "Second of three", "First of three", "Begin",
    ]  # fmt: skip


def test_of_a_stack_only_what_is_approved_and_below_lands(server: Server, project: Project) -> None:
    work = project(GREEN)
    work.start_over()
    for title in ("Lower", "Upper"):
        work.commit(title, {f"{title}.txt": title})
    lower, upper = work.push("wait").changes
    waiting = server.cli("approve", str(upper))
    assert f"needs #{lower}" in waiting.stdout
    assert server.change(upper)["state"] == "open"
    server.cli("approve", str(lower))
    assert server.ended(lower)["state"] == "landed"
    assert server.ended(upper)["state"] == "landed"


def test_an_amended_commit_is_the_next_patch_set(server: Server, project: Project) -> None:
    work = project(GREEN)
    message = "Improve\n\nChange-Id: I0123456789abcdef0123456789abcdef01234567"
    work.start_over()
    work.commit(message, {"greeting": "hello 1\n"})
    first = work.push("wait")
    work.commit(message.replace("Improve", "Improve more"), {"greeting": "hello 2\n"}, amend=True)
    second = work.push("wait")
    assert second.change == first.change
    assert f"Change {first.change}: Improve more (patch set 2)" in second.remote
    assert server.change(first.change)["patch_set"] == 2


def test_pushing_the_same_commit_again_changes_nothing(server: Server, project: Project) -> None:
    work = project(GREEN)
    number = work.propose("Only once", {"greeting": "hello once\n"}, "wait")
    builds = server.builds(number)
    again = work.push("wait")
    assert not again.ok
    assert "no new changes" in again.text
    assert f"Change {number} passed check" in again.remote
    assert server.builds(number) == builds


def test_a_bystander_fetches_every_patch_set(server: Server, project: Project) -> None:
    work = project(GREEN)
    number = work.propose("Look at me", {"greeting": "hello you\n"})
    commit = work.git("rev-parse", "HEAD")
    ref = f"refs/changes/{number % 100:02}/{number}/1"
    public = work.remote().replace(f"{work.author}:{server.token}@", "")
    assert work.git("ls-remote", public, ref) == f"{commit}\t{ref}"


def test_a_new_repository_gets_its_first_commit_through_the_gate(
    server: Server, project: Project
) -> None:
    work = project(GREEN)
    made = server.cli("project", "add", "from-nothing")
    assert made.returncode == 0, made.stderr
    work.git("checkout", "--quiet", "main")
    pushed = work.push("land", "wait", remote=work.remote(project="from-nothing"))
    assert f"Change {pushed.change} landed on main" in pushed.remote
