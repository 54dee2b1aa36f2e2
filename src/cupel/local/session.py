"""One `cupel run`, from the working tree to what became of its jobs."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shlex
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cupel.config import freeze
from cupel.config import load as configuration
from cupel.config.load import Loaded
from cupel.config.problem import ConfigErrors
from cupel.config.server import ServerConfig
from cupel.control import orders
from cupel.core import key as keys
from cupel.core.job import Job
from cupel.errors import InfraError, UserError
from cupel.git import commits, snapshot
from cupel.git.snapshot import Snapshot, Worktree
from cupel.host.messages import MachineSpec
from cupel.host.providers.namespace import NamespaceProvider
from cupel.host.tenancy import no_stock
from cupel.local import choice, events, place, run, sources
from cupel.local.build import Bench, Origin, Result, Visit
from cupel.local.choice import Chosen, Wish
from cupel.local.reading import Read

if TYPE_CHECKING:
    from cupel.host.providers.interface import Provider
    from cupel.local import proof
    from cupel.local.early import Begun
    from cupel.local.elsewhere import Elsewhere
    from cupel.local.offer import Send


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to run, and with what.

    `state` is the state directory, whose images are used; `config` says what machines there are.
    `beside` are working trees of other projects, by name. `artefacts` is where files that jobs
    leave are laid out, by default in the state directory. `server` is that whose machines they
    are, where that is on another computer. Jobs that `since`, a commit that counts as proved, or an
    earlier pass proves are not run; `ask` finds passes on a server. `visit` is given the machine of
    each job that fails. `offer` is given what has passed.
    """

    state: Path
    config: ServerConfig
    wish: Wish
    at_once: int = 1
    beside: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    artefacts: Path | None = None
    server: Elsewhere | None = None
    since: str | None = None
    visit: Visit | None = None
    ask: proof.Ask | None = None
    offer: Send | None = None


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
    loaded = await _load(read.snapshot, read.listing)
    if not loaded.config.jobs:
        raise _no_jobs(read.worktree)
    chosen = choice.choose(loaded.config, request.wish, request.config.labels)
    return Plan(chosen=chosen, notice=loaded.notice)


async def _load(state: Snapshot, listing: Sequence[str]) -> Loaded:
    files = await snapshot.read(state.repo, state.tree, configuration.config_paths(listing))
    texts = {path: content.decode(errors="replace") for path, content in files.items()}
    return configuration.load(texts, listing)


def _no_jobs(worktree: Worktree) -> UserError:
    return UserError(
        f"{worktree.root} has no jobs", hint="`cupel init` writes a configuration to start from"
    )


async def run_here(request: Request, read: Read, begun: Begun, show: events.Show) -> Outcome:
    """Run the jobs, on machines of which nothing is left at the end.

    A signal that asks to stop ends what runs; verdicts are `cancelled` then. Raises `UserError`
    for a wish that can't be run, and `InfraError`.
    """
    namespace = NamespaceProvider(
        read.held, images=request.state / "images", launcher=begun.launcher
    )
    try:
        made = await plan(request, read)
        jobs = made.chosen.jobs
        decision = await _decide(request, read, namespace, made.chosen) if request.since else None
        jobs = decision.run if decision is not None else jobs
        origin = await _origin(request, read, jobs)
        show(_begun(read, origin, jobs))
        if made.notice:
            show(events.Told(job="", text=made.notice))
        if decision is not None:
            _tell(decision, show)
        offered = await _to_offer(request, read, jobs, show)
        results = await _run(request, read, begun, namespace, origin, jobs, show)
        await _keep(request, read, jobs, results)
        await _offer(request, read, offered, results, show)
    finally:
        await namespace.close()
    return Outcome(verdict=run.verdict(jobs, results), jobs=jobs, results=results)


def _tell(decision: proof.Decision, show: events.Show) -> None:
    for name, why in decision.why.items():
        show(events.Told(job=name, text=f"it is run: {why}"))
    for name, text in decision.passed:
        show(events.Passed(job=name, reason=text))


async def _decide(
    request: Request, read: Read, provider: NamespaceProvider, chosen: Chosen
) -> proof.Decision:
    """Which of the jobs nothing proves."""
    from cupel.local import proof

    beside = await _beside(request, read, chosen.jobs)
    here = await proof.state(read.snapshot.repo, read.snapshot.commit, chosen.jobs, beside)
    since = await _since(request, read)
    specs = _specs(request, chosen.jobs)
    proved = await proof.prove(
        chosen.jobs,
        here,
        since,
        images={label: provider.find(spec) for label, spec in specs.items()},
        passes=_passes(request),
        ask=request.ask,
    )
    return await proof.decide(chosen.jobs, chosen.named, proved, here, since)


async def _since(request: Request, read: Read) -> proof.State:
    """The state that counts as proved, and all jobs that its own configuration has."""
    from cupel.local import proof

    repo = read.held / "since.git"
    then = await snapshot.committed(read.worktree, request.since or "HEAD", repo)
    jobs: tuple[Job, ...] = ()
    with contextlib.suppress(ConfigErrors):  # no job of it is proved then
        loaded = await _load(then, await commits.list_files(repo, then.commit))
        jobs = freeze.some(loaded.config, loaded.config.jobs)
    return await proof.state(repo, then.commit, jobs)


