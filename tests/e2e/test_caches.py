"""Caches between builds, as those see it who push."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from e2e import server as serving
from e2e.conftest import Project
from e2e.server import Server, wait_for
from integration import images

pytestmark = pytest.mark.e2e

STEP = """
if [ -e ~/.cache/made/by ]; then echo "found that of $(cat ~/.cache/made/by)"
else echo found nothing; mkdir -p ~/.cache/made; echo "$CUPEL_BUILD" >~/.cache/made/by; fi
! grep -q bad greeting
"""
CONFIG = json.dumps(
    {
        "jobs": {
            "tests": {
                "machine": "small",
                "cache": [{"path": "~/.cache/made", "name": "made", "files": ["lock"]}],
                "steps": [STEP],
            }
        },
        "gate": ["tests"],
    }
)


def _passed(server: Server, change: int) -> Any:
    return [b for b in server.builds(change) if b["verdict"] == "success"][-1]


def test_what_lands_is_given_to_the_next_and_what_is_rejected_is_not(
    server: Server, project: Project
) -> None:
    images.need()
    work = project({".cupel.yaml": CONFIG, "lock": "1\n", "greeting": "hello\n"})
    bad = work.propose("Poison it", {"greeting": "bad\n"}, "land", "wait")
    assert server.change(bad)["state"] == "open"
    first = work.propose("Make it", {"a": "1\n"}, "land", "wait")
    assert server.ended(first)["state"] == "landed"
    made = _passed(server, first)["id"]
    assert "found nothing" in server.log(made), "what was rejected left nothing"
    assert "cache made: saved" in server.log(made)
    listed = server.cli("cache", "list", work.project, "--json")
    (kept,) = json.loads(listed.stdout)
    assert (kept["name"], kept["build"], kept["state"]) == ("made", made, "ready")

    second = work.propose("Use it", {"b": "1\n"}, "land", "wait")
    used = _passed(server, second)["id"]
    assert f"found that of {made}" in server.log(used)
    (use,) = server.get(f"/api/builds/{used}")["caches"]
    assert use["restored"] == made
    assert use["exact"]
    assert use["text"].startswith(f"restored from build {made}, ")
    assert use["saved"] is None
    assert use["text"] in server.request("GET", f"/builds/{used}").text
    assert use["text"] in server.cli("build", "show", str(used)).stdout

    third = work.propose("Lock another", {"lock": "2\n"}, "land", "wait")
    (use,) = server.get(f"/api/builds/{_passed(server, third)['id']}")["caches"]
    assert (use["restored"], use["exact"]) == (made, False), "it begins with the newest"
    assert use["saved"] > 0
    assert server.cli("cache", "clear", work.project).stdout == "2 caches go\n"
    store = server.state / "caches"
    ours = {str(build) for build in (made, _passed(server, third)["id"])}
    wait_for(lambda: not ours & {path.name.partition(".")[0] for path in store.iterdir()})
    fourth = work.propose("Find none", {"c": "1\n"}, "land", "wait")
    assert "found nothing" in server.log(_passed(server, fourth)["id"])


@pytest.mark.slow
def test_a_server_that_is_killed_while_it_saves_leaves_no_half_cache(
    machines: None, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with serving.running(state) as server:
        job = {
            "machine": "small",
            "cache": "~/.cache/made",
            "steps": ["mkdir -p ~/.cache/made; head -c 120000000 /dev/urandom >~/.cache/made/big"],
        }
        files = {".cupel.yaml": json.dumps({"jobs": {"tests": job}, "gate": ["tests"]})}
        work = serving.project(server, tmp_path / "work", "killed", files)
        number = work.propose("Make much", {"a": "1\n"}, "land")
        incoming = state / "caches" / "incoming"
        wait_for(lambda: any(incoming.glob("*.made")), why="a cache that is being saved")
        server.kill()
        assert list((state / "caches").glob("*.made")) == []
        server.start()
        assert server.ended(number)["state"] == "landed"
        (kept,) = json.loads(server.cli("cache", "list", "--json").stdout)
        assert kept["state"] == "ready"
        assert [path.name for path in (state / "caches").glob("*.made")] == [
            f"{kept['build']}.made"
        ]
        assert list(incoming.iterdir()) == []


def test_what_a_check_saved_counts_when_its_change_lands_without_being_run_again(
    server: Server, project: Project
) -> None:
    job = {"machine": "small", "cache": "~/.cache/made", "steps": [STEP]}
    text = json.dumps({"jobs": {"tests": job}, "check": ["tests"], "gate": ["tests"]})
    work = project({".cupel.yaml": text, "greeting": "hello\n"})
    number = work.propose("Check it", {"a": "1\n"}, "wait")
    (kept,) = json.loads(server.cli("cache", "list", work.project, "--json").stdout)
    assert kept["state"] == "candidate"
    server.cli("approve", str(number))
    server.cli("land", str(number))
    assert server.ended(number)["state"] == "landed"
    assert [b["reused_from"] for b in server.builds(number)] == [None, kept["build"]]
    (kept,) = json.loads(server.cli("cache", "list", work.project, "--json").stdout)
    assert kept["state"] == "ready"
    after = work.propose("Use it", {"b": "1\n"}, "wait")
    assert f"found that of {kept['build']}" in server.log(server.builds(after)[-1]["id"])
