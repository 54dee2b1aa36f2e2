"""A job as it is written in a project's configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from cupel.config import boot, cache, extends, scalar, together
from cupel.config.document import Scalar, Table, Value
from cupel.config.matrix import Matrix, MatrixShape, check_references
from cupel.config.pattern import PatternShape
from cupel.config.problem import Mark, Problems, show
from cupel.config.scalar import Boolean, Choice, Quantity, Text, whole
from cupel.config.shape import (
    At,
    Field,
    Found,
    ListOf,
    MapOf,
    Placed,
    Record,
    Refused,
    Schema,
    wrong_type,
)
from cupel.core.cache import JobCache
from cupel.core.job import Link, Part, Service, Step

MAIN_FILE = ".cupel.yaml"
DEFAULT_TIMEOUT = 1800.0
MAX_TIMEOUT = 86_400.0
MAX_HOLD = 7_200.0
MAX_SCRIPT = 100_000
"""Bytes of a step: Linux takes no longer argument than 128 KiB."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobConfig:
    """A job as written; its matrix is not expanded yet. Places do not count in comparisons."""

    name: str
    machine: str
    steps: tuple[Step, ...]
    env: tuple[tuple[str, str], ...] = ()
    inputs: tuple[str, ...] = ()
    timeout: float = DEFAULT_TIMEOUT
    hold: float = 0.0
    needs: tuple[str, ...] = ()
    voting: bool = True
    evidence: bool = True
    projects: tuple[str, ...] = ()
    semaphores: tuple[str, ...] = ()
    matrix: Matrix | None = None
    abstract: bool = False
    """A template: nothing but that it could be read was checked, and it never runs."""
    parts: tuple[Part, ...] = ()
    """All machines of a job that has several or names its one, its own first."""
    services: tuple[Service, ...] = ()
    links: tuple[Link, ...] = ()
    caches: tuple[JobCache, ...] = ()
    origins: Mapping[str, Mark] = dataclasses.field(default_factory=dict, compare=False)
    """Where each key stands that the job or what it extends has, and each part of some."""
    at: Mark = dataclasses.field(default=Mark(MAIN_FILE), compare=False)
    steps_at: Mark = dataclasses.field(default=Mark(MAIN_FILE), compare=False)
    machine_at: Mark = dataclasses.field(default=Mark(MAIN_FILE), compare=False)
    parts_at: tuple[Mark, ...] = dataclasses.field(default=(), compare=False)
    needs_at: tuple[Mark, ...] = dataclasses.field(default=(), compare=False)
    projects_at: tuple[Mark, ...] = dataclasses.field(default=(), compare=False)


NAME = Text(
    wanted="a name for a job",
    pattern="[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
    rule="a letter or digit, then at most 63 letters, digits, “_”, “.” or “-”",
)
PROJECT = Text(
    wanted="the name of a project",
    pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
    rule="a letter or digit, then at most 63 letters, digits, “.”, “_” or “-”",
)
SEMAPHORE = Text(
    wanted="a name for a semaphore",
    pattern="[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
    rule="a letter or digit, then at most 63 letters, digits, “_”, “.” or “-”",
)
VARIABLE = Text(
    wanted="a name for a variable",
    pattern="(?!CUPEL_|MATRIX_)[A-Za-z_][A-Za-z0-9_]{0,127}",
    rule="letters, digits and “_”; names that begin with CUPEL_ or MATRIX_ are set by Cupel",
)
SCRIPT = Text(wanted="a shell script", limit=MAX_SCRIPT, multiline=True)
NAMES = ListOf(At(Text(wanted="the name of a job", limit=64)), "names of jobs")

STEP_NAME = Field(
    key="name",
    shape=Text(wanted="a name for the step", limit=100),
    text="What the step is called in logs; by default the first line of its script.",
)
STEP_RUN = Field(
    key="run",
    shape=SCRIPT,
    text="The shell script that the step runs; every step has one or `boot`.",
)
STEP_BOOT = Field(
    key="boot",
    shape=At(boot.BootShape()),
    text="For a label that boots a system of its own, in which nothing can be started: when it has "
    "passed. It is the only step of its job then.",
)
STEP_ON = Field(
    key="on",
    shape=At(together.NAME),
    text="The name of the machine that it runs on; by default the job's own.",
)


STEP_FAILED_TESTS = Field(
    key="failed-tests",
    shape=Quantity(
        wanted="an exit status", example="1", parse=whole, low=1.0, high=125.0, pattern="^[0-9]+$"
    ),
    text="The exit status by which the step says that tests failed, and nothing but tests: `1` for "
    "pytest. It lets tests that are quarantined fail without blocking.",
)


