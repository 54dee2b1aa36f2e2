"""`cupel explain`: jobs as they would run, everything expanded."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cupel.cli import output, terminal
from cupel.errors import NotFound

if TYPE_CHECKING:
    from cupel.core.model import Job, Link


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
@output.json_option
def explain(job: str | None, pipeline: str, path: Path, as_json: bool) -> None:
    """Show jobs as they would run, everything expanded.

    JOB is the name of a job in the configuration, or of one cell of its matrix; without it, all
    that the pipeline runs are shown.
    """
    from cupel.cli import worktree
    from cupel.config import freeze
    from cupel.core.model import Pipeline

    loaded = worktree.read(path).load()
    frozen = freeze.freeze(loaded.config, Pipeline(pipeline))
    jobs = [each for each in frozen if job is None or job in (each.name, each.base)]
    if job is not None and not jobs:
        names = ", ".join(dict.fromkeys(each.base for each in frozen)) or "none"
        raise NotFound(f"{pipeline} runs no job {job}", hint=f"it runs: {names}")
    if as_json:
        output.document([dataclasses.asdict(each) for each in jobs])
        return
    if loaded.notice:
        click.echo(f"{terminal.plain(loaded.notice)}\n")
    for number, each in enumerate(jobs):
        if number:
            click.echo()
        _explain(each)


def _explain(job: Job) -> None:
    from cupel.config import quantity

    output.fields(
        [
            ("job", job.name),
            ("machine", job.label if not job.parts else ""),
            ("machines", ", ".join(f"{part.name} ({part.label})" for part in job.parts)),
            ("services", ", ".join(each.name for each in job.services)),
            ("links", "; ".join(map(_link, job.links))),
            ("needs", ", ".join(job.needs)),
            ("projects beside", ", ".join(job.projects)),
            ("inputs", ", ".join(job.inputs) or "everything"),
            ("evidence", "a pass is reused" if job.evidence else "a pass is never reused"),
            ("semaphores", ", ".join(f"{name} (of {count})" for name, count in job.semaphores)),
            ("timeout", quantity.duration(job.timeout)),
            ("votes", "yes" if job.voting else "no"),
            ("environment", " ".join(f"{key}={value}" for key, value in job.env)),
        ]
    )
    for number, step in enumerate(job.steps, start=1):
        on = f" (on {step.on})" if step.on else ""
        click.echo(f"step {number}: {terminal.single(step.name)}{on}")
        lines = step.text.rstrip("\n").split("\n")
        if lines == [step.name]:
            continue
        for text in lines:
            click.echo(f"    {terminal.plain(text)}")


def _link(link: Link) -> str:
    words = [f"{link.one} to {link.other}"]
    words += [f"delay {link.delay * 1000:g} ms"] if link.delay else []
    words += [f"loss {link.loss:.0%}"] if link.loss else []
    words += [f"rate {link.rate / 1e6:g} Mbit/s"] if link.rate else []
    words += ["down at first"] if link.cut else []
    return ", ".join(words)
