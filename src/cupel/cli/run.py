"""`cupel run`: jobs, here and now, as a server would run them."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cupel.cli import output
from cupel.cli.exits import Exit
from cupel.cli.session import Session, pass_session

if TYPE_CHECKING:
    from cupel.config.server import ServerConfig
    from cupel.core.job import Job
    from cupel.local import proof
    from cupel.local.build import Visit
    from cupel.local.early import Begun
    from cupel.local.elsewhere import Elsewhere
    from cupel.local.offer import Offer, Send
    from cupel.local.reading import Read

PIPELINES = ("check", "gate", "post")
_TURN = 0.0005
"""Seconds after which one thread lets another run; ten times as often as by default."""
_STARTING = 4
"""Rounds of the loop in which git is started, before anything is loaded beside it."""
_EXITS = {
    "success": Exit.OK,
    "failure": Exit.NEGATIVE,
    "timeout": Exit.NEGATIVE,
    "skipped": Exit.NEGATIVE,
    "infra": Exit.INFRASTRUCTURE,
    "cancelled": Exit.INTERRUPTED,
}


class Pair(click.ParamType[tuple[str, str]]):
    """Two texts with = between them."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, found, rest = str(value).partition("=")
        if not found or not key or not rest:
            self.fail(f"{value!r} is not {self.name}", param, ctx)
        return key, rest


