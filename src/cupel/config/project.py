"""A project's own configuration: `.cupel.yaml` and `.cupel/*.yaml`, read and checked whole."""

from __future__ import annotations

import dataclasses
import graphlib
import re
from collections.abc import Mapping

from cupel.config import document, extends, scalar
from cupel.config.job import MAIN_FILE, NAME, NAMES, SEMAPHORE, JobConfig, JobShape
from cupel.config.problem import Mark, Problems, show
from cupel.config.scalar import Quantity
from cupel.config.shape import Field, Found, MapOf, Placed, Record, attempt
from cupel.core.job import Pipeline

MAX_HOLDERS = 1000
"""Builds that may hold a semaphore at a time."""

_FILE = re.compile(r"\.cupel\.yaml|\.cupel/[^/]+\.yaml")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProjectConfig:
    """A project's jobs by name, and which of them each pipeline runs, besides what those need.

    `semaphores` are the numbers of builds that may hold them at a time; another's is 1.
    """

    jobs: Mapping[str, JobConfig]
    check: tuple[str, ...] = ()
    gate: tuple[str, ...] = ()
    post: tuple[str, ...] = ()
    semaphores: Mapping[str, int] = dataclasses.field(default_factory=dict)
    templates: Mapping[str, Mark] = dataclasses.field(default_factory=dict, compare=False)
    """Where the abstract jobs stand."""
    semaphores_at: Mapping[str, Mark] = dataclasses.field(default_factory=dict, compare=False)
    parents: extends.Parents = dataclasses.field(default_factory=dict, compare=False)
    """What jobs and templates extend."""
    gate_at: Mark = dataclasses.field(default=Mark(MAIN_FILE), compare=False)

    def pipeline(self, pipeline: Pipeline) -> tuple[str, ...]:
        """The names that the pipeline lists."""
        match pipeline:
            case Pipeline.CHECK:
                return self.check
            case Pipeline.GATE | Pipeline.PERIODIC:  # an audit proves the gate's jobs again
                return self.gate
            case Pipeline.POST:
                return self.post


JOBS = Field(
    key="jobs",
    shape=MapOf(NAME, JobShape(), "jobs"),
    text="The jobs by name. A name is a letter or digit, then letters, digits, `_`, `.` or `-`.",
)
CHECK = Field(
    key="check",
    shape=NAMES,
    text="The jobs that prove each patch set by itself; by default those of `gate`.",
)
GATE = Field(
    key="gate",
    shape=NAMES,
    text="The jobs that prove what lands; by default those of `check`. One at least has to vote.",
)
POST = Field(key="post", shape=NAMES, text="The jobs that run on what has landed.")
_HOLDERS = Quantity(
    wanted="a number of builds", example="2", parse=scalar.whole, low=1, high=MAX_HOLDERS
)
SEMAPHORES = Field(
    key="semaphores",
    shape=MapOf(SEMAPHORE, _HOLDERS, "semaphores to numbers"),
    text="How many builds may hold each semaphore at a time; one that is not here, 1.",
)

FILE = Record(
    wanted="a mapping with jobs and pipelines",
    fields=(JOBS, CHECK, GATE, POST, SEMAPHORES),
    later=frozenset({"periodic", "try", "cartesian", "secrets"}),
)

_PIPELINES = {Pipeline.CHECK: CHECK, Pipeline.GATE: GATE, Pipeline.POST: POST}


def is_file(path: str) -> bool:
    """Whether a path of a repository is one of its configuration files."""
    return _FILE.fullmatch(path) is not None


def parse(files: Mapping[str, str]) -> ProjectConfig:
    """The configuration in the files, path → text. Raises `ConfigErrors` with all there is to mend.

    Whether its jobs can be expanded, and their machines be had, is for `freeze` to say.
    """
    problems = Problems()
    reading = _Reading(problems)
    paths = sorted(files, key=lambda path: (path != MAIN_FILE, path))
    trees = [document.read(path, files[path], problems) for path in paths]
    extended, parents = extends.resolve([tree for tree in trees if tree is not None], problems)
    for tree in extended:
        found = attempt(FILE, tree, problems)
        if found is not None:
            reading.merge(found)
    _check_names(reading, problems)
    if not problems:
        _check_use(reading, Mark(paths[0]), problems)
    problems.raise_any()
    return dataclasses.replace(_config(reading, Mark(paths[0])), parents=parents)


