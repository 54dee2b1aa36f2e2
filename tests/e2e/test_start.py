"""From a project without a configuration to a landed one: init, lint, explain, import, push."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import httpx2
import pytest

from cupel.config import schema
from e2e.conftest import Project
from e2e.server import Server

pytestmark = pytest.mark.e2e

BARE = {"README": "x\n", "Makefile": "test:\n\ttest -e README\n"}
WORKFLOW = """\
on: push
jobs:
  build:
    runs-on: ${{ matrix.os }}
    strategy: {matrix: {os: [ubuntu-latest, windows-latest], part: [one, two]}}
    env: {WHERE: "${{ github.sha }}"}
    steps:
      - uses: actions/checkout@v4
      - run: |
          test "$WHERE" = "$(git rev-parse HEAD)"
          echo "PART=${{ matrix.part }}" >> "$GITHUB_ENV"
          mkdir bin out && echo "echo hello" > bin/greet && chmod +x bin/greet
          echo "$PWD/bin" >> "$GITHUB_PATH"
      - if: env.PART == 'two'
        run: exit 1
        continue-on-error: true
      - run: greet > "out/$PART" && sudo -E test -s "out/$PART"
      - uses: actions/upload-artifact@v4
        with: {name: greeting, path: out}
  check:
    runs-on: ubuntu-latest
    needs: build
    steps:
      - uses: actions/download-artifact@v4
        with: {name: greeting, path: got}
      - run: test "$(cat got/one got/two)" = "$(printf 'hello\\nhello')"
"""


def test_init_writes_what_lands_at_once(server: Server, project: Project) -> None:
    work = project(BARE)
    said = server.cli("init", str(work.directory))
    assert said.returncode == 0, said.stderr
    assert f"Its label small, without a network, is one of {server.url}" in said.stdout
    first = (work.directory / ".cupel.yaml").read_text().partition("\n")[0]
    address = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert address is not None
    assert httpx2.get(address[1], trust_env=False).json() == schema.project_schema()

    path = str(work.directory)
    assert server.cli("lint", path, "--server", "--strict").returncode == 0
    (job,) = json.loads(server.cli("explain", "--path", path, "--server", "--json").stdout)
    assert job["origins"]["machine"].startswith(".cupel.yaml:")
    assert job["labels"]["small"]["network"] == "none"

    work.commit("Prove it", {})
    pushed = work.push("land", "wait")
    assert pushed.ok, pushed.text
    assert "landed on main" in pushed.remote


def test_a_shell_is_told_what_the_server_has(server: Server, project: Project) -> None:
    work = project(BARE)
    line = f"cupel --state {server.state} project set {work.project[:-1]}"
    environment = {"COMP_WORDS": line, "COMP_CWORD": "5", "_CUPEL_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-m", "cupel"], env={**os.environ, **environment},
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert f"plain,{work.project}\n" in done.stdout
    assert done.stderr == ""


def test_an_imported_workflow_does_what_it_did(server: Server, project: Project) -> None:
    work = project({".github/workflows/ci.yml": WORKFLOW})
    said = server.cli("import", "github", str(work.directory), "--machine", "small")
    assert said.returncode == 1
    assert said.stdout.count("\n  ") == 1
    assert 'what the job "build" does on "windows-latest" is left out' in said.stdout
    work.commit("Import it", {})
    pushed = work.push("land", "wait")
    assert "landed on main" in pushed.remote, pushed.text
