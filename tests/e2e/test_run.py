"""`cupel run` beside a server: the same image, the same environment, the same files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from e2e import server as serving
from e2e.conftest import Project
from e2e.server import Server

pytestmark = pytest.mark.e2e

LOOK = (
    "env | sort; id; umask; ulimit -a; git log -1 --format=%T; "
    "ls -la . | sed 's/ [A-Z][a-z][a-z] .*:.. / /'"
)
DIFFERS = ("CUPEL_BUILD=", "CUPEL_CHANGE=", "CUPEL_COMMIT=", "CUPEL_PATCH_SET=", "CUPEL_PIPELINE=",
           "HOSTNAME=", "PWD=", "OLDPWD=")  # fmt: skip
"""What the documentation says is not the same; and the number of a machine, in its name."""


OF_INPUTS = """\
jobs:
  tests: {machine: small, steps: [cat src.txt], inputs: [src.txt]}
check: [tests]
"""


def lines(said: str) -> list[str]:
    return [line for line in said.splitlines() if not line.startswith(DIFFERS)]


def test_a_job_sees_here_what_it_sees_in_the_queue(server: Server, project: Project) -> None:
    work = project(serving.jobs(look=LOOK) | {"tool": "#!/bin/sh\n"})
    number = work.propose("Look", {"more": "of it\n"}, "wait")
    work.git("remote", "add", "cupel", work.remote())
    work.git("checkout", "--quiet", "-B", "main")
    (build,) = server.builds(number)
    there = server.get(f"/api/builds/{build['id']}")
    since = server.cli("run", "--path", work.directory, "--since", "HEAD~1")
    assert f"✓ look is not run: it passed there as build {build['id']}" in since.stdout
    done = server.cli("run", "--path", work.directory, "--json", "look")
    assert done.returncode == 0, done.stdout + done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    (image,) = (each["image"] for each in told if each["event"] == "machine.ready")
    assert image == there["on"]["image"]
    here = "".join(each["data"] for each in told if each["event"] == "printed")
    assert lines(here) == lines(server.log(build["id"]))


def test_a_pass_here_that_is_offered_counts_there_where_the_operator_allows_it(
    machines: None, tmp_path: Path
) -> None:
    with serving.running(
        tmp_path / "state", serving.config(evidence={"offers": "write"})
    ) as allowing:
        files = {".cupel.yaml": OF_INPUTS, "src.txt": "it\n", "notes.txt": "\n"}
        work = serving.project(allowing, tmp_path, "offers", files)
        work.git("remote", "add", "cupel", work.remote())
        work.start_over()
        run = ("run", "--path", work.directory, "--offer", "tests")
        work.write({"notes.txt": "not committed\n"})
        dirty = allowing.cli(*run)
        assert (dirty.returncode, "commit and push it first" in dirty.stderr) == (2, True)
        work.commit("Not pushed", {})
        alone = allowing.cli(*run)
        assert "is in no branch of offers" in alone.stdout, alone.stderr
        assert (alone.returncode, "no pass of these jobs" in alone.stderr) == (2, True)
        work.start_over()
        done = allowing.cli(*run)
        assert done.returncode == 0, done.stdout + done.stderr
        offered = re.search(r"tests is build (\d+) of the server by your word", done.stdout)
        assert offered is not None, done.stdout
        number = work.propose("Notes", {"notes.txt": "more\n"}, "wait")
        (reused,) = allowing.builds(number)
        assert reused["reused_from"] == int(offered[1])
        shown = allowing.cli("build", "show", reused["id"]).stdout
        user = allowing.get(f"/api/builds/{offered[1]}")["offer"]["by"]
        assert f"offered by {user} from" in shown
        page = allowing.request("GET", f"/builds/{offered[1]}").text
        assert f"Offered by <bdi>{user}</bdi>" in page
        assert f"It stayed with {user}." in page


def test_a_server_takes_none_unless_its_operator_allows_it(
    server: Server, project: Project
) -> None:
    work = project(serving.jobs(tests="true"))
    work.git("remote", "add", "cupel", work.remote())
    work.start_over()
    done = server.cli("run", "--path", work.directory, "--offer")
    assert done.returncode == 2
    assert "this server takes no passes" in done.stderr
    assert "▶" not in done.stdout
