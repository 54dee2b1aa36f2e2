"""What a shell completes arguments with: jobs of the working tree, and what the server knows.

A word is completed while somebody types: an answer comes at once or not at all, and nothing that
goes wrong is said.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from cupel import directory
from cupel.cli.session import Session
from cupel.directory import Address

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


def fetch(address: Address, path: str) -> Any:
    """What the server answers below /api; without the client, which takes long to load."""
    request = urllib.request.Request(f"{address.url}/api/{path}")  # noqa: S310 - by http
    if address.token is not None:
        request.add_header("Authorization", f"Bearer {address.token}")
    proxies = urllib.request.ProxyHandler({} if directory.is_local(address.url) else None)
    with urllib.request.build_opener(proxies).open(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def _ask(ctx: click.Context, path: str) -> Any:
    """An answer of the server, by the options that are on the line so far."""
    given = ctx.find_root().params
    session = ctx.find_object(Session) or Session()
    session = Session(
        state=given.get("state") or session.state,
        url=given.get("url") or session.url,
        token=given.get("token") or session.token,
    )
    return fetch(session.address(), path)


def _jobs(ctx: click.Context) -> Iterator[Pair]:
    """The jobs of the working tree; cells of a matrix are the job's with --matrix."""
    from cupel.cli import worktree

    config = worktree.read(ctx.params.get("path") or Path()).load().config
    for name, job in config.jobs.items():
        yield name, job.machine


def _of(path: str, name: str, *said: str) -> Source:
    """Entries of a list of the API: their field `name`, and what is said of each."""

    def source(ctx: click.Context) -> Iterator[Pair]:
        found = _ask(ctx, path)
        for entry in found["entries"] if isinstance(found, dict) else found:
            words = (str(entry[key]) for key in said if entry[key] is not None)
            yield str(entry[name]), " ".join(words)

    return source


_projects = _of("projects", "name")
_queues = _of("rules", "name")
_changes = _of(f"changes?state=open&limit={MOST}", "id", "title")
_builds = _of(f"builds?limit={MOST}", "id", "job", "state", "verdict")
_labels = _of("labels", "label", "network")
_machines = _of("machines", "id", "label", "state")
_hosts = _of("hosts", "name", "state")
_images = _of("images", "name", "state")
_holds = _of("holds", "id", "owner", "reason")

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