STEP_RERUN_FAILED = Field(
    key="rerun-failed",
    shape=SCRIPT,
    text="The script that runs only the tests that failed, when the gate confirms a failure; for "
    "the last step, with `failed-tests`. `$CUPEL_FAILED_TESTS` has them, in lines.",
)


@dataclasses.dataclass(frozen=True, slots=True)
class PlacedStep:
    """A step, where it stands, and where the machine stands that it names."""

    value: Step
    at: Mark
    on: Placed[str] | None = None


class StepShape:
    """A step: a shell script, or a mapping with its name and script."""

    record = Record(
        wanted="a shell script or a mapping",
        fields=(STEP_NAME, STEP_RUN, STEP_BOOT, STEP_ON, STEP_FAILED_TESTS, STEP_RERUN_FAILED),
    )

    def read(self, value: Value, problems: Problems) -> PlacedStep:
        if isinstance(value, Table):
            return self._named(value, problems)
        if not isinstance(value, Scalar):
            raise wrong_type(value, self.record.wanted)
        script = SCRIPT.read(value, problems)
        return PlacedStep(Step(name=first_line(script), run=script), value.at)

    def _named(self, table: Table, problems: Problems) -> PlacedStep:
        keys = [entry.key.text for entry in table.entries]
        if not {"name", "run", "boot"} & set(keys) and len(keys) == 1 and " " in keys[0]:
            raise Refused(
                table.at,
                "“: ” makes a mapping of this step",
                "put the script in quotes, or write it below “- |”",
            )
        found = self.record.read(table, problems)
        script, rule = found.get(STEP_RUN, ""), found.find(STEP_BOOT)
        if rule is None and not script and not _unread(found):
            problems.add(table.at, 'the key "run" is missing', STEP_RUN.text)
        if rule is not None and script:
            problems.add(rule.at, "a step with a script boots nothing", "keep `run` or `boot`")
        on = found.find(STEP_ON)
        status = found.find(STEP_FAILED_TESTS)
        name = found.get(STEP_NAME, first_line(script) if rule is None else boot.NAME)
        step = Step(
            name=name,
            run=script,
            on=on.value if on is not None else "",
            boot=rule.value if rule is not None else None,
            failed_tests=None if status is None else int(status),
            rerun_failed=found.get(STEP_RERUN_FAILED, ""),
        )
        if step.rerun_failed and status is None:
            text = "a step that says how to run failed tests has to say when tests have failed"
            problems.add(table.at, text, "add `failed-tests: 1`, the exit status that means so")
        return PlacedStep(step, table.at, on)

    def schema(self) -> Schema:
        either = [{"required": [field.key]} for field in (STEP_RUN, STEP_BOOT)]
        return {"anyOf": [SCRIPT.schema(), self.record.schema() | {"oneOf": either}]}


def _unread(found: Found) -> bool:
    return any(found.failed(field) or found.misspells(field) for field in (STEP_RUN, STEP_BOOT))


def first_line(script: str) -> str:
    line = next((line.strip() for line in script.splitlines() if line.strip()), "")
    line = line.replace("\t", " ")
    return line if len(line) <= 72 else line[:71] + "…"


class SemaphoresShape:
    """The name of a semaphore, or a list of names."""

    _one = At(SEMAPHORE)
    _list = ListOf(_one, "names of semaphores")

    def read(self, value: Value, problems: Problems) -> tuple[Placed[str], ...]:
        if isinstance(value, Scalar):
            return (self._one.read(value, problems),)
        return self._list.read(value, problems)

    def schema(self) -> Schema:
        return {"anyOf": [self._one.schema(), self._list.schema()]}


