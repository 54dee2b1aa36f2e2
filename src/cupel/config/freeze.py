"""From jobs as written to jobs as run: matrices expanded, needs resolved, in topological order."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from cupel.config import matrix
from cupel.config.job import MAX_SCRIPT, JobConfig
from cupel.config.problem import ConfigErrors, Problem, Problems, show
from cupel.config.project import ProjectConfig
from cupel.core.job import Boot, Job, Part, Pipeline, Step

MAX_JOBS = 4096
MAX_TEXT = 4 << 20
"""Characters of all jobs of a pipeline together, expanded: they are stored with each buildset."""


def freeze(
    config: ProjectConfig,
    pipeline: Pipeline,
    labels: Collection[str] | None = None,
    projects: Collection[str] | None = None,
) -> tuple[Job, ...]:
    """The pipeline's jobs and those they need, needed ones first; the order is the configuration's.

    `labels` are those of the machines that there are, `projects` the names of those that can be
    beside; None if that is not known here. Raises `ConfigErrors` for a machine or a project that
    there is not, for more jobs than are sensible, and for a check or gate that would prove nothing.
    """
    chosen = closure(config, pipeline)
    if pipeline is not Pipeline.POST:
        _refuse_empty(config, pipeline, chosen)
    if projects is not None:
        _refuse_strangers(chosen, projects)
    return _expand(chosen, config, labels)


def some(
    config: ProjectConfig, names: Iterable[str], labels: Collection[str] | None = None
) -> tuple[Job, ...]:
    """As `freeze`, but these jobs, whichever pipelines list them; each name is a job's."""
    return _expand(_closure(config, names), config, labels)


def check(config: ProjectConfig, labels: Collection[str] | None = None) -> None:
    """Raise `ConfigErrors` with all that `freeze` would refuse, in any pipeline or in none."""
    problems = Problems()
    for pipeline in (Pipeline.CHECK, Pipeline.GATE, Pipeline.POST):
        try:
            freeze(config, pipeline, labels)
        except ConfigErrors as errors:
            problems.extend(errors)
    used = {job.name for pipeline in Pipeline for job in closure(config, pipeline)}
    unused = tuple(job for job in config.jobs.values() if job.name not in used)
    try:
        _expand(unused, config, labels)
    except ConfigErrors as errors:
        problems.extend(errors)
    problems.raise_any()


def _expand(
    chosen: tuple[JobConfig, ...], config: ProjectConfig, labels: Collection[str] | None
) -> tuple[Job, ...]:
    """All cells of the jobs. Stops before it makes more of them than may be."""
    problems = Problems()
    frozen: list[Job] = []
    text = 0
    for job in chosen:
        needs = tuple(name for need in job.needs for name in _names(config.jobs[need]))
        cells = _cells(job)
        if len(frozen) + len(cells) > MAX_JOBS or text + _weight(job) * len(cells) > MAX_TEXT:
            raise _too_many(job)
        for cell in cells:
            frozen.append(_freeze(job, cell, needs, config.semaphores))
            text += _weight(frozen[-1])
            text += sum(map(len, (*needs, *job.projects, *job.semaphores)))
            _check(job, frozen[-1], labels, problems)
        if text > MAX_TEXT:
            raise _too_many(job)
    problems.raise_any()
    return tuple(frozen)


def closure(config: ProjectConfig, pipeline: Pipeline) -> tuple[JobConfig, ...]:
    """The jobs that the pipeline lists and, before each, those that it needs."""
    return _closure(config, config.pipeline(pipeline))


def _closure(config: ProjectConfig, names: Iterable[str]) -> tuple[JobConfig, ...]:
    done: dict[str, JobConfig] = {}
    for name in names:
        waiting = [config.jobs[name]]
        while waiting:
            job = waiting[-1]
            missing = [config.jobs[need] for need in job.needs if need not in done]
            if missing and job.name not in done:
                waiting += reversed(missing)
            else:
                done.setdefault(job.name, waiting.pop())
    return tuple(done.values())


def _refuse_empty(config: ProjectConfig, pipeline: Pipeline, chosen: tuple[JobConfig, ...]) -> None:
    if not config.jobs:
        message = "nothing to prove: there are no jobs"
        hint = "`cupel init` writes a configuration to start from"
    elif pipeline is Pipeline.GATE and not chosen:
        message = "nothing to prove: gate lists no job"
        hint = "list a job in gate, or leave gate out to run the jobs of check"
    elif pipeline is Pipeline.GATE and not any(job.voting for job in chosen):
        message = "nothing to prove: no job of gate votes"
        hint = "let a job vote: remove “voting: false”"
    else:
        return
    raise ConfigErrors([Problem(config.gate_at, message, hint)])


def _refuse_strangers(chosen: tuple[JobConfig, ...], projects: Collection[str]) -> None:
    problems = Problems()
    for job in chosen:
        for name, at in zip(job.projects, job.projects_at, strict=True):
            if name not in projects:
                problems.add_unknown(
                    at,
                    f"no project {show(name)} with this branch shares the queue",
                    name,
                    projects,
                    "other projects in the queue",
                )
    problems.raise_any()


