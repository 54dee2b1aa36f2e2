"""Which jobs are meant: by name, by pipeline, by cells of their matrices."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from cupel.config import freeze, problem
from cupel.config.project import ProjectConfig
from cupel.config.server import LabelConfig
from cupel.core.job import Job, Pipeline
from cupel.errors import NotFound, UserError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody asked for: jobs by `names`, else all of the pipeline.

    Of jobs with a matrix those whose cells have one of the values that `cells` names of each key.
    """

    names: tuple[str, ...] = ()
    pipeline: Pipeline = Pipeline.CHECK
    cells: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """`jobs` to run, needed ones first; `named` are the names of those that were asked for."""

    jobs: tuple[Job, ...]
    named: frozenset[str]


def choose(
    config: ProjectConfig, wish: Wish, labels: Mapping[str, LabelConfig] | None = None
) -> Chosen:
    """Raises `NotFound` for an unknown job, `UserError` for an unknown cell, and `ConfigErrors`."""
    if wish.names:
        bases = [_base(config, name) for name in wish.names]
        frozen = freeze.some(config, dict.fromkeys(bases), labels)
        asked = [
            job
            for job in frozen
            if any(job.base == base and name in (base, job.name)
                   for base, name in zip(bases, wish.names, strict=True))
        ]  # fmt: skip
    else:
        frozen = freeze.freeze(config, wish.pipeline, labels)
        listed = config.pipeline(wish.pipeline)
        asked = [job for job in frozen if job.base in listed]
    asked = _in_cells(asked, wish.cells)
    needed = with_needs(frozen, {job.name for job in asked})
    return Chosen(jobs=needed, named=frozenset(job.name for job in asked))


def _base(config: ProjectConfig, name: str) -> str:
    """The job of a name, which may be that of one of its cells."""
    if name in config.jobs:
        return name
    base = name.partition(" (")[0]
    if base in config.jobs:
        cells = [job.name for job in freeze.some(config, [base]) if job.base == base]
        if name in cells:
            return base
        raise NotFound(
            f"job {base} has no cell {problem.show(name)}",
            hint=problem.suggest(name, cells, f"cells of {base}"),
        )
    raise NotFound(
        f"there is no job {problem.show(name)}", hint=problem.suggest(name, config.jobs, "jobs")
    )


def _in_cells(jobs: Sequence[Job], cells: Iterable[tuple[str, str]]) -> list[Job]:
    """The jobs whose cells are wanted; those without a matrix are only wanted by themselves."""
    wanted: dict[str, set[str]] = {}
    for key, value in cells:
        wanted.setdefault(key, set()).add(value)
    for key, values in wanted.items():
        known = sorted({value for job in jobs for name, value in job.cell if name == key})
        if not known:
            keys = dict.fromkeys(name for job in jobs for name, _ in job.cell)
            raise UserError(
                f"no job here has {problem.show(key)} in its matrix",
                hint=problem.suggest(key, keys, "keys of matrices"),
            )
        for value in values.difference(known):
            raise UserError(
                f"no cell has {problem.show(f'{key}={value}')}",
                hint=f"values of {key}: {', '.join(map(problem.printable, known))}",
            )
    found = [
        job
        for job in jobs
        if all(dict(job.cell).get(key) in values for key, values in wanted.items())
    ]
    if not found:
        asked = " ".join(f"{key}={value}" for key, value in cells)
        raise UserError(f"no cell has {problem.show(asked)} together")
    return found


def with_needs(jobs: Sequence[Job], names: set[str]) -> tuple[Job, ...]:
    """The named jobs and, all the way down, what they need, in their order."""
    by_name = {job.name: job for job in jobs}
    wanted: set[str] = set()
    more = set(names)
    while more := more - wanted:
        wanted |= more
        more = {need for name in more for need in by_name[name].needs}
    return tuple(job for job in jobs if job.name in wanted)
