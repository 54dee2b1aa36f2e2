"""Which jobs are meant."""

from __future__ import annotations

import pytest

from cupel.config import load
from cupel.core.model import Pipeline
from cupel.errors import ConfigError, CupelError, NotFound, UserError
from cupel.local import choice
from cupel.local.choice import Wish

CONFIG = load.load(
    {
        ".cupel.yaml": """
jobs:
  build: {machine: debian-12, steps: [make]}
  tests:
    machine: debian-12
    needs: [build]
    matrix: {python: ["3.11", "3.12"], db: [lite, post]}
    steps: [pytest]
  docs: {machine: debian-12, steps: [make docs]}
  spare: {machine: debian-12, steps: [make spare]}
check: [tests, docs]
gate: [tests]
post: [docs]
"""
    },
    [".cupel.yaml"],
).config


def names(*jobs: str, pipeline: Pipeline = Pipeline.CHECK, **cells: str) -> list[str]:
    wish = Wish(names=jobs, pipeline=pipeline, cells=tuple(cells.items()))
    return [job.name for job in choice.choose(CONFIG, wish).jobs]


def test_the_jobs_of_a_pipeline_with_those_they_need() -> None:
    assert len(names()) == 6
    assert names()[0] == "build"
    assert "docs" not in names(pipeline=Pipeline.GATE)
    assert names(pipeline=Pipeline.POST) == ["docs"]


def test_jobs_by_name_whichever_pipeline_has_them() -> None:
    assert names("spare") == ["spare"]
    assert names("docs", "build") == ["docs", "build"]


def test_one_cell_by_its_name() -> None:
    cell = "tests (python=3.11, db=post)"
    assert names(cell) == ["build", cell]


def test_cells_by_their_values() -> None:
    assert names("tests", python="3.12", db="lite") == ["build", "tests (python=3.12, db=lite)"]
    assert names(python="3.12") == [
        "build",
        "tests (python=3.12, db=lite)",
        "tests (python=3.12, db=post)",
    ]


def test_what_was_asked_for_is_told_from_what_is_needed() -> None:
    chosen = choice.choose(CONFIG, Wish(names=("tests",), cells=(("python", "3.11"),)))
    assert chosen.named == {"tests (python=3.11, db=lite)", "tests (python=3.11, db=post)"}


@pytest.mark.parametrize(
    ("wish", "kind", "said"),
    [
        (Wish(names=("test",)), NotFound, 'did you mean "tests"?'),
        (Wish(names=("tests (python=3.1)",)), NotFound, "has no cell"),
        (Wish(cells=(("pyton", "3.11"),)), UserError, 'did you mean "python"?'),
        (Wish(cells=(("python", "3.9"),)), UserError, "values of python: 3.11, 3.12"),
        (Wish(names=("docs",), cells=(("python", "3.11"),)), UserError, "no keys of matrices"),
        (Wish(names=("\x1b[2J",)), NotFound, "\\x1b"),
    ],
)
def test_what_there_is_not_is_said_with_what_there_is(
    wish: Wish, kind: type[CupelError], said: str
) -> None:
    with pytest.raises(kind) as raised:
        choice.choose(CONFIG, wish)
    assert said in str(raised.value)


def test_a_label_that_no_machine_has() -> None:
    with pytest.raises(ConfigError, match="no machine has the label"):
        choice.choose(CONFIG, Wish(), {})
