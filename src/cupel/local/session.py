"""One `cupel run`, from the working tree to what became of its jobs."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cupel.config import load as configuration
from cupel.config.project import ProjectConfig
from cupel.config.server import ServerConfig
from cupel.control import orders
from cupel.core.model import Job
from cupel.errors import NotFound, UserError
from cupel.git import commits, snapshot
from cupel.git.snapshot import Snapshot, Worktree
from cupel.host.messages import MachineSpec, SourceSpec
from cupel.host.providers.namespace import NamespaceProvider
from cupel.local import choice, events, place, run
from cupel.local.build import Bench, Origin, Result
from cupel.local.choice import Chosen, Wish

if TYPE_CHECKING:
    from cupel.host.providers.interface import Provider

REMOTE = "cupel"
"""The remote that people push changes to, as the tutorial has it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to run, and with what. `path` is in the working tree; `commit` a committed state of it.

    `state` is the state directory, whose images are used; `config` says what machines there are.
    `beside` are working trees of other projects, by name. `artefacts` is where files that jobs
    leave are laid out, by default in the state directory.
    """

    path: Path
    state: Path
    config: ServerConfig
    wish: Wish
    commit: str | None = None
    at_once: int = 1
    beside: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    artefacts: Path | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of it all, and of each job."""

    verdict: str
    jobs: tuple[Job, ...]
    results: Mapping[str, Result]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be run on which state, and what its author should be told of it."""

    worktree: Worktree
    snapshot: Snapshot
    config: ProjectConfig
    chosen: Chosen
    notice: str | None


async def plan(request: Request, worktree: Worktree, repo: Path) -> Plan:
    """Read the working tree; `repo` is where it is kept. Raises `UserError`."""
    state = await _state(worktree, request.commit, repo)
    config, notice = await _read(state)
    try:
        chosen = choice.choose(config, request.wish, request.config.labels)
    except NotFound as error:
        if config.jobs:
            raise
        raise _no_jobs(worktree) from error
    return Plan(worktree=worktree, snapshot=state, config=config, chosen=chosen, notice=notice)


async def _state(worktree: Worktree, commit: str | None, repo: Path) -> Snapshot:
    if commit is None:
        return await snapshot.take(worktree, repo)
    return await snapshot.committed(worktree, commit, repo)


async def _read(state: Snapshot) -> tuple[ProjectConfig, str | None]:
    """The configuration in a state, and what to tell of it; problems are those of `choose`."""
    listing = await commits.list_files(state.repo, state.commit)
    files = await snapshot.read(state.repo, state.tree, configuration.config_paths(listing))
    texts = {path: content.decode(errors="replace") for path, content in files.items()}
    loaded = configuration.load(texts, listing)
    return loaded.config, loaded.notice


def _no_jobs(worktree: Worktree) -> UserError:
    return UserError(
        f"{worktree.root} has no jobs", hint="`cupel init` writes a configuration to start from"
    )


async def run_here(request: Request, show: events.Show) -> Outcome:
    """Run the jobs, on machines of which nothing is left at the end.

    A signal that asks to stop ends what runs; verdicts are `cancelled` then. Raises `UserError`
    for a tree or a wish that can't be run, and `InfraError`.
    """
    worktree = await snapshot.find(request.path)
    with place.hold(request.state, worktree.root) as held:
        made = await plan(request, worktree, held / "tree.git")
        jobs = made.chosen.jobs
        origin = await _origin(request, made, held)
        show(
            events.Begun(
                project=origin.project,
                branch=origin.sources[origin.project].branch,
                commit=made.snapshot.commit,
                dirty=made.snapshot.dirty,
                jobs=tuple(job.name for job in jobs),
            )
        )
        if made.notice:
            show(events.Told(job="", text=made.notice))
        async with _provider(request, held, jobs) as provider:
            bench = Bench(
                held,
                provider,
                origin,
                config=request.config,
                specs=_specs(request.config, jobs),
                left=request.artefacts or held / "left",
                show=show,
            )
            running = run.Run(bench, jobs, at_once=request.at_once, show=show)
            with _signals(running):
                results = await running.all()
        return Outcome(verdict=run.verdict(jobs, results), jobs=jobs, results=results)


async def _origin(request: Request, made: Plan, held: Path) -> Origin:
    project = project_of(made.worktree)
    branch = made.worktree.upstream or made.worktree.branch or "HEAD"
    sources = {project: _source(made.snapshot, branch)}
    for name in sorted({name for job in made.chosen.jobs for name in job.projects}):
        if name not in request.beside:
            raise UserError(
                f"a job asks for project {name} beside its own",
                hint=f"say where its working tree is: --beside {name}=PATH",
            )
        other = await snapshot.find(request.beside[name])
        state = await snapshot.take(other, held / f"beside-{name}.git")
        sources[name] = _source(state, branch)
    pipeline = str(request.wish.pipeline)
    return Origin(project=project, sources=sources, about={"CUPEL_PIPELINE": pipeline})


def _source(state: Snapshot, branch: str) -> SourceSpec:
    return SourceSpec(url=str(state.repo), ref=snapshot.REF, commit=state.commit, branch=branch)


def project_of(worktree: Worktree) -> str:
    """The project's name: as in the URL of its remote `cupel` or `origin`, else its directory's."""
    urls = (worktree.urls.get(name, "") for name in (REMOTE, "origin"))
    names = (re.split(r"[/:]", url.rstrip("/"))[-1].removesuffix(".git") for url in urls)
    name = next((each for each in (*names, worktree.root.name) if each), "")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")[:64] or "project"


def _specs(config: ServerConfig, jobs: Sequence[Job]) -> dict[str, MachineSpec]:
    wanted = dict.fromkeys(label for job in jobs for label in job.labels)
    return {label: orders.machine_spec(label, config.labels[label]) for label in wanted}


@contextlib.asynccontextmanager
async def _provider(request: Request, held: Path, jobs: Sequence[Job]) -> AsyncIterator[Provider]:
    """What makes the machines; those that runs which were killed have left are removed first."""
    images = request.state / "images"
    provider = _make_provider(request, held, images, jobs)
    try:
        await _purge(provider)
        with place.abandoned(request.state, held) as others:
            for other in others:
                await _purge(NamespaceProvider(other, images=images))
        yield provider
    finally:
        await provider.close()


def _make_provider(request: Request, held: Path, images: Path, jobs: Sequence[Job]) -> Provider:
    names = {request.config.labels[label].provider for job in jobs for label in job.labels}
    namespace = NamespaceProvider(held, images=images)
    if names == {namespace.name}:
        return namespace
    from cupel.host.providers.several import Several
    from cupel.host.providers.vm.provider import VmProvider

    return Several(namespace, VmProvider(held, images=images, store=request.state / "vm"))


async def _purge(provider: Provider) -> None:
    for machine in await provider.list():
        await provider.purge(machine)


@contextlib.contextmanager
def _signals(running: run.Run) -> Iterator[None]:
    """Let signals that ask to stop do so in order."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, running.stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def cores() -> int:
    """How many jobs can run at a time without taking cores from each other."""
    return max(1, len(os.sched_getaffinity(0)))


async def jobs(request: Request) -> tuple[Job, ...]:
    """The jobs that `run_here` would run, needed ones first. Raises as that does."""
    worktree = await snapshot.find(request.path)
    with place.hold(request.state, worktree.root) as held:
        return (await plan(request, worktree, held / "tree.git")).chosen.jobs
