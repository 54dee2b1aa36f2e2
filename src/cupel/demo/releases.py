"""A real package's history: released source distributions as commits, one a release."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cupel import process
from cupel.errors import InfraError

PACKAGE = "cachetools"
RELEASES = ("5.3.0", "5.3.1", "5.3.2", "5.3.3")
"""Released between January 2023 and February 2024; the first is where the demo begins."""

SETTINGS = """\
# The jobs' machines: a pool of two that stand ready, of an image that holds what jobs install. So
# they need no network, and get none.
images:
  python:
    packages: [ca-certificates, git, python3, python3-pip]
    prefetch:
      pip: [pytest, ruff]
    tests:
      - pip install --quiet pytest ruff
labels:
  python:
    image: python
    network: none
    pool: {ready: 2}
"""
"""For the server's `cupel.yaml`."""

CONFIG = """\
# What proves a change to this package: its own test suite, a linter, and its examples.
jobs:
  tests:
    machine: python
    inputs: ["*", "!/CONTRIBUTING.rst", "!/examples/**"]
    steps:
      - name: install
        run: pip install --quiet pytest .
      - name: pytest
        run: pytest --quiet --junitxml="$CUPEL_RESULTS/pytest.xml" tests
    timeout: 10m
  lint:
    machine: python
    inputs: [/src/, /tests/]
    steps:
      - name: install
        run: pip install --quiet ruff
      - name: ruff
        run: ruff check --select E9,F63,F7,F82 src tests
    timeout: 5m
  examples:
    machine: python
    inputs: [/examples/]
    steps:
      - name: unittest
        run: |
          [ ! -d examples ] || python3 -m unittest discover --verbose --start-directory examples
    timeout: 5m
check: [tests, lint, examples]
gate: [tests, lint, examples]
"""

_AUTHOR = {
    "GIT_AUTHOR_NAME": "Demo Developer",
    "GIT_AUTHOR_EMAIL": "developer@demo.invalid",
    "GIT_COMMITTER_NAME": "Demo Developer",
    "GIT_COMMITTER_EMAIL": "developer@demo.invalid",
}


async def git(work: Path, *args: str, env: Mapping[str, str] | None = None) -> process.Result:
    """Run git as the developer of the demo would."""
    clean = {**os.environ, **_AUTHOR, "GIT_CONFIG_GLOBAL": "/dev/null", **(env or {})}
    return await process.run(["git", "-C", work, *args], env=clean)


async def fetch(target: Path) -> list[Path]:
    """Download and unpack the source distributions; their directories, oldest first."""
    target.mkdir(parents=True, exist_ok=True)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_fetch(target, release)) for release in RELEASES]
    return [task.result() for task in tasks]


async def _fetch(target: Path, release: str) -> Path:
    wanted = f"{PACKAGE}=={release}"
    await process.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
         "--no-deps", "--no-binary", ":all:", "--dest", target, wanted],
        env=os.environ,
        timeout=300,
    )  # fmt: skip
    directory = target / f"{PACKAGE}-{release}"
    archive = directory.with_name(f"{directory.name}.tar.gz")
    if not archive.exists():
        raise InfraError(f"pip did not leave {archive.name} when asked for {wanted}")
    # tarfile's own guard against hostile archives came only with Python 3.11.4.
    await process.run(["tar", "--extract", "--gzip", "--file", archive, "--directory", target])
    return directory


async def begin(work: Path, first: Path) -> None:
    """A repository whose `main` is the first release, with a `.cupel.yaml`."""
    work.mkdir(parents=True)
    await git(work, "init", "--quiet", "--initial-branch", "main")
    replace_tree(work, first)
    (work / ".cupel.yaml").write_text(CONFIG)
    await commit(work, f"Release {RELEASES[0]}")


def replace_tree(work: Path, release: Path) -> None:
    """Make the work tree that of a release, but for `.cupel.yaml`."""
    for entry in work.iterdir():
        if entry.name not in (".git", ".cupel.yaml"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.copytree(release, work, dirs_exist_ok=True)
    for made in (*work.glob("src/*.egg-info"), work / "PKG-INFO"):
        shutil.rmtree(made) if made.is_dir() else made.unlink(missing_ok=True)


async def commit(work: Path, message: str) -> None:
    await git(work, "add", "--all")
    await git(work, "commit", "--quiet", "--message", message)


def edit(file: Path, replacements: Sequence[tuple[str, str]]) -> None:
    """Replace texts that must be there."""
    text = file.read_text()
    for old, new in replacements:
        if old not in text:
            raise InfraError(f"{file.name} of the package is not as the demo expects it")
        text = text.replace(old, new)
    file.write_text(text)
