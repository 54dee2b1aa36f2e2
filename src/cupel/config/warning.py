"""What is likely a mistake in a configuration that is good all the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import pathspec

from cupel.config import freeze
from cupel.config.job import JobConfig
from cupel.config.problem import Mark, Problem, show
from cupel.config.project import ProjectConfig
from cupel.core.job import Pipeline

MAX_MATCHED = 4_000_000
"""Patterns times paths that are compared; beyond that it is not told what matches nothing."""


class Label(Protocol):
    """What is known of a label: the server's configuration has it, and so has the API."""

    @property
    def network(self) -> str: ...
    @property
    def prefetches(self) -> bool: ...


_FETCHES = re.compile(
    r"(?:^|[\s;&|/])(pip3? install|npm (?:ci|install)|pnpm install|yarn install|cargo fetch"
    r"|go mod download|apt(?:-get)? install|curl|wget|git clone)\b"
)
_REPORT = re.compile(r"--junit-?xml[= ]+(?![\"']?\$\{?CUPEL_)(\S+)")
_OTHERS = re.compile(
    r"\$\{?(GITHUB_[A-Z_]+|CI_(?:COMMIT|PROJECT|JOB|MERGE)[A-Z_]*|ZUUL_[A-Z_]+|BUILDKITE_[A-Z_]+)"
)


def warnings(
    config: ProjectConfig,
    listing: Sequence[str] = (),
    labels: Mapping[str, Label] | None = None,
) -> tuple[Problem, ...]:
    """All warnings, by place. `listing` are the repository's paths, `labels` the server's."""
    found = [*_unused(config), *_silenced(config)]
    for job in config.jobs.values():
        found += [*_steps(job), *_offline(job, labels or {})]
    found += _unmatched(config, listing)
    return tuple(sorted(dict.fromkeys(found), key=lambda problem: problem.at))


def _unused(config: ProjectConfig) -> Iterator[Problem]:
    """Jobs, templates and semaphores that nothing comes of."""
    run = {job.name for pipeline in Pipeline for job in freeze.closure(config, pipeline)}
    extended = {parent.value for parents in config.parents.values() for parent in parents}
    for job in config.jobs.values():
        if job.name not in run | extended:
            message = f"no pipeline runs the job {show(job.name)}, and no job needs or extends it"
            yield Problem(job.at, message, "list it in check, gate or post, or remove it")
    for name, at in config.templates.items():
        if name not in extended:
            yield Problem(at, f"no job extends the template {show(name)}", "extend or remove it")
    held = {name for job in config.jobs.values() for name in job.semaphores}
    for name, at in config.semaphores_at.items():
        if name not in held:
            hint = "name it in the job's `semaphore`, or remove it"
            yield Problem(at, f"no job holds the semaphore {show(name)}", hint)


def _silenced(config: ProjectConfig) -> Iterator[Problem]:
    """Jobs that vote, but are skipped when one that does not fails."""
    for job in config.jobs.values():
        for need, at in zip(job.needs, job.needs_at, strict=True):
            if job.voting and not config.jobs[need].voting:
                message = (
                    f"{job.name} votes, and is skipped where {need} fails, which does not vote"
                )
                yield Problem(at, message, f"let {need} vote, or do not need it")


def _steps(job: JobConfig) -> Iterator[Problem]:
    for number, step in enumerate(job.steps):
        at = job.origins.get(f"steps.{number}", job.at)
        if report := _REPORT.search(step.run):
            message = f"results in {show(report[1])} are not collected"
            yield Problem(at, message, "write them below $CUPEL_RESULTS")
        # BASH_ENV names what sets such variables, as `cupel import` writes it.
        known = any(name == "BASH_ENV" for name, _ in job.env)
        if (variable := _OTHERS.search(step.run)) and not known:
            message = f"{variable[1]} is a variable of another system and is empty here"
            yield Problem(at, message, "the variables that there are begin with CUPEL_")


def _offline(job: JobConfig, labels: Mapping[str, Label]) -> Iterator[Problem]:
    label = labels.get(job.machine)
    if label is None or label.network != "none" or label.prefetches:
        return
    for number, step in enumerate(job.steps):
        if found := _FETCHES.search(step.run):
            at = job.origins.get(f"steps.{number}", job.at)
            message = f"“{found[1]}” on {job.machine}, whose machines have no network"
            others = [name for name, each in sorted(labels.items()) if each.network != "none"]
            with_one = f"labels with one: {', '.join(others)}" if others else "no label has one"
            yield Problem(at, message, with_one)


def _unmatched(config: ProjectConfig, listing: Sequence[str]) -> Iterator[Problem]:
    """Patterns of `inputs` that no file matches."""
    patterns = {pattern for job in config.jobs.values() for pattern in job.inputs}
    if not listing or len(patterns) * len(listing) > MAX_MATCHED:
        return
    idle = {pattern for pattern in patterns if not _matches(pattern, listing)}
    for job in config.jobs.values():
        for pattern in job.inputs:
            if pattern in idle:
                at: Mark = job.origins.get("inputs", job.at)
                yield Problem(at, f"no file matches {show(pattern)}", "mend or remove the pattern")


def _matches(pattern: str, listing: Sequence[str]) -> bool:
    spec = pathspec.GitIgnoreSpec.from_lines([pattern.removeprefix("!")])
    return any(spec.match_file(path) for path in listing)
