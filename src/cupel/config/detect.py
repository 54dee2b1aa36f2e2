"""What to run for a project that does not say it: the convention of its build tool."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from cupel.config.job import MAIN_FILE, JobConfig, first_line
from cupel.config.problem import Mark
from cupel.config.project import ProjectConfig
from cupel.core.job import Step

OFFLINE = "debian-12"
ONLINE = "debian-12-net"
MAX_READ = 1 << 20

MARKERS = frozenset(
    {
        "tox.ini",
        "noxfile.py",
        "pyproject.toml",
        "setup.py",
        "setup.cfg",
        "pytest.ini",
        "Makefile",
        "GNUmakefile",
        "makefile",
        "package.json",
        "Cargo.toml",
    }
)
"""The paths whose content detection looks at."""

_VENV = "/tmp/venv"  # noqa: S108 - in the job's machine, which nobody else uses
_TEST_GROUPS = ("test", "tests", "testing", "dev")
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
_OVERRIDE = f"Write a {MAIN_FILE} to choose yourself; `cupel init` writes this one as a start."


class Detected(NamedTuple):
    """The configuration that was chosen, and what was chosen and why in words."""

    config: ProjectConfig
    notice: str


class _Choice(NamedTuple):
    name: str
    machine: str
    steps: tuple[str, ...]
    why: str
    remark: str = ""


class _Repository(NamedTuple):
    files: Mapping[str, str]
    paths: frozenset[str]

    def text(self, path: str) -> str:
        text = self.files.get(path, "") if path in self.paths else ""
        return text if len(text) <= MAX_READ else ""

    def toml(self, path: str) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text(path))
        except (ValueError, RecursionError):
            return {}


def detect(files: Mapping[str, str], listing: Sequence[str]) -> Detected:
    """Choose jobs by the files of the repository: the first build tool that fits.

    `files` are the texts of the `MARKERS` among the paths of `listing`.
    """
    repository = _Repository(files, frozenset(listing))
    for look in _TOOLS:
        choice = look(repository)
        if choice is not None:
            return Detected(_config(choice), _notice(choice))
    notice = (
        f"NOTHING TO PROVE: there is no {MAIN_FILE} and no build tool that Cupel knows (tox, nox, "
        "pytest, make, npm, cargo). Changes can neither be checked nor landed. "
        "`cupel init` writes a configuration to start from."
    )
    return Detected(ProjectConfig(jobs={}), notice)


def _config(choice: _Choice) -> ProjectConfig:
    at = Mark(MAIN_FILE)
    job = JobConfig(
        name=choice.name,
        machine=choice.machine,
        steps=tuple(Step(name=first_line(script), run=script) for script in choice.steps),
        at=at,
        machine_at=at,
    )
    return ProjectConfig(jobs={job.name: job}, check=(job.name,), gate=(job.name,))


def _notice(choice: _Choice) -> str:
    chosen = (
        f"There is no {MAIN_FILE}; {choice.why}, so check and gate run the job “{choice.name}” "
        f"on {choice.machine}: {'; '.join(choice.steps)}."
    )
    return " ".join(part for part in (chosen, choice.remark, _OVERRIDE) if part)


def _tox(repository: _Repository) -> _Choice | None:
    if "tox.ini" in repository.paths:
        why = "tox.ini is there"
    elif "tox" in _table(repository.toml("pyproject.toml"), "tool"):
        why = "pyproject.toml has [tool.tox]"
    elif re.search(r"^\[tox(:tox)?\]", repository.text("setup.cfg"), re.MULTILINE):
        why = "setup.cfg configures tox"
    else:
        return None
    return _python("tox", why, "tox", "tox run --skip-missing-interpreters=true")


def _nox(repository: _Repository) -> _Choice | None:
    if "noxfile.py" not in repository.paths:
        return None
    return _python("nox", "noxfile.py is there", "nox", "nox --no-error-on-missing-interpreters")


def _python(name: str, why: str, packages: str, command: str) -> _Choice:
    steps = (
        f"python3 -m venv {_VENV}",
        f"{_VENV}/bin/pip install {packages}",
        f"{_VENV}/bin/{command}",
    )
    return _Choice(name, ONLINE, steps, why)


def _pytest(repository: _Repository) -> _Choice | None:
    tests = any(re.match(r"(?:.*/)?(test_[^/]*|[^/]*_test)\.py$", p) for p in repository.paths)
    project = next((p for p in ("pyproject.toml", "setup.py") if p in repository.paths), None)
    requirements = next((path for path in _REQUIREMENTS if path in repository.paths), None)
    if not tests or not (project or requirements or "pytest.ini" in repository.paths):
        return None
    wanted = ["pytest"]
    if requirements:
        wanted.append(f"-r {requirements}")
    if project:
        wanted.append(_installable(repository.toml("pyproject.toml")))
    why = f"{project or requirements or 'pytest.ini'} and tests in Python are there"
    choice = _python("pytest", why, " ".join(wanted), "pytest")
    # `--group` wants a newer pip than Debian's.
    upgrade = (f"{_VENV}/bin/pip install --upgrade pip",) if "--group" in wanted[-1] else ()
    return choice._replace(steps=(choice.steps[0], *upgrade, *choice.steps[1:]))


def _installable(pyproject: dict[str, Any]) -> str:
    """What pip is to install: the project with the extra and the group that tests usually have."""
    extras = _table(_table(pyproject, "project"), "optional-dependencies")
    extra = next((name for name in _TEST_GROUPS if name in extras), None)
    target = f"'.[{extra}]'" if extra else "."
    groups = _table(pyproject, "dependency-groups")
    group = next((name for name in _TEST_GROUPS if name in groups), None)
    return f"{target} --group {group}" if group else target


def _table(table: dict[str, Any], key: str) -> dict[str, Any]:
    value = table.get(key)
    return value if isinstance(value, dict) else {}


def _make(repository: _Repository) -> _Choice | None:
    for path in ("GNUmakefile", "makefile", "Makefile"):
        for target in ("check", "test"):
            rule = rf"^(?:[\w.-]+ +)*{target}(?: +[\w.-]+)* *::?(?![=])"
            if re.search(rule, repository.text(path), re.MULTILINE):
                why = f"{path} has the target “{target}”"
                return _Choice(target, OFFLINE, (f"make {target}",), why)
    return None


def _npm(repository: _Repository) -> _Choice | None:
    try:
        package = json.loads(repository.text("package.json") or "{}")
    except (ValueError, RecursionError):
        return None
    scripts = _table(package if isinstance(package, dict) else {}, "scripts")
    script = scripts.get("test")
    if not isinstance(script, str) or "no test specified" in script:
        return None
    install = "npm ci" if "package-lock.json" in repository.paths else "npm install"
    why = "package.json has a test script"
    return _Choice("test", ONLINE, (install, "npm test"), why, _packages("nodejs and npm"))


def _cargo(repository: _Repository) -> _Choice | None:
    if "Cargo.toml" not in repository.paths:
        return None
    locked = " --locked" if "Cargo.lock" in repository.paths else ""
    why = "Cargo.toml is there"
    return _Choice("test", ONLINE, (f"cargo test{locked}",), why, _packages("cargo"))


def _packages(names: str) -> str:
    return f"The machine's label has to have the packages {names}: see the server's configuration."


_TOOLS: tuple[Callable[[_Repository], _Choice | None], ...] = (
    _tox,
    _nox,
    _pytest,
    _npm,
    _cargo,
    _make,
)
"""In order of preference. Make comes last: beside another tool it mostly calls that one."""