MACHINE = Field(
    key="machine",
    shape=At(Text(wanted="the label of a machine", limit=200)),
    text="The label of the machine that the job runs on, which is called `main` beside others.",
)
STEPS = Field(
    key="steps",
    shape=ListOf(StepShape(), "steps", least=1, empty_hint='write a script: ["make test"]'),
    text="Shell scripts, run one after the other until one fails.",
)
INPUTS = Field(
    key="inputs",
    shape=ListOf(PatternShape(), "patterns", least=1, empty_hint="leave the key out for all files"),
    text="Patterns as in .gitignore of the files that the result depends on; by default all files. "
    "While these stay the same, a pass is not run again but reused.",
)
TIMEOUT = Field(
    key="timeout",
    shape=scalar.duration(1, MAX_TIMEOUT),
    text="How long all steps together may take: `20m`, `1h30m`, `90s` or seconds; "
    "by default 30 minutes, at most 24 hours.",
)
HOLD = Field(
    key="hold",
    shape=scalar.duration(60, MAX_HOLD),
    text="How long the machine of a failure is kept for somebody to look at (`cupel shell`), such "
    "as `10m`; once somebody is in it, until they have left. By default it goes at once.",
)
ENV = Field(
    key="env",
    shape=MapOf(
        VARIABLE,
        At(Text(wanted="a text", limit=32_768, multiline=True, empty=True, loose=True)),
        "variables to texts",
    ),
    text="Environment variables of the steps.",
)
NEEDS = Field(
    key="needs",
    shape=NAMES,
    text="Jobs that have to succeed first, and whose artefacts are there; of a job with a matrix, "
    "all cells. They are run with this one whether or not the pipeline lists them.",
)
VOTING = Field(
    key="voting",
    shape=Boolean(),
    text="Whether a failure counts against the change; `true` by default.",
)
EVIDENCE = Field(
    key="evidence",
    shape=Choice(words=("inputs", "never")),
    text="`inputs`, the default, reuses a pass while the job, its `inputs` and its image stay the "
    "same; `never` runs the job for each state.",
)
PROJECTS = Field(
    key="projects",
    shape=ListOf(At(PROJECT), "names of projects"),
    text="Projects that share the queue and are checked out beside, below `$CUPEL_PROJECTS`.",
)
SEMAPHORES = Field(
    key="semaphore",
    shape=SemaphoresShape(),
    text="The semaphore, or the list of them, that the job holds while it runs; see `semaphores`.",
)
MATRIX = Field(
    key="matrix",
    shape=MatrixShape(),
    text="Axes with lists of values: the job is run once for each combination.",
)


_ELSEWHERE = {
    "parent": "write `extends`",
    "image": "write `machine`, the label of a machine that has the image",
    "runs-on": "write `machine`, the label of a machine",
    "nodeset": "write `machine` or `machines`, with labels",
    "tags": "write `machine`, the label of a machine",
    "script": "write `steps`, a list of scripts",
    "run": "write `steps`, a list of scripts",
    "variables": "write `env`",
    "vars": "write `env`",
    "parallel": "write `matrix`",
    "strategy": "write `matrix`, without `strategy`",
    "stage": "write `needs`, the jobs that come first",
    "dependencies": "write `needs`, the jobs that come first",
    "artifacts": "leave files in $CUPEL_ARTIFACTS",
    "allow_failure": "write `voting: false`",
    "continue-on-error": "write `voting: false`",
    "timeout-minutes": "write `timeout`, as in 20m",
    "protected": "only jobs of this project can be extended; remove it",
    "final": "only jobs of this project can be extended; remove it",
}
"""What other systems call it, or have instead."""


