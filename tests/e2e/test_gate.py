"""What the gate keeps out, and what it lets through meanwhile."""

from __future__ import annotations

import json

import pytest

from e2e import server as serving
from e2e.conftest import Project
from e2e.server import Server

pytestmark = pytest.mark.e2e

SUM = serving.jobs(
    tests='[ "$(cat a b 2>/dev/null | grep -c x)" -lt 2 ] || { echo two x; exit 1; }'
)


def test_a_change_that_fails_is_told_its_last_lines(server: Server, project: Project) -> None:
    work = project(serving.jobs(tests="sh test.sh") | {"test.sh": "true\n"})
    work.start_over()
    work.commit("Break it", {"test.sh": "echo expected 4, got 5 >&2; exit 3\n"})
    pushed = work.push("land", "wait")
    assert "expected 4, got 5" in pushed.remote
    assert "step 'sh test.sh' exited with status 3" in pushed.remote
    assert f"Change {pushed.change} rejected in gate: job tests failed" in pushed.remote
    assert serving.first_parents(work) == ["Begin"]


def test_changes_that_are_good_only_alone_do_not_both_land(
    server: Server, project: Project
) -> None:
    work = project(SUM | {"a": "\n", "b": "\n"})
    # The first takes its time, so that all three are in the gate together.
    slow = {**json.loads(SUM[".cupel.yaml"])}
    slow["jobs"]["tests"]["steps"].insert(0, "sleep 1")
    first = work.propose("One x", {"a": "x\n", ".cupel.yaml": json.dumps(slow)}, "land")
    work.git("checkout", "--quiet", "--detach", "main")
    work.commit("Another x", {"b": "x\n"})
    second = work.push("land").change
    work.git("checkout", "--quiet", "--detach", "main")
    work.commit("Unrelated", {"c": "y\n"})
    third = work.push("land").change
    assert server.ended(first)["state"] == "landed"
    assert server.ended(third)["state"] == "landed"
    rejected = server.ended(second)
    assert rejected["state"] == "open"
    failed = [build for build in server.builds(second) if build["verdict"] == "failure"]
    assert len(failed) > 1, "it is only believed when it has been seen again"
    assert all("two x" in server.log(build["id"]) for build in failed)


def test_a_conflict_names_its_files(server: Server, project: Project) -> None:
    work = project(serving.jobs(tests="true") | {"greeting": "hello\n"})
    work.start_over()
    work.commit("Say hallo", {"greeting": "hallo\n"})
    work.push("land", "wait")
    work.git("checkout", "--quiet", "--detach", "main")
    work.commit("Say salut", {"greeting": "salut\n"})
    pushed = work.push("land", "wait")
    assert "conflicts in greeting" in pushed.remote
    assert f"Change {pushed.change} rejected in gate" in pushed.remote


def test_jobs_hand_what_they_make_to_those_that_need_them(server: Server, project: Project) -> None:
    work = project(
        serving.jobs(
            make={
                "steps": ['echo made > "$CUPEL_ARTIFACTS/thing"'],
                "matrix": {"flavour": ["sweet", "sour"]},
                "env": {"TASTE": "{{matrix.flavour}}"},
            },
            test={
                "needs": ["make"],
                "steps": ['ls -R "$CUPEL_NEEDS"', '[ $(cat "$CUPEL_NEEDS"/*/thing | wc -l) = 2 ]'],
            },
        )
    )
    work.start_over()
    work.commit("Use it", {"x": "x"})
    pushed = work.push("land", "wait")
    assert "make (flavour=sweet): success" in pushed.remote
    assert f"Change {pushed.change} landed" in pushed.remote, pushed.text


def test_steps_know_where_they_are(server: Server, project: Project) -> None:
    work = project(
        serving.jobs(
            look={
                "steps": ["env | sort", "git -C . log -1 --format=%H", 'test "$TASTE" = "a b"'],
                "env": {"TASTE": "a b"},
            }
        )
    )
    number = work.propose("Look around", {"x": "x"}, "land", "wait")
    (build,) = server.builds(number)
    log = server.log(build["id"])
    for line in (
        f"CUPEL_PROJECT={work.project}", "CUPEL_JOB=look", "CUPEL_BRANCH=main",
        "CUPEL_PIPELINE=gate", f"CUPEL_CHANGE={number}", "CUPEL_PATCH_SET=1", "CI=true",
    ):  # fmt: skip
        assert line in log.splitlines()
    assert server.change(number)["landed_commit"] in log.splitlines()
    assert server.token not in log


def test_a_job_without_a_vote_does_not_block(server: Server, project: Project) -> None:
    jobs = serving.jobs(tests="true", style={"steps": ["echo ugly; false"], "voting": False})
    work = project(jobs)
    work.start_over()
    work.commit("Ugly but good", {"x": "x"})
    pushed = work.push("land", "wait")
    assert f"Change {pushed.change} landed" in pushed.remote
    verdicts = {build["job"]: build["verdict"] for build in server.builds(pushed.change)}
    assert verdicts["tests"] == "success"
    assert verdicts.get("style") in ("failure", "cancelled", None)


def test_a_timeout_names_the_step(server: Server, project: Project) -> None:
    steps = [{"name": "quick", "run": "true"}, {"name": "endless", "run": "sleep 1000"}]
    work = project(serving.jobs(tests={"steps": steps, "timeout": "2s"}))
    work.start_over()
    work.commit("Take long", {"x": "x"})
    pushed = work.push("land", "wait")
    assert "timeout" in pushed.remote
    assert "took longer than 2 s, in step 'endless'" in pushed.remote


def test_a_change_may_bring_its_own_jobs(server: Server, project: Project) -> None:
    work = project(serving.jobs(tests="true"))
    work.start_over()
    work.commit("Stricter from now on", serving.jobs(tests="true", extra="echo from the change"))
    pushed = work.push("land", "wait")
    assert "extra: success" in pushed.remote
