"""What to run for a project that does not say it: the convention of its build tool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from cupel.config import cache
from cupel.config.detect import build, node, python
from cupel.config.detect.choice import Choice, Part, Repository
from cupel.config.job import MAIN_FILE, JobConfig, first_line
from cupel.config.problem import Mark
from cupel.config.project import ProjectConfig
from cupel.core.job import Step

OFFLINE = "debian-12"
ONLINE = "debian-12-net"

MARKERS = frozenset((*python.MARKERS, *node.MARKERS, *build.MARKERS))
"""The paths whose content detection looks at, besides some tests."""

TESTS = 8
"""How many files of tests are looked at, to tell pytest from unittest."""

_OVERRIDE = f"Write a {MAIN_FILE} to choose yourself; `cupel init` writes this one as a start."
_NETWORKS = ("none", "registries", "full")


class Offered(Protocol):
    """What is known of a label: the server's configuration has it, and so has the API."""

    @property
    def network(self) -> str: ...
    @property
    def is_system(self) -> bool: ...
    @property
    def packages(self) -> Sequence[str]: ...


class Detected(NamedTuple):
    """The configuration that was chosen, and what was chosen and why in words.

    `choice` is what it was made of, `said` what is worth knowing of its steps, and `others` are
    those that would have fitted as well; None and nothing where there is nothing to run.
    """

    config: ProjectConfig
    notice: str
    choice: Choice | None = None
    said: tuple[str, ...] = ()
    others: tuple[Choice, ...] = ()


def wanted(listing: Sequence[str]) -> tuple[str, ...]:
    """The paths whose texts `detect` looks at."""
    tests = sorted(path for path in listing if python.TEST.match(path))[:TESTS]
    return tuple(sorted({*tests, *(path for path in listing if path in MARKERS)}))


def detect(
    files: Mapping[str, str],
    listing: Sequence[str],
    labels: Mapping[str, Offered] | None = None,
) -> Detected:
    """Choose jobs by the files of the repository: the first build tool that fits.

    `files` are the texts of the `wanted` paths of `listing`, `labels` those that there are.
    """
    repository = Repository(files, frozenset(listing))
    found = [choice for choice in (look(repository) for look in _TOOLS) if choice is not None]
    if found:
        machine = _label(found[0], labels)
        parts = (*_installed(found[0], machine, labels), *found[0].parts)
        config = _config(found[0], machine, parts)
        said = tuple(part.said for part in parts)
        return Detected(config, _notice(found[0], config), found[0], said, tuple(found[1:]))
    notice = (
        f"NOTHING TO PROVE: there is no {MAIN_FILE} and no build tool that Cupel knows (tox, nox, "
        "pytest, unittest, npm, cargo, go, Maven, Gradle, meson, CMake, tmt, make). Changes can "
        "neither be checked nor landed. `cupel init` writes a configuration to start from."
    )
    return Detected(ProjectConfig(jobs={}), notice)


def _config(choice: Choice, machine: str, parts: tuple[Part, ...]) -> ProjectConfig:
    at = Mark(MAIN_FILE)
    job = JobConfig(
        name=choice.name,
        machine=machine,
        steps=tuple(Step(name=each.name or first_line(each.run), run=each.run) for each in parts),
        env=choice.env,
        caches=tuple(cache.one(path) for path in choice.caches),
        at=at,
        machine_at=at,
    )
    return ProjectConfig(jobs={job.name: job}, check=(job.name,), gate=(job.name,))


def _label(choice: Choice, labels: Mapping[str, Offered] | None) -> str:
    """The label with the packages and the least network that will do, of those that there are."""
    usual = ONLINE if choice.network else OFFLINE

    def badness(name: str, label: Offered) -> tuple[int, int, bool, str]:
        missing = set(choice.packages) - set(label.packages)
        return len(missing), _NETWORKS.index(label.network), name != usual, name

    fitting = [
        badness(name, label)
        for name, label in (labels or {}).items()
        if not label.is_system and _reaches(choice, label)
    ]
    return min(fitting)[-1] if fitting else usual


def _reaches(choice: Choice, label: Offered) -> bool:
    if label.network not in _NETWORKS:
        return False
    missing = set(choice.packages) - set(label.packages)
    return label.network != "none" or not (choice.fetches or missing)


def _installed(
    choice: Choice, machine: str, labels: Mapping[str, Offered] | None
) -> tuple[Part, ...]:
    """The step that installs what the image of the label may lack."""
    known = set(labels[machine].packages) if labels and machine in labels else set()
    if not set(choice.packages) - known:
        return ()
    names = " ".join(choice.packages)
    run = (
        f"if ! ({choice.lacks}) > /dev/null 2>&1; then\n"
        "  apt-get update\n"
        f"  apt-get install --yes --no-install-recommends {names}\n"
        "fi\n"
    )
    said = "An image that has these saves the time: docs/how-to/define-an-image.md of Cupel."
    return (Part(run, said, "install packages"),)


def _notice(choice: Choice, config: ProjectConfig) -> str:
    (job,) = config.jobs.values()
    steps = "; ".join(" ".join(step.run.split()) for step in job.steps)
    chosen = (
        f"There is no {MAIN_FILE}; {choice.why}, so check and gate run the job “{choice.name}” "
        f"on {job.machine}: {steps}."
    )
    return f"{chosen} {_OVERRIDE}"


_TOOLS: tuple[Callable[[Repository], Choice | None], ...] = (
    python.tox,
    python.nox,
    python.tests,
    node.script,
    build.cargo,
    build.go,
    build.maven,
    build.gradle,
    build.meson,
    build.cmake,
    build.tmt,
    build.make,
)
"""In order of preference. Make comes last: beside another tool it mostly calls that one."""
