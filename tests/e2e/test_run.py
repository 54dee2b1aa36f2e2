"""`cupel run` beside a server: the same image, the same environment, the same files."""

from __future__ import annotations

import json

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
