"""Projects in Python: tox, nox, pytest and unittest."""

from __future__ import annotations

import re
from typing import Any

from cupel.config.detect.choice import VENV, Choice, Part, Repository, table

MARKERS = (
    "tox.ini",
    "noxfile.py",
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "pytest.ini",
    "conftest.py",
    "tests/conftest.py",
    "requirements.txt",
)
TEST = re.compile(r"(?:.*/)?(?:test_[^/]*|[^/]*_test)\.py$")

_GROUPS = ("test", "tests", "testing", "dev")
_REQUIREMENTS = (
    "requirements-test.txt",
    "requirements-tests.txt",
    "test-requirements.txt",
    "requirements-dev.txt",
    "dev-requirements.txt",
    "requirements/test.txt",
    "requirements/tests.txt",
    "requirements/dev.txt",
    "requirements.txt",
)
_RESULTS = "Results as JUnit in $CUPEL_RESULTS are shown test by test."
_BY_ENV = (
    "pytest reads its options from PYTEST_ADDOPTS as well, so that results as JUnit come to "
    "$CUPEL_RESULTS, where they are shown test by test."
)


def tox(repository: Repository) -> Choice | None:
    if "tox.ini" in repository.paths:
        why = "tox.ini is there"
    elif "tox" in table(repository.toml("pyproject.toml"), "tool"):
        why = "pyproject.toml has [tool.tox]"
    elif repository.has(r"^\[tox(:tox)?\]", "setup.cfg"):
        why = "setup.cfg configures tox"
    else:
        return None
    command = "tox run --skip-missing-interpreters=true"
    if not repository.has("pytest", "tox.ini", "pyproject.toml", "setup.cfg"):
        return _made("tox", why, "tox", Part(command))
    command += " -x testenv.pass_env+=PYTEST_ADDOPTS,CUPEL_RESULTS"
    options = ("PYTEST_ADDOPTS", "--junitxml=$CUPEL_RESULTS/$TOX_ENV_NAME.xml")
    return _made("tox", why, "tox", Part(command, _BY_ENV), env=(options,))


def nox(repository: Repository) -> Choice | None:
    if "noxfile.py" not in repository.paths:
        return None
    why, command = "noxfile.py is there", "nox --no-error-on-missing-interpreters"
    if not repository.has("pytest", "noxfile.py"):
        return _made("nox", why, "nox", Part(command))
    options = ("PYTEST_ADDOPTS", "--junitxml=$CUPEL_RESULTS/$NOX_CURRENT_SESSION.xml")
    return _made("nox", why, "nox", Part(command, _BY_ENV), env=(options,))


def _made(
    name: str, why: str, packages: str, last: Part, env: tuple[tuple[str, str], ...] = ()
) -> Choice:
    parts = (
        Part(f"python3 -m venv {VENV}"),
        Part(f"{VENV}/bin/pip install {packages}"),
        last._replace(run=f"{VENV}/bin/{last.run}", name=name),
    )
    return Choice(name, parts, why, env=env, caches=("~/.cache/pip",))


def tests(repository: Repository) -> Choice | None:
    """pytest, which runs unittest's tests as well; that alone where nobody speaks of pytest."""
    found = sorted(path for path in repository.paths if TEST.match(path))
    project = repository.first("pyproject.toml", "setup.py")
    requirements = repository.first(*_REQUIREMENTS)
    if not found:
        return None
    if _is_unittest(repository, found):
        return _unittest(repository, found, project, requirements)
    speaks = repository.has(r"\bpytest\b", *found) or "pytest.ini" in repository.paths
    if not (project or requirements or speaks):
        return None
    wanted = ["pytest"]
    if requirements:
        wanted.append(f"-r {requirements}")
    if project:
        wanted.append(_installable(repository.toml("pyproject.toml")))
    why = f"{project or requirements or 'pytest'} and tests in Python are there"
    command = Part("pytest --junitxml=$CUPEL_RESULTS/pytest.xml", _RESULTS)
    choice = _made("pytest", why, " ".join(wanted), command)
    # `--group` wants a newer pip than Debian's.
    upgrade = (Part(f"{VENV}/bin/pip install --upgrade pip"),) if "--group" in wanted[-1] else ()
    return choice._replace(parts=(choice.parts[0], *upgrade, *choice.parts[1:]))


def _is_unittest(repository: Repository, found: list[str]) -> bool:
    if {"pytest.ini", "conftest.py", "tests/conftest.py"} & repository.paths:
        return False
    files = ("pyproject.toml", "setup.cfg", "setup.py", *_REQUIREMENTS, *found)
    if repository.has(r"\bpytest\b", *files):
        return False
    return repository.has(r"^(?:import unittest|from unittest import .*TestCase)", *found)


def _unittest(
    repository: Repository, found: list[str], project: str | None, requirements: str | None
) -> Choice:
    discover = f"discover -v {_discovered(repository, found)}".rstrip()
    why = "tests in Python by unittest are there"
    if not project and not requirements:
        part = Part(
            f"python3 -m unittest {discover}",
            "It needs no network and nothing installed.",
            "unittest",
        )
        return Choice("unittest", (part,), why, fetches=False)
    wanted = ["unittest-xml-reporting"]
    wanted += [f"-r {requirements}"] if requirements else []
    wanted += [_installable(repository.toml("pyproject.toml"))] if project else []
    last = Part(f"python -m xmlrunner {discover} -o $CUPEL_RESULTS", _RESULTS)
    return _made("unittest", why, " ".join(wanted), last)


def _discovered(repository: Repository, found: list[str]) -> str:
    """Where unittest is to look: the directory of the tests, from the top if it is a package."""
    directory = found[0].rpartition("/")[0].partition("/")[0]
    if not directory:
        return ""
    if f"{directory}/__init__.py" in repository.paths:
        return f"-s {directory} -t ."
    return f"-s {directory}"


def _installable(pyproject: dict[str, Any]) -> str:
    """What pip is to install: the project with the extra and the group that tests usually have."""
    extras = table(table(pyproject, "project"), "optional-dependencies")
    extra = next((name for name in _GROUPS if name in extras), None)
    target = f"'.[{extra}]'" if extra else "."
    groups = table(pyproject, "dependency-groups")
    group = next((name for name in _GROUPS if name in groups), None)
    return f"{target} --group {group}" if group else target
