"""The jobs of a change as they are frozen: where each key comes from, and what is new in them."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from cupel.config import explained, freeze, origin
from cupel.config.problem import ConfigErrors
from cupel.config.project import ProjectConfig
from cupel.control import configuration
from cupel.control.configuration import Sources
from cupel.control.views import lookup, problems
from cupel.control.views.nouns.frozen import (
    FrozenJobView,
    FrozenView,
    KeyView,
    ProblemView,
    StepTextView,
)
from cupel.core.model import (
    Branch,
    Build,
    Buildset,
    Change,
    Item,
    Job,
    PatchSet,
    Pipeline,
    Project,
)
from cupel.errors import InfraError, NotFound, UserError
from cupel.git import repository
from cupel.store.interface import Transaction

KEPT = 16
"""Configurations that are remembered, as read."""

_ORDER = (Pipeline.GATE, Pipeline.CHECK, Pipeline.POST)

_read: collections.OrderedDict[str, Sources] = collections.OrderedDict()
"""By commit, which is named by content, so it is good for all repositories."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """What a change's configuration is read from: a state, or the patch set where there is none.

    `recorded` is what was said of a configuration that could not be used. `states` are the newest
    builds of its jobs.
    """

    change: int
    patch_set: int
    project: str
    pipeline: Pipeline
    commit: str
    state_ref: str | None
    head: str | None
    recorded: str | None
    builds: Mapping[str, Build]


async def proved(tx: Transaction, id: int, pipeline: Pipeline | None = None) -> Proved:
    """Of the newest patch set of a change; by default in the pipeline that it was last in.

    Raises NotFound.
    """
    change = await tx.get(Change, id)
    if change is None:
        raise NotFound(f"there is no change {id}", hint="`cupel change list` has them all")
    project = await tx.get(Project, change.project_id)
    assert project is not None
    where = {"change_id": id, "number": change.patch_set}
    (patch_set,) = await tx.select(PatchSet, where)
    heads = await tx.select(Branch, {"project_id": project.id, "name": change.branch})
    items = await tx.select(Item, {"change_id": id, "patch_set": change.patch_set}, descending=True)
    wanted = [
        i for i in items if i.pipeline is pipeline or (pipeline is None and i.pipeline in _ORDER)
    ]
    state = await tx.get(Buildset, wanted[0].buildset_id or 0) if wanted else None
    builds: dict[str, Build] = {}
    if state is not None:
        builds = {row.job: row for row in await tx.select(Build, {"buildset_id": state.id})}
    return Proved(
        change=id,
        patch_set=change.patch_set,
        project=project.name,
        pipeline=pipeline or (wanted[0].pipeline if wanted else Pipeline.CHECK),
        commit=patch_set.commit,
        state_ref=None if state is None else state.commit or repository.state_ref(state.id),
        head=heads[0].head if heads else None,
        recorded=None if state is None else _recorded(state),
        builds=builds,
    )


def _recorded(state: Buildset) -> str | None:
    return state.detail if state.state is state.state.MISCONFIGURED else None


async def frozen_view(
    repositories: Path, labels: Collection[str] | None, seen: Proved
) -> FrozenView:
    """The frozen jobs of a change. Raises InfraError where git has not even its patch set."""
    repo = repositories / f"{seen.project}.git"
    state = None if seen.state_ref is None else await _resolve(repo, seen.state_ref)
    commit = state or seen.commit
    sources = await _sources(repo, commit, seen)
    ours = await asyncio.to_thread(_freeze, sources, seen.pipeline, labels)
    theirs, why = await _of_branch(repo, labels, seen)
    views = [] if ours.jobs is None else await asyncio.to_thread(_jobs, ours, theirs, seen.builds)
    names = {job.name for job in ours.jobs or ()}
    return FrozenView(
        change=seen.change,
        patch_set=seen.patch_set,
        pipeline=seen.pipeline,
        commit=commit,
        is_state=state is not None,
        base=seen.head,
        notice=ours.notice,
        jobs=views,
        gone=sorted({job.name for job in (theirs.jobs or ()) if job.name not in names})
        if theirs is not None and ours.jobs is not None
        else [],
        problems=ours.problems,
        incomparable=why,
    )


async def problem_views(repositories: Path, seen: Proved) -> list[ProblemView]:
    """What was recorded to be wrong with the configuration, in the text of the files."""
    if seen.recorded is None:
        return []
    repo = repositories / f"{seen.project}.git"
    texts: Mapping[str, str] = {}
    try:
        commit = None if seen.state_ref is None else await _resolve(repo, seen.state_ref)
        texts = (await _sources(repo, commit or seen.commit, seen)).texts
    except (InfraError, UserError):
        pass  # the places and what is wrong there are told all the same
    return problems.of_text(seen.recorded, texts)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Frozen:
    config: ProjectConfig | None
    jobs: tuple[Job, ...] | None
    notice: str | None
    problems: list[ProblemView]


async def _resolve(repo: Path, name: str) -> str | None:
    return await repository.resolve(repo, name) if repo.is_dir() else None


async def _sources(repo: Path, commit: str, seen: Proved) -> Sources:
    if commit not in _read:
        if await _resolve(repo, commit) is None:
            raise InfraError(
                f"the repository of {seen.project} has no commit {commit[:12]}",
                hint="it was restored from elsewhere, or removed by hand: push the change again",
            )
        _read[commit] = await configuration.sources(repo, commit)
        while len(_read) > KEPT:
            _read.popitem(last=False)
    _read.move_to_end(commit)
    return _read[commit]


def _freeze(sources: Sources, pipeline: Pipeline, labels: Collection[str] | None) -> _Frozen:
    try:
        loaded = sources.load(labels)
        jobs = freeze.freeze(loaded.config, pipeline, labels)
    except ConfigErrors as errors:
        found = problems.of_errors(errors, sources.texts)
        return _Frozen(config=None, jobs=None, notice=None, problems=found)
    return _Frozen(config=loaded.config, jobs=jobs, notice=loaded.notice, problems=[])


async def _of_branch(
    repo: Path, labels: Collection[str] | None, seen: Proved
) -> tuple[_Frozen | None, str | None]:
    """What the branch has, or why that is not known."""
    if seen.head is None:
        return None, "the branch has no commit yet"
    try:
        sources = await _sources(repo, seen.head, seen)
    except (InfraError, UserError) as error:
        return None, str(error)
    theirs = await asyncio.to_thread(_freeze, sources, seen.pipeline, labels)
    if theirs.jobs is None:
        return None, "the branch's own configuration can't be used"
    return theirs, None


def _jobs(
    ours: _Frozen, theirs: _Frozen | None, builds: Mapping[str, Build]
) -> list[FrozenJobView]:
    assert ours.jobs is not None
    assert ours.config is not None
    former = {job.name: job for job in theirs.jobs or ()} if theirs is not None else {}
    depths = _depths(ours.jobs)
    views = []
    for job in ours.jobs:
        before = former.get(job.name)
        rows = _rows(job, ours.config)
        old_rows = [] if before is None or theirs is None else _rows(before, theirs.config)
        keys, gone = _compared(rows, old_rows, alone=theirs is None)
        steps = _steps(job, before, ours.config, alone=theirs is None)
        kept = {step.text for step in job.steps}
        gone_steps = [s.text for s in before.steps if s.text not in kept] if before else []
        new = theirs is not None and before is None
        build = builds.get(job.name)
        views.append(
            FrozenJobView(
                name=job.name,
                base=job.base,
                voting=job.voting,
                needs=list(job.needs),
                depth=depths[job.name],
                new=new,
                differs=new
                or any(key.new or key.before is not None for key in keys)
                or any(step.new for step in steps)
                or bool(gone or gone_steps),
                keys=keys,
                gone=gone,
                steps=steps,
                gone_steps=gone_steps,
                state=None if build is None else lookup.icon(build),
                build=None if build is None else build.id,
            )
        )
    return views


_Row = tuple[str, str, str]


def _rows(job: Job, config: ProjectConfig | None) -> list[_Row]:
    """Key, value and place, of all but the name."""
    assert config is not None
    rows = explained.rows(job, config, origin.trace(config, job))
    return [row for row in rows if row[0] != "job"]


def _compared(
    rows: Sequence[_Row], before: Sequence[_Row], *, alone: bool
) -> tuple[list[KeyView], list[KeyView]]:
    """The keys, those that the branch has besides, and in both what is new."""
    left = collections.Counter((_name(row), row[1]) for row in before)
    same = [left[_name(row), row[1]] > 0 for row in rows]
    others: dict[str, list[str]] = {}
    known = {(_name(row), row[1]) for row in rows}
    for row in before:
        if (_name(row), row[1]) not in known:
            others.setdefault(_name(row), []).append(row[1])
    views = []
    for row, is_same in zip(rows, same, strict=True):
        former = None if is_same else next(iter(others.get(_name(row), ())), None)
        if former is not None:
            others[_name(row)].remove(former)
        is_new = not alone and not is_same and former is None
        views.append(KeyView(key=row[0], value=row[1], at=row[2], new=is_new, before=former))
    gone = [
        KeyView(key=name.partition("\0")[0], value=value, at="", new=False, before=None)
        for name, values in others.items()
        for value in values
    ]
    return views, gone


def _name(row: _Row) -> str:
    """What tells a key from others: of a variable its name, too."""
    return f"{row[0]}\0{row[1].partition('=')[0]}" if row[0] == "environment" else row[0]


def _steps(
    job: Job, before: Job | None, config: ProjectConfig, *, alone: bool
) -> list[StepTextView]:
    places = origin.trace(config, job)
    known = {(step.on, step.text) for step in before.steps} if before is not None else set()
    return [
        StepTextView(
            name=step.name,
            text=step.text,
            on=step.on,
            at=places.get(f"steps.{number}", places["steps"]),
            new=not alone and (step.on, step.text) not in known,
        )
        for number, step in enumerate(job.steps)
    ]


def _depths(jobs: Iterable[Job]) -> dict[str, int]:
    """Jobs come after those that they need."""
    depths: dict[str, int] = {}
    for job in jobs:
        depths[job.name] = 1 + max((depths.get(need, 0) for need in job.needs), default=-1)
    return depths
