"""Each value of a frozen job is traced to where it was written."""

from __future__ import annotations

from cupel.config import freeze, load, origin
from cupel.config.job import JobShape
from cupel.core.model import Pipeline

MAIN = """\
jobs:
  tests:
    extends: python
    matrix:
      python: ["3.11"]
      include: [{python: "3.11", flags: -x}, {python: "3.12"}]
    env: {LEVEL: "3"}
    steps:
      - one
      - {run: two, on: main}
    services: {db: pg}
gate: [tests]
"""
BESIDE = """\
jobs:
  python:
    abstract: true
    machine: m
    env: {LEVEL: "2", BASE: "1"}
    timeout: 5m
"""


def traced(number: int) -> dict[str, str]:
    files = {".cupel.yaml": MAIN, ".cupel/base.yaml": BESIDE}
    config = load.load(files, list(files)).config
    return dict(origin.trace(config, freeze.freeze(config, Pipeline.GATE)[number]))


def test_values_of_the_job_and_of_what_it_extends() -> None:
    places = traced(0)
    assert places["name"] == ".cupel.yaml:2:3"
    assert places["machine"] == ".cupel/base.yaml:4:14"
    assert places["timeout"] == ".cupel/base.yaml:6:14"
    assert places["env.LEVEL"] == ".cupel.yaml:7:11"
    assert places["env.BASE"] == ".cupel/base.yaml:5:23"
    assert (places["steps.0"], places["steps.1"]) == (".cupel.yaml:9:9", ".cupel.yaml:10:9")
    assert places["services.db"] == ".cupel.yaml:11:16"
    assert places["inputs"] == places["voting"] == "default"


def test_values_of_a_matrix_stand_in_its_axis_or_in_what_was_included() -> None:
    assert traced(0)["env.MATRIX_PYTHON"] == ".cupel.yaml:5:16"
    assert traced(0)["env.MATRIX_FLAGS"] == ".cupel.yaml:6:17"
    assert traced(1)["env.MATRIX_PYTHON"] == ".cupel.yaml:6:46"


def test_every_key_of_a_job_has_an_origin() -> None:
    keys = {field.key for field in JobShape.record.fields}
    assert keys - {"extends", "abstract"} <= set(traced(0))


def test_without_a_file_cupel_chose_all_of_it() -> None:
    config = load.load({"tox.ini": ""}, ["tox.ini"]).config
    (job,) = freeze.freeze(config, Pipeline.GATE)
    assert set(origin.trace(config, job).values()) == {"chosen by Cupel"}
