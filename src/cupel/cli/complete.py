"""What a shell completes arguments with: jobs of the working tree, and what the server knows.

A word is completed while somebody types: an answer comes at once or not at all, and nothing that
goes wrong is said.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from cupel.cli.session import Session
from cupel.errors import NotFound

if TYPE_CHECKING:
    from cupel.client import Client

FILE = "client.json"
"""In the state directory of a server that was started."""

PATIENCE = 0.5
"""Seconds in which the server has to answer."""

MOST = 50

Pair = tuple[str, str]
"""A word, and what it stands for."""


def attach(command: click.Command, path: tuple[str, ...] = ()) -> None:
    """Give the parameters of a command, and of those below it, what they are completed with."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            attach(inner, (*path, name))
    for parameter in command.params:
        found = _source(parameter, path)
        if found is not None:
            parameter._custom_shell_complete = _completing(found)


Source = Callable[[click.Context], Iterable[Pair]]


def _source(parameter: click.Parameter, path: tuple[str, ...]) -> Source | None:
    """By what the parameter is called in the usage, else by its name."""
    shown = (parameter.metavar or "").strip("[].…")
    for word, source in _BY_METAVAR.items():
        if shown.startswith(word):
            return source
    if parameter.name == "name":
        return _BY_COMMAND.get(path)
    return _BY_NAME.get(parameter.name or "") if path[:1] != ("simulate",) else None


def _completing(
    source: Source,
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    def complete(
        ctx: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        found: list[Pair] = []
        with suppress(Exception):  # a shell shows what is said to the one who types
            found = list(source(ctx))[:1000]
        fitting = [(word, said) for word, said in found if word.startswith(incomplete)]
        return [CompletionItem(word, help=said or None) for word, said in fitting][:MOST]

    return complete


def _client(ctx: click.Context) -> Client:
    """The server's, by the options that are on the line so far. Raises `NotFound`."""
    given = ctx.find_root().params
    session = ctx.find_object(Session) or Session()
    session = Session(
        state=given.get("state") or session.state,
        url=given.get("url") or session.url,
        token=given.get("token") or session.token,
        connect=session.connect,
    )
    known = session.url or os.environ.get("CUPEL_URL") or (session.directory / FILE).exists()
    if not known:
        raise NotFound("no server is known")  # sooner than by what has to be imported to ask
    return session.client(timeout=PATIENCE)


def _jobs(ctx: click.Context) -> Iterator[Pair]:
    """The jobs of the working tree; cells of a matrix are the job's with --matrix."""
    from cupel.cli import worktree

    config = worktree.read(ctx.params.get("path") or Path()).load().config
    for name, job in config.jobs.items():
        yield name, job.machine


def _projects(ctx: click.Context) -> Iterator[Pair]:
    with _client(ctx) as client:
        for project in client.projects():
            yield project.name, ""


def _queues(ctx: click.Context) -> Iterator[Pair]:
    with _client(ctx) as client:
        for rules in client.rules():
            yield rules.name, ", ".join(rules.projects)


def _changes(ctx: click.Context) -> Iterator[Pair]:
    with _client(ctx) as client:
        for change in client.changes(state="open", limit=MOST).entries:
            yield str(change.id), change.title


def _builds(ctx: click.Context) -> Iterator[Pair]:
    with _client(ctx) as client:
        for build in client.builds(limit=MOST).entries:
            yield str(build.id), f"{build.job} {build.verdict or build.state}"


def _labels(ctx: click.Context) -> Iterator[Pair]:
    with _client(ctx) as client:
        for label in client.labels():
            yield label.label, f"network {label.network}"


def _machines(ctx: click.Context) -> Iterator[Pair]:
    with _client(ctx) as client:
        for machine in client.machines().entries:
            yield str(machine.id), f"{machine.label} {machine.state}"


def _hosts(ctx: click.Context) -> Iterator[Pair]:
    with _client(ctx) as client:
        for host in client.hosts():
            yield host.name, str(host.state)


def _images(ctx: click.Context) -> Iterator[Pair]:
    with _client(ctx) as client:
        for image in client.images():
            yield image.name or "", str(image.state)


def _holds(ctx: click.Context) -> Iterator[Pair]:
    with _client(ctx) as client:
        for hold in client.holds():
            yield str(hold.id), hold.reason or ""


_BY_METAVAR: Mapping[str, Source] = {
    "CHANGE": _changes,
    "BUILD": _builds,
    "MACHINE": _machines,
    "HOLD": _holds,
    "HOST": _hosts,
    "LABEL": _labels,
    "JOB": _jobs,
}
_BY_NAME: Mapping[str, Source] = {
    "job": _jobs,
    "project": _projects,
    "queue": _queues,
    "change": _changes,
}
_BY_COMMAND: Mapping[tuple[str, ...], Source] = {
    ("project", "set"): _projects,
    ("queue", "show"): _queues,
    ("queue", "set"): _queues,
    ("queue", "close"): _queues,
    ("queue", "open"): _queues,
    ("image", "show"): _images,
    ("image", "build"): _images,
    ("image", "rollback"): _images,
}
"""What `NAME` is the name of."""
