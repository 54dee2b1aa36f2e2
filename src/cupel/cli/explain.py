"""`cupel explain`: jobs as they would run, everything expanded, and where it was written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cupel.cli import labels, output, terminal
from cupel.cli.session import Session, pass_session
from cupel.errors import NotFound

if TYPE_CHECKING:
    from cupel.config.project import ProjectConfig
    from cupel.config.shape import Placed
    from cupel.control.views import LabelView
    from cupel.core.job import Job

WIDTH = 56
"""Columns after which a place follows its value at once, not in a column of its own."""


@click.command()
@click.argument("job", required=False)
@click.option(
    "--pipeline",
    type=click.Choice(["check", "gate", "post"]),
    default="gate",
    help="The pipeline that would run it; gate.",
)
@click.option(
    "--path",
    type=click.Path(path_type=Path),
    default=Path(),
    help="The working tree; the current one.",
)
@labels.server_option
@output.json_option
@pass_session
def explain(
    session: Session, job: str | None, pipeline: str, path: Path, server: bool, as_json: bool
) -> None:
    """Show jobs as they would run, and where each value was written.

    JOB is the name of a job in the configuration, or of one cell of its matrix; without it, all
    that the pipeline runs are shown. The place of a value is in the job or in what it extends.
    With --server also what the machines of its labels are.
    """
    from cupel.cli import worktree
    from cupel.config import freeze
    from cupel.core.job import Pipeline

    loaded = worktree.read(path).load()
    known = labels.ask(session) if server else None
    frozen = freeze.freeze(loaded.config, Pipeline(pipeline), known)
    jobs = [each for each in frozen if job is None or job in (each.name, each.base)]
    if job is not None and not jobs:
        raise _missing(job, pipeline, loaded.config, frozen)
    if as_json:
        output.document([_described(each, loaded.config, known) for each in jobs])
        return
    if loaded.notice:
        click.echo(f"{terminal.plain(loaded.notice)}\n")
    for number, each in enumerate(jobs):
        if number:
            click.echo()
        _explain(each, loaded.config, known or {})


def _described(
    job: Job, config: ProjectConfig, known: Mapping[str, LabelView] | None
) -> dict[str, Any]:
    from cupel.config import origin

    found = dataclasses.asdict(job) | {"origins": dict(origin.trace(config, job))}
    if known is not None:
        found["labels"] = {label: known[label].model_dump(mode="json") for label in job.labels}
    return found


def _missing(job: str, pipeline: str, config: ProjectConfig, frozen: tuple[Job, ...]) -> NotFound:
    if job in config.templates:
        users = [name for name, parents in config.parents.items() if job in map(_value, parents)]
        extended = ", ".join(users) or "no job"
        return NotFound(f"{job} is a template, which is never run", hint=f"{extended} extends it")
    names = ", ".join(dict.fromkeys(each.base for each in frozen)) or "none"
    hint = f"it runs: {names}"
    if job in config.jobs:
        hint += "; --pipeline names another"
    return NotFound(f"{pipeline} runs no job {job}", hint=hint)


def _value(placed: Placed[str]) -> str:
    return placed.value


def _explain(job: Job, config: ProjectConfig, known: Mapping[str, LabelView]) -> None:
    from cupel.config import explained, origin

    places = origin.trace(config, job)
    rows = [*explained.rows(job, config, places), *_label_rows(job, known)]
    names = max(len(name) for name, _, _ in rows)
    shown = [(name, terminal.single(value), at) for name, value, at in rows]
    values = max((len(value) for _, value, _ in shown if len(value) <= WIDTH), default=0)
    for name, value, at in shown:
        click.echo(f"{name:<{names}}  {value:<{values}}  {at}".rstrip())
    for number, step in enumerate(job.steps, start=1):
        on = f" (on {step.on})" if step.on else ""
        title = f"step {number}: {terminal.single(step.name)}{on}"
        at = places.get(f"steps.{number - 1}", places["steps"])
        click.echo(f"{title:<{names + 2 + values}}  {at}")
        lines = step.text.rstrip("\n").split("\n")
        if lines == [step.name]:
            continue
        for text in lines:
            click.echo(f"    {terminal.plain(text)}")


def _label_rows(job: Job, known: Mapping[str, LabelView]) -> Iterator[tuple[str, str, str]]:
    for label in dict.fromkeys(job.labels):
        if label in known:
            for name, value in labels.described(known[label]):
                yield name, value, f"label {label} in the server's configuration"
