"""Tests that fail for no reason: they block nobody, are known then, and can be quarantined."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from e2e.conftest import Project
from e2e.server import Server

pytestmark = pytest.mark.e2e

SUITE = """\
# `slow` fails in a run that begins before its service is up, `broken` where a file says so.
up=$(cat up 2>/dev/null || echo 0) began=$(date +%s) bad=0 said=
while [ "$(date +%s)" -lt "$up" ]; do sleep 0.2; done
check() {
    [ "$2" = yes ] && why= || { bad=1; why="<failure message='no $1'/>"; }
    said="$said<testcase classname='suite' name='$1'>$why</testcase>"
}
for test in ${*:-good slow broken}; do
    case $test in
        good) check good yes;;
        slow) check slow "$([ "$began" -ge "$up" ] && echo yes)";;
        broken) check broken "$([ ! -e broken ] && echo yes)";;
    esac
done
echo "<testsuite name='all'>$said</testsuite>" > "$CUPEL_RESULTS/all.xml"
[ ! -e crash ] || exit 3
exit $bad
"""
JOB: dict[str, Any] = {
    "machine": "small",
    "steps": [{"name": "suite", "run": "sh suite.sh", "failed-tests": 1}],
}


def files(job: dict[str, Any]) -> dict[str, str]:
    config = {"jobs": {"tests": job}, "check": ["tests"], "gate": ["tests"]}
    return {"suite.sh": SUITE, ".cupel.yaml": json.dumps(config)}


FILES = files(JOB)
HOW = ("failed", "passed")
PATIENCE = 6
"""Seconds within which a build begins after its push, so that the service is not up yet."""


ALONE = {**JOB["steps"][0], "rerun-failed": "sh suite.sh ${CUPEL_FAILED_TESTS//suite::/}"}
"""The step that can run failed tests alone."""


def soon() -> str:
    return f"{int(time.time()) + PATIENCE}\n"


def test_a_flaky_test_blocks_nobody_and_is_known_with_its_proof(
    server: Server, project: Project
) -> None:
    work = project(files({**JOB, "steps": [ALONE]}))
    good = work.propose("Say something", {"greeting": "hello\n"}, "land")
    assert server.ended(good)["state"] == "landed"
    change = work.propose("Wait for a service", {"up": soon()}, "land")
    assert server.ended(change, seconds=60)["state"] == "landed"
    [found] = server.get(f"/api/flakes?project={work.project}")
    assert (found["test"], found["count"]) == ("suite::slow", 1)
    failed, passed = (server.get(f"/api/builds/{found['proofs'][0][how]}") for how in HOW)
    assert (failed["verdict"], passed["verdict"]) == ("failure", "success")
    assert (failed["change"], failed["key"]) == (change, passed["key"])
    assert passed["reason"].startswith(f"what build {failed['id']} failed passed alone")
    assert "no broken" not in server.log(passed["id"])
    said = server.cli("flake", "list", "--project", work.project).stdout
    assert "suite::slow" in said
    page = server.request("GET", f"/flakes?project={work.project}").text
    assert "slow</bdi>" in page
    assert f'href="/builds/{passed["id"]}"' in page


def test_what_failed_is_run_again_as_it_was(server: Server, project: Project) -> None:
    work = project(FILES)
    change = work.propose("Wait for a service", {"up": soon()})
    assert server.ended(change, "check", seconds=60)["items"][0]["item"]["state"] == "rejected"
    before = server.get(f"/api/builds/{server.builds(change)[0]['id']}")
    said = server.cli("retry", f"#{change}").stdout
    assert f"change {change} is run again in check" in said
    ended = server.ended(change, "check", seconds=60)
    assert ended["items"][0]["item"]["state"] == "passed"
    after = server.get(f"/api/builds/{server.builds(change)[-1]['id']}")
    same = ("buildset", "commit", "tree", "key", "job", "env", "inputs")
    assert {key: after[key] for key in same} == {key: before[key] for key in same}
    assert after["on"]["image"] == before["on"]["image"]
    assert [each["verdict"] for each in after["attempts"]] == ["failure", "success"]
    refused = server.request("POST", f"/api/changes/{change}/retry")
    assert (refused.status_code, "none of its jobs has failed" in refused.text) == (409, True)
    assert server.cli("retry", str(after["id"])).returncode == 0
    server.ended(change, "check", seconds=60)
    assert len(server.get(f"/api/builds/{after['id']}")["attempts"]) == 3


def test_a_quarantined_test_does_not_block_but_a_crash_does(
    server: Server, project: Project
) -> None:
    work = project(FILES)
    good = work.propose("Say something", {"greeting": "hello\n"}, "land")
    assert server.ended(good)["state"] == "landed"
    words = ("--owner", "ada", "--until", "14d", "--reason", "it is being mended")
    where = ("--project", work.project)
    added = server.cli("quarantine", "add", "suite::broken", *where, *words)
    assert added.returncode == 0, added.stderr
    work.git("fetch", "--quiet", work.remote(), "main")
    work.git("checkout", "--quiet", "--detach", "FETCH_HEAD")
    work.commit("Break a test", {"broken": "yes\n"})
    pushed = work.push("land", "wait")
    assert f"Change {pushed.change} landed" in pushed.remote
    assert "tests: passed but for quarantined in" in pushed.remote
    assert "suite::broken" in pushed.remote
    [build] = [b for b in server.builds(pushed.change) if b["verdict"] == "success"]
    assert (build["icon"], build["but_for"]) == ("passed but for quarantined", ["suite::broken"])
    page = server.request("GET", f"/builds/{build['id']}").text
    assert "passed but for quarantined" in page
    work.commit("Crash", {"crash": "yes\n"})
    crashed = work.push().change
    assert server.ended(crashed, "check")["items"][0]["item"]["state"] == "rejected"
    [build] = server.builds(crashed)
    assert "every test that failed is quarantined, but step 'suite' ended with 3" in build["reason"]
