"""The tables: every state can be reached, ends are ends, and what they lack is a bug."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cupel.core import lifecycle, model
from cupel.core.model import BuildState, MachineState
from cupel.errors import Bug
from cupel.report import diagrams

TABLES: list[tuple[Mapping[tuple[Any, str], Any], enum.StrEnum, set[enum.StrEnum]]] = [
    (lifecycle.CHANGE, model.ChangeState.OPEN, {model.ChangeState.LANDED}),
    (
        lifecycle.ITEM,
        model.ItemState.LIVE,
        {model.ItemState.LANDED, model.ItemState.REMOVED},
    ),
    (lifecycle.BUILDSET, model.BuildsetState.PREPARING, {model.BuildsetState.SUPERSEDED}),
    (lifecycle.BUILD, BuildState.QUEUED, {BuildState.FINISHED}),
    (lifecycle.MACHINE, MachineState.NEW, set()),
]


def _reachable(table: Mapping[tuple[Any, str], Any], first: enum.StrEnum) -> set[enum.StrEnum]:
    found = {first}
    while more := {to for (at, _), to in table.items() if at in found} - found:
        found |= more
    return found


@pytest.mark.parametrize(("table", "first", "ends"), TABLES)
def test_every_state_can_be_reached(
    table: Mapping[tuple[Any, str], Any], first: enum.StrEnum, ends: set[enum.StrEnum]
) -> None:
    assert _reachable(table, first) == set(type(first))


@pytest.mark.parametrize(("table", "first", "ends"), TABLES)
def test_only_ends_have_no_way_on(
    table: Mapping[tuple[Any, str], Any], first: enum.StrEnum, ends: set[enum.StrEnum]
) -> None:
    assert set(type(first)) - {at for at, _ in table} == ends


def test_a_machine_is_used_once() -> None:
    """From used on there is no way back to ready, not even round about."""
    for state in (MachineState.USED, MachineState.HELD, MachineState.GONE):
        assert MachineState.READY not in _reachable(lifecycle.MACHINE, state)


def test_a_machine_that_was_found_is_only_deleted() -> None:
    ways = [event for at, event in lifecycle.MACHINE if at is MachineState.GONE]
    assert ways == ["found"]
    assert _reachable(lifecycle.MACHINE, MachineState.DELETING) == {
        MachineState.DELETING,
        MachineState.GONE,
    }


def test_what_a_table_lacks_is_a_bug() -> None:
    with pytest.raises(Bug, match="a BuildState that is finished cannot start"):
        lifecycle.step(lifecycle.BUILD, BuildState.FINISHED, "start")


def test_the_page_is_up_to_date() -> None:
    """If not: python -m cupel.report.diagrams > docs/explanation/lifecycles.md"""
    written = Path(__file__).parents[3] / "docs" / "explanation" / "lifecycles.md"
    assert written.read_text() == diagrams.page()