class _Reading:
    """What the files read so far say together."""

    def __init__(self, problems: Problems) -> None:
        self.jobs: dict[str, JobConfig] = {}
        self.templates: dict[str, Mark] = {}
        self.listed: dict[Pipeline, dict[str, Mark]] = {}
        self.at: dict[Pipeline, Mark] = {}
        self.semaphores: dict[str, Placed[int]] = {}
        self._problems = problems

    def merge(self, found: Found) -> None:
        """Add what one more file says."""
        for name, job in found.get(JOBS, ()):
            self._add(name, job)
        for pipeline, field in _PIPELINES.items():
            names = found.find(field)
            if names is not None:
                self.at.setdefault(pipeline, found.mark(field))
                self._list(pipeline, names)

        for name, count in found.get(SEMAPHORES, ()):
            self._declare(name, int(count or 1))

    def _add(self, name: Placed[str], job: JobConfig | None) -> None:
        first = self.jobs[name.value].at if name.value in self.jobs else None
        first = self.templates.get(name.value, first)
        if first is not None:
            self._problems.add(
                name.at, f"duplicate job {show(name.value)}", f"the first is at {first}"
            )
        elif job is not None and job.abstract:
            self.templates[name.value] = name.at
        else:
            known = job or JobConfig(name=name.value, machine="", steps=())
            self.jobs[name.value] = dataclasses.replace(known, name=name.value, at=name.at)

    def _declare(self, name: Placed[str], count: int) -> None:
        if name.value in self.semaphores:
            hint = f"the first is at {self.semaphores[name.value].at}"
            self._problems.add(name.at, f"duplicate semaphore {show(name.value)}", hint)
        self.semaphores.setdefault(name.value, Placed(count, name.at))

    def _list(self, pipeline: Pipeline, names: tuple[Placed[str], ...]) -> None:
        listed = self.listed.setdefault(pipeline, {})
        for name in names:
            if name.value in listed:
                hint = f"the first is at {listed[name.value]}"
                self._problems.add(name.at, f"{show(name.value)} is listed twice", hint)
            listed.setdefault(name.value, name.at)


def _check_use(reading: _Reading, at: Mark, problems: Problems) -> None:
    if not reading.jobs:
        problems.add(at, "no jobs", "`cupel init` writes a configuration to start from")
    elif not reading.listed.keys() & {Pipeline.CHECK, Pipeline.GATE}:
        name = next(iter(reading.jobs))
        problems.add(
            at, "neither check nor gate runs a job", f'add a line such as "check: [{name}]"'
        )


def _config(reading: _Reading, at: Mark) -> ProjectConfig:
    listed, places = reading.listed, reading.at
    check = listed.get(Pipeline.CHECK, listed.get(Pipeline.GATE, {}))
    gate = listed.get(Pipeline.GATE, listed.get(Pipeline.CHECK, {}))
    return ProjectConfig(
        jobs=reading.jobs,
        check=tuple(check),
        gate=tuple(gate),
        post=tuple(listed.get(Pipeline.POST, {})),
        semaphores={name: count.value for name, count in reading.semaphores.items()},
        templates=reading.templates,
        semaphores_at={name: count.at for name, count in reading.semaphores.items()},
        gate_at=places.get(Pipeline.GATE, places.get(Pipeline.CHECK, at)),
    )


def _check_names(reading: _Reading, problems: Problems) -> None:
    """Every name that is used has to be a job's, and needs may not go round in circles."""
    jobs = reading.jobs
    used = [pair for listed in reading.listed.values() for pair in listed.items()]
    for job in jobs.values():
        used += zip(job.needs, job.needs_at, strict=True)
    for name, at in used:
        if name in reading.templates:
            hint = "extend it with a job that is no template, and name that"
            problems.add(at, f"{show(name)} is abstract: it is never run", hint)
        elif name not in jobs:
            problems.add_unknown(at, f"no job {show(name)}", name, jobs, "jobs")
    cycle = _cycle(jobs)
    if cycle:
        first, second = cycle[:2]
        at = dict(zip(jobs[first].needs, jobs[first].needs_at, strict=True))[second]
        problems.add(at, "these needs go round in a circle: " + " needs ".join(cycle))


def _cycle(jobs: Mapping[str, JobConfig]) -> list[str]:
    """Some jobs that need each other, beginning and ending with the same one; else none."""
    sorter = graphlib.TopologicalSorter({name: job.needs for name, job in jobs.items()})
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        circle: list[str] = error.args[1][::-1][1:]
        start = circle.index(min(circle, key=list(jobs).index))
        circle = circle[start:] + circle[:start]
        return [*circle, circle[0]]
    return []
