"""Feeds the readers of configurations with whatever atheris thinks of: `python config.py [CORPUS]`.

Its options are libFuzzer's: `-max_total_time=300`, `-runs=100000`, or a file that crashed before.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["cupel"]):
    from cupel.config import detect, freeze, load, origin, render, start, warning
    from cupel.config.problem import ConfigErrors
    from cupel.config.workflow import convert, expression, shell
    from cupel.core.job import Pipeline

MARKERS = sorted(detect.MARKERS | {"tests/test_a.py"})


def one_input(data: bytes) -> None:
    """Read the data by one reader; nothing but what it is documented to raise may come."""
    if data:
        READERS[data[0] % len(READERS)](data[1:].decode(errors="replace"))


def project(text: str) -> None:
    """A project's configuration; whatever can be read can be run, explained and written."""
    main, _, beside = text.partition("\0")
    files = {".cupel.yaml": main, ".cupel/b.yaml": beside}
    try:
        config = load.load(files, list(files)).config
    except ConfigErrors as errors:
        if not errors.problems:
            raise AssertionError("refused without a reason") from errors
        return
    for job in freeze.freeze(config, Pipeline.GATE):
        origin.trace(config, job)
    warning.warnings(config, ["a/b", "c"])
    again = load.load({".cupel.yaml": render.render_yaml(config)}, [".cupel.yaml"])
    if again.config != config:
        raise AssertionError("written and read again it is another configuration")


def workflow(text: str) -> None:
    """A workflow of GitHub; the outcome can be loaded."""
    try:
        made = convert.convert({".github/workflows/a.yml": text})
    except ConfigErrors:
        return
    if made.config.jobs:
        load.load(dict(made.files), list(made.files))


def repository(text: str) -> None:
    """Files of a build tool, of which the first line names some; what is written can be loaded."""
    chosen, _, content = text.partition("\n")
    names = [name for name in MARKERS if name in chosen] or MARKERS[:3]
    found = detect.detect(dict.fromkeys(names, content), names)
    written = load.load({".cupel.yaml": start.text(found)}, [".cupel.yaml"])
    if found.choice is not None and written.config != found.config:
        raise AssertionError("what is written is another configuration")


def condition(text: str) -> None:
    """An expression, worked out and written as shell."""
    try:
        made = expression.read(text)
        shell.condition(made, shell.Scope())
        shell.quoted(made, shell.Scope())
    except (expression.Unreadable, expression.Unknown):
        pass


READERS = (project, workflow, repository, condition)

if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
