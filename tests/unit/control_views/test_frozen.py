"""The jobs of a change as they are frozen, and errors of configurations at their lines."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cupel.config.problem import ConfigErrors, Mark, Problem
from cupel.control import views
from cupel.control.views import FrozenView, ProblemView, problems
from cupel.core.model import Pipeline
from cupel.errors import InfraError
from cupel.web import graph
from fakes import reviewed
from fakes.busy import Busy, busy
from fakes.reviewed import Reviewed

LABELS = ("debian-12", "debian-13")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Busy, Reviewed, Path]:
    directory = tmp_path_factory.mktemp("frozen")
    told = busy()
    return told, reviewed.make(told, directory), directory / "git"


def frozen(told: Busy, root: Path, change: int, pipeline: Pipeline | None = None) -> FrozenView:
    async def look() -> FrozenView:
        store = await told.world.store()
        async with store.read() as tx:
            proved = await views.proved(tx, change, pipeline)
        return await views.frozen_view(root, LABELS, proved)

    return asyncio.run(look())


def test_keys_come_with_their_places_and_what_they_were(made: tuple[Busy, Reviewed, Path]) -> None:
    told, about, root = made
    view = frozen(told, root, told.failing_change)
    assert (view.pipeline, view.is_state, view.base) == (Pipeline.GATE, True, about.head)
    assert [(job.name, job.depth, job.voting, job.differs) for job in view.jobs] == [
        ("build", 0, True, False),
        ("tests (python=3.11)", 1, True, True),
        ("tests (python=3.12)", 1, True, True),
        ("lint", 0, False, False),
    ]
    keys = {key.value: key for key in view.jobs[1].keys}
    assert (keys["LEVEL=2"].at, keys["LEVEL=2"].before) == (".cupel.yaml:11:11", "LEVEL=1")
    assert (keys["10m"].at, keys["10m"].before) == (".cupel.yaml:5:14", None)
    assert [step.text for step in view.jobs[1].steps] == ["pip install .[tests]", "pytest -q"]
    assert view.jobs[1].state == "failure"
    assert (view.gone, view.problems, view.incomparable) == ([], [], None)
    picture = graph.jobs(view.jobs)
    assert picture is not None
    assert [(box.name, box.count, box.state) for box in picture.boxes] == [
        ("build", 1, None), ("tests", 2, "failure"), ("lint", 1, "success"),
    ]  # fmt: skip
    assert len(picture.paths) == 1


def test_before_there_is_a_state_the_patch_set_is_frozen(
    made: tuple[Busy, Reviewed, Path],
) -> None:
    told, _, root = made
    view = frozen(told, root, told.failing_change, Pipeline.CHECK)
    assert (view.pipeline, view.is_state) == (Pipeline.CHECK, False)
    assert len(view.jobs) == 4
    assert frozen(told, root, told.failing_change, Pipeline.POST).jobs == []


def test_errors_stand_at_their_lines(made: tuple[Busy, Reviewed, Path]) -> None:
    told, about, root = made

    async def look() -> list[ProblemView]:
        store = await told.world.store()
        async with store.read() as tx:
            proved = await views.proved(tx, about.misconfigured)
        return await views.problem_views(root, proved)

    (recorded,) = asyncio.run(look())
    (read,) = frozen(told, root, about.misconfigured).problems
    assert (recorded.file, recorded.line, recorded.column) == (".cupel.yaml", 10, 5)
    assert (recorded.message, recorded.hint) == ('unknown key "mashine"', 'did you mean "machine"?')
    assert [line.number for line in recorded.lines] == [7, 8, 9, 10, 11, 12, 13]
    assert recorded.lines[3].text == "    mashine: riscv"
    assert read == recorded


def test_a_repository_without_the_commit_is_said(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="has no commit"):
        frozen(busy(), tmp_path, 6)


def test_what_was_recorded_is_read_back() -> None:
    found = [
        Problem(Mark("a b.yaml", 3, 7), "one: two", "write 1:2:3"),
        Problem(Mark("z", 1, 1), "other"),
    ]
    views_of = problems.of_text(str(ConfigErrors(found, unreported=2)), {"z": "text"})
    assert [(each.file, each.line, each.column, each.message, each.hint) for each in views_of] == [
        ("a b.yaml", 3, 7, "one: two", "write 1:2:3"),
        ("z", 1, 1, "other", None),
    ]
    assert [line.text for line in views_of[1].lines] == ["text"]
    assert views_of[0].lines == []
    assert problems.of_text("no place at all", {}) == []