def _too_many(job: JobConfig) -> ConfigErrors:
    message = f"with this job the configuration expands to more than {MAX_JOBS:,} jobs or 4 MiB"
    return ConfigErrors([Problem(job.at, message, "make the matrix smaller, or its steps shorter")])


def _cells(job: JobConfig) -> tuple[matrix.Cell, ...]:
    return ((),) if job.matrix is None else matrix.cells(job.matrix)


def _names(job: JobConfig) -> tuple[str, ...]:
    return tuple(matrix.cell_name(job.name, cell) for cell in _cells(job))


def _freeze(
    job: JobConfig, cell: matrix.Cell, needs: tuple[str, ...], semaphores: Mapping[str, int]
) -> Job:
    env = {matrix.variable(key): value for key, value in cell}
    env |= {key: matrix.fill(value, cell) for key, value in job.env}
    return Job(
        name=matrix.cell_name(job.name, cell),
        base=job.name,
        label=matrix.fill(job.machine, cell),
        steps=tuple(
            dataclasses.replace(
                step,
                name=matrix.fill(step.name, cell),
                run=matrix.fill(step.run, cell),
                on=step.on if len(job.parts) > 1 else "",
                boot=_boot(step, cell),
                rerun_failed=matrix.fill(step.rerun_failed, cell),
            )
            for step in job.steps
        ),
        env=tuple(env.items()),
        inputs=job.inputs,
        timeout=job.timeout,
        hold=job.hold,
        needs=needs,
        voting=job.voting,
        cell=cell,
        evidence=job.evidence,
        projects=job.projects,
        semaphores=tuple((name, semaphores.get(name, 1)) for name in job.semaphores),
        parts=_parts(job, cell),
        services=tuple(
            replace(each, run=matrix.fill(each.run, cell), health=matrix.fill(each.health, cell))
            for each in job.services
        ),
        links=job.links,
        caches=tuple(
            replace(each, texts=tuple(matrix.fill(text, cell) for text in each.texts))
            for each in job.caches
        ),
    )


def _boot(step: Step, cell: matrix.Cell) -> Boot | None:
    if step.boot is None:
        return None
    return replace(
        step.boot,
        expect=tuple(matrix.fill(text, cell) for text in step.boot.expect),
        fail=tuple(matrix.fill(text, cell) for text in step.boot.fail),
    )


def _parts(job: JobConfig, cell: matrix.Cell) -> tuple[Part, ...]:
    """All machines of a job that has several."""
    if len(job.parts) < 2:
        return ()
    return tuple(replace(part, label=matrix.fill(part.label, cell)) for part in job.parts)


def _weight(job: JobConfig | Job) -> int:
    """Characters of what a job consists of, but for the names of others."""
    steps = sum(len(step.name) + len(step.text) for step in job.steps)
    steps += sum(len(each.run) + len(each.health) for each in job.services)
    env = sum(len(key) + len(value) for key, value in job.env)
    caches = sum(
        sum(map(len, (each.name, *each.paths, *each.files, *each.texts))) for each in job.caches
    )
    return len(job.name) + steps + env + caches + sum(map(len, job.inputs))


def _check(job: JobConfig, frozen: Job, labels: Collection[str] | None, problems: Problems) -> None:
    if labels is not None and frozen.label not in labels:
        problems.add_unknown(
            job.machine_at,
            f"no machine has the label {show(frozen.label)}",
            frozen.label,
            labels,
            "labels",
        )
    for part, at in zip(frozen.parts[1:], job.parts_at[1:], strict=True):
        if labels is not None and part.label not in labels:
            message = f"no machine has the label {show(part.label)}"
            problems.add_unknown(at, message, part.label, labels, "labels")
    _check_system(job, frozen, labels, problems)
    for step in frozen.steps:
        if len(step.run.encode()) > MAX_SCRIPT:
            problems.add(
                job.at, f"a step of {show(frozen.name)} is longer than {MAX_SCRIPT:,} bytes"
            )


def _check_system(
    job: JobConfig, frozen: Job, labels: Collection[str] | None, problems: Problems
) -> None:
    """Scripts need a machine of ours, and `boot` one of a system of its own; known of a mapping."""
    if not isinstance(labels, Mapping):
        return
    known = {name: label.is_system for name, label in labels.items()}
    boots = any(step.boot is not None for step in frozen.steps)
    if known.get(frozen.label, boots) != boots:
        if boots:
            message = f"the label {show(frozen.label)} boots no system of its own"
            hint = "write a script, or name a label whose image is a `disk` or a `kernel`"
        else:
            message = f"nothing can be started on the label {show(frozen.label)}"
            hint = "it boots a system of its own; write `- boot: {expect: …}` as the only step"
        problems.add(job.steps_at, message, hint)
    for part, at in zip(frozen.parts[1:], job.parts_at[1:], strict=True):
        if known.get(part.label, False):
            problems.add(at, f"a machine of {show(part.label)} can't be beside others")