async def _keep(
    request: Request, read: Read, jobs: Sequence[Job], results: Mapping[str, Result]
) -> None:
    """Remember what has passed, by all that it depended on."""
    from cupel.local import proof

    passed = [job for job in jobs if job.evidence and results[job.name].verdict == "success"]
    if not passed:
        return
    beside = await _beside(request, read, passed)
    here = await proof.state(read.snapshot.repo, read.snapshot.commit, passed, beside)
    passes = _passes(request)
    left = {name: keys.outputs(result.files) for name, result in results.items()}
    for job in passed:
        if (image := keys.together(results[job.name].images)) is not None:
            needed = [(name, left[name]) for name in job.needs]
            passes.keep(keys.combine(here.keys[job.name], image, needed), left[job.name])
    passes.forget_old()


async def _to_offer(
    request: Request, read: Read, jobs: Sequence[Job], show: events.Show
) -> tuple[Job, ...]:
    """The jobs whose passes the server would take."""
    if request.offer is None:
        return ()
    from cupel.local import offer

    offer.check(read.snapshot)
    project = sources.project_of(read.worktree)
    return await offer.wanted(project, read.snapshot, jobs, request.offer, show)


async def _offer(
    request: Request,
    read: Read,
    jobs: Sequence[Job],
    results: Mapping[str, Result],
    show: events.Show,
) -> None:
    if request.offer is None or not jobs:
        return
    from cupel.local import offer

    project = sources.project_of(read.worktree)
    await offer.passed(project, read.snapshot, jobs, results, request.offer, show)


def _passes(request: Request) -> proof.Passes:
    from cupel.local import proof

    return proof.Passes(request.state / place.DIRECTORY / proof.DIRECTORY)


async def _run(
    request: Request,
    read: Read,
    begun: Begun,
    namespace: NamespaceProvider,
    origin: Origin,
    jobs: Sequence[Job],
    show: events.Show,
) -> Mapping[str, Result]:
    server = request.server
    specs = _specs(request, jobs)
    check_images(
        [label for label, spec in specs.items() if namespace.find(spec) is None],
        is_root=os.geteuid() == 0,
        state=request.state,
    )
    await _clear_up(request, read.held, namespace)
    async with _provider(request, read.held, namespace, jobs) as provider:
        bench = Bench(
            read.held,
            provider,
            begun.sources,
            origin,
            config=request.config,
            specs=specs,
            left=request.artefacts or read.held / "left",
            show=show,
            visit=request.visit,
            obtain=server.stock(request.state / "images") if server is not None else no_stock,
        )
        running = run.Run(bench, jobs, at_once=request.at_once, show=show)
        try:
            with _signals(running):
                return await running.all()
        finally:
            bench.close()


def check_images(missing: Sequence[str], *, is_root: bool, state: Path) -> None:
    """Raise `InfraError` when images of labels are missing and can't be had, for want of root."""
    if missing and not is_root:
        raise InfraError(
            f"the image of {', '.join(missing)} is not in {state}; only root can bring it there",
            hint=f"once: sudo cupel --state {shlex.quote(str(state))} run …; then it takes no root",
        )


def _begun(read: Read, origin: Origin, jobs: Sequence[Job]) -> events.Begun:
    return events.Begun(
        project=origin.project,
        branch=origin.sources[origin.project].branch,
        commit=read.snapshot.commit,
        dirty=read.snapshot.dirty,
        jobs=tuple(job.name for job in jobs),
    )


async def _origin(request: Request, read: Read, jobs: Sequence[Job]) -> Origin:
    project, source = sources.own(read)
    found = {project: source}
    for name, repo, commit in await _beside(request, read, jobs):
        found[name] = sources.of(repo, commit, source.branch)
    pipeline = str(request.wish.pipeline)
    return Origin(project=project, sources=found, about={"CUPEL_PIPELINE": pipeline})


async def _beside(
    request: Request, read: Read, jobs: Sequence[Job]
) -> tuple[tuple[str, Path, str], ...]:
    """The projects that jobs ask for: name, repository and commit of what stands there now."""
    found = []
    for name in sorted({name for job in jobs for name in job.projects}):
        if name not in request.beside:
            raise UserError(
                f"a job asks for project {name} beside its own",
                hint=f"say where its working tree is: --beside {name}=PATH",
            )
        other = await snapshot.find(request.beside[name])
        state = await snapshot.take(other, read.held / f"beside-{name}.git")
        found.append((name, state.repo, state.commit))
    return tuple(found)


def _specs(request: Request, jobs: Sequence[Job]) -> Mapping[str, MachineSpec]:
    wanted = dict.fromkeys(label for job in jobs for label in job.labels)
    if request.server is not None:
        return {label: request.server.specs[label] for label in wanted}
    config = request.config
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