@click.command()
@click.argument("jobs", metavar="[JOB]...", nargs=-1)
@click.option(
    "--pipeline",
    type=click.Choice(PIPELINES),
    help="The pipeline whose jobs are run where none is named; check.",
)
@click.option(
    "--matrix",
    "cells",
    type=Pair("KEY=VALUE"),
    multiple=True,
    help="Only cells that have this value; may be given again.",
)
@click.option("--commit", metavar="REF", help="Run this commit, not what is in the working tree.")
@click.option(
    "--since",
    metavar="REF",
    help="Only jobs that neither this commit, which counts as good, nor an earlier pass proves.",
)
@click.option(
    "--offer",
    is_flag=True,
    help="Offer what passes to the server as evidence, where its operator allows that.",
)
@click.option("--list", "only_list", is_flag=True, help="Say what would be run, and run nothing.")
@click.option("--shell", is_flag=True, help="Open a shell in the machine of a job that fails.")
@click.option(
    "--keep",
    is_flag=True,
    help="Keep the machine of a job that fails, for shells, until Enter or --release.",
)
@click.option("--release", is_flag=True, help="Let go of the machines that runs here keep.")
@click.option(
    "-j",
    "--at-once",
    type=click.IntRange(1, 1000),
    metavar="COUNT",
    help="How many jobs run at a time; by default as many as there are cores.",
)
@click.option(
    "--path",
    type=click.Path(path_type=Path),
    default=Path(),
    help="The working tree; the current one.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What machines there are: a server's cupel.yaml; by default that of --state.",
)
@click.option(
    "--beside",
    type=Pair("NAME=PATH"),
    multiple=True,
    help="The working tree of another project that jobs ask for; may be given again.",
)
@click.option(
    "--artefacts",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to lay out files that jobs leave, by job; by default in the state directory.",
)
@output.json_option
@pass_session
@click.pass_context
def run(
    ctx: click.Context,
    session: Session,
    jobs: tuple[str, ...],
    pipeline: str | None,
    cells: tuple[tuple[str, str], ...],
    commit: str | None,
    since: str | None,
    offer: bool,
    only_list: bool,
    shell: bool,
    keep: bool,
    release: bool,
    at_once: int | None,
    path: Path,
    config: Path | None,
    beside: tuple[tuple[str, str], ...],
    artefacts: Path | None,
    as_json: bool,
) -> None:
    """Run jobs here, on single-use machines, as a server would.

    What is run is the working tree as git sees it, committed or not: tracked and changed files, and
    new ones that are not ignored. JOB is the name of a job, or of one cell of its matrix; without
    any, all of the pipeline are run. Jobs that they need are run first.

    No server is needed. The images are those of the state directory, which are built when they are
    not there; machines are described by the server's cupel.yaml there, or by --config. With --url,
    they are those of that server, whose images are fetched.
    """
    import asyncio

    from cupel import logger

    logger.later(logging.ERROR)
    if jobs and pipeline:
        raise click.UsageError("say jobs, or --pipeline")
    if release:
        ctx.exit(asyncio.run(_release(path, session.directory)))
    if shell or keep:
        if shell and not output.has_terminal():
            raise click.UsageError("--shell needs a terminal")
        if (at_once or 1) > 1:
            raise click.UsageError("with --shell or --keep jobs run one after the other")
        at_once = 1
    asked = _Asked(
        session=session,
        path=path,
        commit=commit,
        since=since,
        offer=offer,
        jobs=jobs,
        pipeline=pipeline or PIPELINES[0],
        cells=cells,
        config=config,
        at_once=at_once,
        beside=dict(beside),
        artefacts=artefacts,
        only_list=only_list,
        hold=None if not (shell or keep) else "keep" if keep else "shell",
        as_json=as_json,
    )
    ctx.exit(asyncio.run(_run(asked)))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The command line."""

    session: Session
    path: Path
    commit: str | None
    since: str | None
    offer: bool
    jobs: tuple[str, ...]
    pipeline: str
    cells: tuple[tuple[str, str], ...]
    config: Path | None
    at_once: int | None
    beside: dict[str, str]
    artefacts: Path | None
    only_list: bool
    hold: str | None
    as_json: bool


async def _run(asked: _Asked) -> Exit:
    import asyncio

    from cupel.local import reading

    async with contextlib.AsyncExitStack() as held:
        async with asyncio.TaskGroup() as group:
            coming = reading.read(asked.path, asked.session.directory, asked.commit)
            read = group.create_task(held.enter_async_context(coming))
            for _ in range(_STARTING):
                await asyncio.sleep(0)
            # Loading takes longer than git does: both at once, and git is not to wait for its turn.
            sys.setswitchinterval(_TURN)
            gc.disable()  # nothing that is loaded is garbage
            early = await asyncio.to_thread(importlib.import_module, "cupel.local.early")
            begun = group.create_task(held.enter_async_context(early.begun(read)))
            await asyncio.to_thread(importlib.import_module, "cupel.local.session")
            gc.enable()
        return await _run_in(asked, read.result(), begun.result())


async def _run_in(asked: _Asked, read: Read, begun: Begun) -> Exit:
    from cupel.cli import run_show
    from cupel.core.job import Pipeline
    from cupel.local import session as local
    from cupel.local.choice import Wish

    server = _server(asked)
    request = local.Request(
        state=asked.session.directory,
        config=_config(asked) if server is None else server.config,
        wish=Wish(names=asked.jobs, pipeline=Pipeline(asked.pipeline), cells=asked.cells),
        at_once=asked.at_once or local.cores(),
        beside={name: Path(where) for name, where in asked.beside.items()},
        artefacts=asked.artefacts,
        server=server,
        since=asked.since,
        visit=_visit(asked, read),
        ask=_ask(asked) if asked.since is not None else None,
        offer=_offer(asked) if asked.offer else None,
    )
    if asked.only_list:
        made = await local.plan(request, read)
        _list(made.chosen.jobs, as_json=asked.as_json)
        return Exit.OK
    with run_show.showing(as_json=asked.as_json) as shown:
        try:
            outcome = await local.run_here(request, read, begun, shown.show)
        except OSError:
            if shown.error is None:
                raise
    if shown.error is not None:
        return _untold(shown.error)
    return _EXITS[outcome.verdict]


def _untold(error: OSError) -> Exit:
    """How a run ends of which nobody could be told any more."""
    from cupel.errors import InfraError

    if isinstance(error, BrokenPipeError):
        return Exit.OK  # whoever reads us has seen enough, which is no failure
    raise InfraError(f"what happened could not be told: {error.strerror}")


def _config(asked: _Asked) -> ServerConfig:
    from cupel.config import server

    return server.read(asked.config or asked.session.directory / server.FILE)


def _url(asked: _Asked) -> str | None:
    return asked.session.url or os.environ.get("CUPEL_URL")


def _server(asked: _Asked) -> Elsewhere | None:
    """The server that was named, unless machines are described by a file; else none is asked."""
    if _url(asked) is None or asked.config is not None:
        return None
    from cupel.image import base
    from cupel.local import elsewhere

    with asked.session.client() as client:
        specs = client.machines_of_labels(base.architecture())
        return elsewhere.of(client.url, client.token or "", specs)


def _visit(asked: _Asked, read: Read) -> Visit | None:
    if asked.hold is None:
        return None
    from cupel.cli import run_hold

    return run_hold.Hold(read.held, keep=asked.hold == "keep")


async def _release(path: Path, state: Path) -> Exit:
    from cupel.git import snapshot
    from cupel.local import place

    worktree = await snapshot.find(path)
    released = place.release(state, worktree.root)
    click.echo(f"released: {released}" if released else "nothing is kept here")
    return Exit.OK if released else Exit.NEGATIVE


def _ask(asked: _Asked) -> proof.Ask | None:
    """Ask for passes: the server that was named, or that of the state directory."""
    import asyncio

    from cupel.errors import InfraError, NotFound
    from cupel.local import proof

    if not _has_server(asked):
        return None

    def find(key: str) -> proof.Pass | None:
        with asked.session.client() as client:
            try:
                found = client.evidence(key)
            except (NotFound, InfraError):  # what it could spare is run then
                return None
        return proof.Pass(text=f"it passed there as build {found.build}", outputs=found.outputs)

    async def ask(key: str) -> proof.Pass | None:
        return await asyncio.to_thread(find, key)

    return ask


def _has_server(asked: _Asked) -> bool:
    """Whether one was named, or runs on the state directory."""
    from cupel.directory import FILE

    return _url(asked) is not None or (asked.session.directory / FILE).exists()


def _offer(asked: _Asked) -> Send:
    """Offer passes to the server that was named, or to that of the state directory."""
    import asyncio

    from cupel.errors import UserError

    if not _has_server(asked):
        raise UserError("there is no server to offer passes to", hint="name one with --url")

    def tell(offer: Offer) -> int | None:
        with asked.session.client() as client:
            return client.offer(dataclasses.asdict(offer)).build

    async def send(offer: Offer) -> int | None:
        return await asyncio.to_thread(tell, offer)

    return send


def _list(jobs: Sequence[Job], *, as_json: bool) -> None:
    if as_json:
        output.document([dataclasses.asdict(job) for job in jobs])
        return
    rows = [
        (job.name, ", ".join(job.labels), ", ".join(job.needs), "" if job.voting else "no")
        for job in jobs
    ]
    output.table(("JOB", "MACHINE", "NEEDS", "VOTES"), rows)
