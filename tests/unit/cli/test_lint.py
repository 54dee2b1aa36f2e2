"""`cupel lint`: warnings, the server's labels, and the hook of pre-commit."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from unit.cli import calls

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
GOOD = "jobs:\n  a: {machine: debian-12, steps: [make]}\ngate: [a]\n"
UNUSED = GOOD + "semaphores: {s: 2}\n"
BAD = GOOD.replace("machine", "machin")


def written(directory: Path, text: str) -> str:
    (directory / ".cupel.yaml").write_text(text)
    return str(directory)


def test_warnings_are_told_and_count_only_if_that_is_asked(tmp_path: Path) -> None:
    path = written(tmp_path, UNUSED)
    said = calls.alone("lint", path)
    assert said.exit_code == 0
    assert said.output.startswith('.cupel.yaml:4:14: warning: no job holds the semaphore "s"\n  ')
    assert said.output.endswith("good, 1 job, 1 warning\n")
    assert calls.alone("lint", path, "--strict").exit_code == 2
    [problem] = json.loads(calls.alone("lint", path, "--json").output)
    assert (problem["severity"], problem["line"]) == ("warning", 4)


def test_errors_are_told_apart_for_programs(tmp_path: Path) -> None:
    problems = json.loads(calls.alone("lint", written(tmp_path, BAD), "--json").output)
    assert {problem["severity"] for problem in problems} == {"error"}


def test_the_server_knows_which_labels_there_are(cupel: calls.Command, tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    assert cupel("lint", path, "--server").code == 0
    said = cupel("lint", written(tmp_path, GOOD.replace("-12", "-11")), "--server")
    assert said.code == 2
    assert 'no machine has the label "debian-11"' in said.out
    fetching = written(tmp_path, GOOD.replace("make", "apt-get install make"))
    assert "labels with one: debian-12-net" in cupel("lint", fetching, "--server").out


def test_explain_tells_what_the_server_says_of_labels(cupel: calls.Command, tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    said = cupel("explain", "a", "--path", path, "--server")
    place = "label debian-12 in the server's configuration"
    assert re.search(rf"^network +none +{place}$", said.out, re.MULTILINE), said.out
    [job] = json.loads(cupel("explain", "a", "--path", path, "--server", "--json").out)
    assert job["labels"]["debian-12"]["memory"] == 4 << 30


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository in which a configuration is about to be committed."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for key, value in {"user.name": "Ada", "user.email": "ada@example.org"}.items():
        subprocess.run(["git", "-C", str(tmp_path), "config", key, value], check=True)
    written(tmp_path, GOOD)
    subprocess.run(["git", "-C", str(tmp_path), "add", "."], check=True)
    return tmp_path


def commit(repository: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    environment["PRE_COMMIT_HOME"] = str(repository / ".git" / "pre-commit")
    command = ["git", "-C", str(repository), "commit", "-aqm", "Prove it"]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=60, check=False
    )


def hook() -> dict[str, object]:
    [found] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert isinstance(found, dict)
    return found


def check_commits(repository: Path) -> None:
    """A good configuration can be committed, a bad one cannot, and the reason is said."""
    assert commit(repository).returncode == 0
    written(repository, BAD)
    refused = commit(repository)
    assert refused.returncode != 0
    assert 'unknown key "machin"' in refused.stdout + refused.stderr


def test_the_hook_guards_commits_as_git_runs_it(repository: Path) -> None:
    script = repository / ".git" / "hooks" / "pre-commit"
    script.write_text(f"#!/bin/sh\nexec {hook()['entry']}\n")
    script.chmod(0o755)
    check_commits(repository)


def test_the_hook_is_for_the_files_of_the_configuration() -> None:
    files = re.compile(str(hook()["files"]))
    for name in (".cupel.yaml", ".cupel/jobs.yaml", ".cupel.yml", ".cupel/jobs.yml"):
        assert files.search(name)
    for name in ("cupel.yaml", ".cupel/notes.md", ".cupel/deep/x.yaml", "a/.cupel.yaml"):
        assert not files.search(name)


@pytest.mark.skipif(shutil.which("pre-commit") is None, reason="pre-commit is not installed")
def test_the_hook_guards_commits_with_the_real_pre_commit(repository: Path) -> None:
    local = {**hook(), "language": "system"}
    config = {"repos": [{"repo": "local", "hooks": [local]}]}
    (repository / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    subprocess.run(["git", "-C", str(repository), "add", "."], check=True)
    subprocess.run(
        shlex.split("pre-commit install"), cwd=repository, check=True, capture_output=True
    )
    check_commits(repository)
