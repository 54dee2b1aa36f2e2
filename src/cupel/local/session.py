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
from cupel.config.server import ServerConfig
from cupel.control import orders
from cupel.core.job import Job
from cupel.errors import UserError
from cupel.git import snapshot
from cupel.git.snapshot import Snapshot, Worktree
from cupel.host.messages import MachineSpec, SourceSpec
from cupel.host.providers.namespace import NamespaceProvider
from cupel.host.tenancy import no_stock
from cupel.local import choice, events, place, run
from cupel.local.build import Bench, Origin, Result
from cupel.local.choice import Chosen, Wish
from cupel.local.reading import Read

if TYPE_CHECKING:
    from cupel.host.providers.interface import Provider
    from cupel.local.elsewhere import Elsewhere

REMOTE = "cupel"
"""The remote that people push changes to, as the tutorial has it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to run, and with what.

    `state` is the state directory, whose images are used; `config` says what machines there are.
    `beside` are working trees of other projects, by name. `artefacts` is where files that jobs
    leave are laid out, by default in the state directory. `server` is that whose machines they
    are, where that is on another computer.
    """

    state: Path
    config: ServerConfig
    wish: Wish
    at_once: int = 1
    beside: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    artefacts: Path | None = None
    server: Elsewhere | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of it all, and of each job."""

    verdict: str
    jobs: tuple[Job, ...]
    results: Mapping[str, Result]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be run, and what its author should be told of it."""

    chosen: Chosen
    notice: str | None


async def plan(request: Request, read: Read) -> Plan:
    """Which jobs the request is for, in the state that was read. Raises `UserError`."""
    repo, tree = read.snapshot.repo, read.snapshot.tree
    files = await snapshot.read(repo, tree, configuration.config_paths(read.listing))
    texts = {path: content.decode(errors="replace") for path, content in files.items()}
    loaded = configuration.load(texts, read.listing)
    if not loaded.config.jobs:
        raise _no_jobs(read.worktree)
    chosen = choice.choose(loaded.config, request.wish, request.config.labels)
    return Plan(chosen=chosen, notice=loaded.notice)


def _no_jobs(worktree: Worktree) -> UserError:
    return UserError(
        f"{worktree.root} has no jobs", hint="`cupel init` writes a configuration to start from"
    )


async def run_here(request: Request, read: Read, show: events.Show) -> Outcome:
    """Run the jobs, on machines of which nothing is left at the end.

    A signal that asks to stop ends what runs; verdicts are `cancelled` then. Raises `UserError`
    for a wish that can't be run, and `InfraError`.
    """
    namespace = NamespaceProvider(read.held, images=request.state / "images")
    try:
        namespace.warm_up()
        made = await plan(request, read)
        jobs = made.chosen.jobs
        origin = await _origin(request, read, jobs)
        show(_begun(read, origin, jobs))
        if made.notice:
            show(events.Told(job="", text=made.notice))
        results = await _run(request, read, namespace, origin, jobs, show)
    finally:
        await namespace.close()
    return Outcome(verdict=run.verdict(jobs, results), jobs=jobs, results=results)


async def _run(
    request: Request,
    read: Read,
    namespace: NamespaceProvider,
    origin: Origin,
    jobs: Sequence[Job],
    show: events.Show,
) -> Mapping[str, Result]:
    server = request.server
    await _clear_up(request, read.held, namespace)
    async with _provider(request, read.held, namespace, jobs) as provider:
        bench = Bench(
            read.held,
            provider,
            origin,
            config=request.config,
            specs=_specs(request, jobs),
            left=request.artefacts or read.held / "left",
            show=show,
            obtain=server.stock(request.state / "images") if server is not None else no_stock,
        )
        running = run.Run(bench, jobs, at_once=request.at_once, show=show)
        with _signals(running):
            return await running.all()


def _begun(read: Read, origin: Origin, jobs: Sequence[Job]) -> events.Begun:
    return events.Begun(
        project=origin.project,
        branch=origin.sources[origin.project].branch,
        commit=read.snapshot.commit,
        dirty=read.snapshot.dirty,
        jobs=tuple(job.name for job in jobs),
    )


async def _origin(request: Request, read: Read, jobs: Sequence[Job]) -> Origin:
    project = project_of(read.worktree)
    branch = read.worktree.upstream or read.worktree.branch or "HEAD"
    sources = {project: _source(read.snapshot, branch)}
    for name in sorted({name for job in jobs for name in job.projects}):
        if name not in request.beside:
            raise UserError(
                f"a job asks for project {name} beside its own",
                hint=f"say where its working tree is: --beside {name}=PATH",
            )
        other = await snapshot.find(request.beside[name])
        state = await snapshot.take(other, read.held / f"beside-{name}.git")
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


def _specs(request: Request, jobs: Sequence[Job]) -> Mapping[str, MachineSpec]:
    if request.server is not None:
        return request.server.specs
    config = request.config
    wanted = dict.fromkeys(label for job in jobs for label in job.labels)
    return {label: orders.machine_spec(label, config.labels[label]) for label in wanted}


async def _clear_up(request: Request, held: Path, ours: Provider) -> None:
    """Remove the machines that runs which were killed have left."""
    await _purge(ours)
    with place.abandoned(request.state, held) as others:
        for other in others:
            await _purge(NamespaceProvider(other, images=request.state / "images"))


@contextlib.asynccontextmanager
async def _provider(
    request: Request, held: Path, namespace: NamespaceProvider, jobs: Sequence[Job]
) -> AsyncIterator[Provider]:
    """What makes the machines that jobs ask for; virtual ones only if they do."""
    names = {request.config.labels[label].provider for job in jobs for label in job.labels}
    if names <= {namespace.name}:
        yield namespace
        return
    from cupel.host.providers.several import Several
    from cupel.host.providers.vm.provider import VmProvider

    machines = VmProvider(held, images=request.state / "images", store=request.state / "vm")
    try:
        yield Several(namespace, machines)
    finally:
        await machines.close()


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