class JobShape:
    """Reads a job; its name is the key before it."""

    record = Record(
        wanted="a job, which is a mapping",
        fields=(
            extends.EXTENDS,
            extends.ABSTRACT,
            MACHINE,
            together.MACHINES,
            together.SERVICES,
            together.LINKS,
            STEPS,
            INPUTS,
            EVIDENCE,
            TIMEOUT,
            HOLD,
            ENV,
            NEEDS,
            PROJECTS,
            SEMAPHORES,
            cache.CACHE,
            VOTING,
            MATRIX,
        ),
        later=frozenset({"cartesian", "secrets"}),
        elsewhere=_ELSEWHERE,
    )

    def read(self, value: Value, problems: Problems) -> JobConfig:
        found = self.record.read(value, problems)
        if found.get(extends.ABSTRACT, False):
            return JobConfig(name="", machine="", steps=(), abstract=True, at=found.at)
        if not found.says(STEPS) and not found.misspells(STEPS) and not found.says(extends.EXTENDS):
            problems.add(found.at, 'the key "steps" is missing', STEPS.text)
        return self._runnable(found, problems)

    def _runnable(self, found: Found, problems: Problems) -> JobConfig:
        own = found.find(MACHINE)
        beside = together.Together()
        if not found.failed(MACHINE) and not found.says(extends.EXTENDS):
            beside = together.read(found, own, problems)
        first = Placed(beside.parts[0].label, beside.at[0]) if beside.parts else None
        machine = own or first or Placed("", found.at)
        steps = found.get(STEPS, ())
        env = [(key, value) for key, value in found.get(ENV, ()) if value is not None]
        needs = found.get(NEEDS, ())
        projects = found.get(PROJECTS, ())
        semaphores = found.get(SEMAPHORES, ())
        matrix = found.find(MATRIX)
        if not found.failed(MATRIX):
            texts = [Placed(step.value.text, step.at) for step in steps]
            labels = [
                Placed(part.label, at) for part, at in zip(beside.parts, beside.at, strict=True)
            ]
            scripts = [
                Placed(script, found.mark(together.SERVICES))
                for service in beside.services
                for script in (service.run, service.health)
            ]
            for text in [machine, *labels[1:], *scripts, *texts, *(value for _, value in env)]:
                check_references(text.value, text.at, matrix, problems)
        if not found.failed(together.MACHINES) and not found.failed(together.SERVICES):
            known = {part.name for part in beside.parts} or {together.OWN}
            for on in (step.on for step in steps):
                if on is not None:
                    together.check_name(on, known, problems)
        _check_boot(steps, beside, problems)
        _check_caches(found, steps, matrix, problems)
        for names in (needs, projects, semaphores):
            _check_twice(names, problems)
        return JobConfig(
            name="",
            machine=machine.value,
            steps=tuple(step.value for step in steps),
            env=tuple((key.value, value.value) for key, value in env),
            inputs=found.get(INPUTS, ()),
            timeout=found.get(TIMEOUT, DEFAULT_TIMEOUT),
            hold=found.get(HOLD, 0.0),
            needs=tuple(need.value for need in needs),
            voting=found.get(VOTING, True),
            evidence=found.get(EVIDENCE, "inputs") != "never",
            projects=tuple(project.value for project in projects),
            semaphores=tuple(semaphore.value for semaphore in semaphores),
            matrix=matrix,
            parts=beside.parts,
            services=beside.services,
            links=beside.links,
            caches=found.get(cache.CACHE, ()),
            parts_at=beside.at,
            steps_at=steps[0].at if steps else found.at,
            origins=_origins(self.record, found),
            at=found.at,
            machine_at=machine.at,
            needs_at=tuple(need.at for need in needs),
            projects_at=tuple(project.at for project in projects),
        )

    def schema(self) -> Schema:
        """A job that extends others says what it wants, an empty key takes away."""
        either: list[list[Field[Any]]] = [
            [STEPS, MACHINE],  # first, since editors tell what is missing of that
            [STEPS, together.MACHINES],
            [extends.EXTENDS],
            [extends.ABSTRACT],
        ]
        schema = self.record.schema()
        for field in self.record.fields:
            if field.key not in extends.OWN:
                described = schema["properties"][field.key]
                said = {key: described.pop(key) for key in ("title", "description")}
                schema["properties"][field.key] = said | {"anyOf": [described, {"type": "null"}]}
        return schema | {"anyOf": [{"required": [field.key for field in keys]} for keys in either]}


def _origins(record: Record, found: Found) -> dict[str, Mark]:
    origins = {
        field.key: found.mark(field)
        for field in record.fields
        if found.find(field) is not None and field.key not in extends.OWN
    }
    steps = found.find(STEPS) or ()
    origins |= {f"steps.{number}": step.at for number, step in enumerate(steps)}
    by_name: tuple[Field[Any], ...] = (ENV, together.MACHINES, together.SERVICES)
    for field in by_name:
        origins |= {f"{field.key}.{name.value}": name.at for name, _ in found.find(field) or ()}
    return origins


def _check_caches(
    found: Found, steps: tuple[PlacedStep, ...], matrix: Matrix | None, problems: Problems
) -> None:
    caches, at = found.get(cache.CACHE, ()), found.mark(cache.CACHE)
    if caches and any(step.value.boot is not None for step in steps):
        problems.add(at, "a system that is booted has no caches")
    if not found.failed(MATRIX):
        for text in (text for each in caches for text in each.texts):
            check_references(text, at, matrix, problems)


def _check_boot(
    steps: tuple[PlacedStep, ...], beside: together.Together, problems: Problems
) -> None:
    booting = next((step for step in steps if step.value.boot is not None), None)
    if booting is not None and len(steps) > 1:
        problems.add(booting.at, "a step that boots a system is the only one of its job")
    elif booting is not None and len(beside.parts) > 1:
        problems.add(booting.at, "a system that is booted can't be beside other machines")


def _check_twice(names: tuple[Placed[str], ...], problems: Problems) -> None:
    seen: set[str] = set()
    for name in names:
        if name.value in seen:
            problems.add(name.at, f"{show(name.value)} is there twice")
        seen.add(name.value)
