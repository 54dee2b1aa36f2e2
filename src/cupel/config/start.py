"""A `.cupel.yaml` to start from: what was detected, with comments that teach the rest."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import yaml

from cupel.config.detect import Detected
from cupel.config.detect.choice import Choice
from cupel.config.job import first_line
from cupel.core.job import Step

WIDTH = 96

_HEAD = """\
# What proves a change: the jobs, and which of them run when. `cupel lint` checks this file,
# `cupel explain` shows what comes of it, and `cupel run` runs it here, before anything is pushed.
"""

_MACHINE = "A label: what the machine is. `cupel pool list` has all that the server offers."
_CACHE = (
    "What builds of landed changes have fetched, later ones find there; the verdict is the same."
)
_STEPS = (
    "Each step is a script for bash, which ends at the first command that fails. The machine is "
    "new, and nobody uses it after this build."
)
_MORE = """\
    # More that a job can say; every key is explained in docs/reference/cupel-yaml.md of Cupel:
    # inputs: ["src/**", "tests/**"]      # a pass holds until one of these changes
    # timeout: 20m                        # of all steps together; 30m otherwise
    # matrix: {level: ["1", "2"]}         # the job once for each value, {{matrix.level}} in steps
    # services: {db: postgres-15}         # another machine beside, reachable as “db”
"""
_PIPELINES = """\

check: [{name}]   # for each patch set, by itself
gate: [{name}]    # for what lands, exactly as it lands
"""

_EXAMPLE = """\
jobs:
  tests:
    # {machine}
    machine: {label}
    # {steps}
    steps:
      - echo "write here what proves your project"
"""


def text(detected: Detected, *, schema: str | None = None, label: str = "debian-12") -> str:
    """The file; `schema` is the address of its JSON Schema, `label` that of an example."""
    modeline = f"# yaml-language-server: $schema={schema}\n" if schema else ""
    if detected.choice is None:
        steps = "\n    # ".join(textwrap.wrap(_STEPS, WIDTH - 6))
        jobs = _EXAMPLE.format(machine=_MACHINE, steps=steps, label=_scalar(label))
        return f"{modeline}{_HEAD}{jobs}{_MORE}{_PIPELINES.format(name='tests')}"
    (job,) = detected.config.jobs.values()
    lines = _job(detected.choice, detected)
    return f"{modeline}{_HEAD}" + "\n".join(lines) + f"\n{_MORE}{_PIPELINES.format(name=job.name)}"


def _job(choice: Choice, detected: Detected) -> Iterator[str]:
    (job,) = detected.config.jobs.values()
    yield "jobs:"
    yield f"  {job.name}:"
    yield from _comment(f"Chosen because {choice.why}. {_MACHINE}")
    yield f"    machine: {_scalar(job.machine)}"
    if choice.caches:
        yield from _comment(_CACHE)
        paths = ", ".join(choice.caches)
        yield f"    cache: {paths if len(choice.caches) == 1 else f'[{paths}]'}"
    if job.env:
        yield "    env:"
        yield from (f"      {key}: {_scalar(value)}" for key, value in job.env)
    yield from _comment(_STEPS)
    yield "    steps:"
    for step, said in zip(job.steps, detected.said, strict=True):
        yield from _comment(said, indent=6)
        yield from _step(step)


def _comment(said: str, indent: int = 4) -> list[str]:
    mark = " " * indent + "# "
    return textwrap.wrap(said, WIDTH, initial_indent=mark, subsequent_indent=mark)


def _step(step: Step) -> Iterator[str]:
    if step.name == first_line(step.run) and "\n" not in step.run:
        yield f"      - {_scalar(step.run)}"
        return
    yield f"      - name: {_scalar(step.name)}"
    if "\n" not in step.run:
        yield f"        run: {_scalar(step.run)}"
        return
    yield "        run: |"
    yield from (f"          {line}" for line in step.run.rstrip("\n").split("\n"))


def _scalar(said: str) -> str:
    """The text as YAML on one line."""
    made: str = yaml.safe_dump(said, width=10_000, allow_unicode=True)
    return made.removesuffix("\n").removesuffix("\n...")
