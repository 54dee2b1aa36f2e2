"""Which changes may enter the gate, and in which order."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from cupel.core import admission
from cupel.core.draft import Draft
from cupel.core.model import Approval, Change, ChangeState, Pipeline, Policy, Project, Row
from unit.core.making import change, patch_set


def approval(change_id: int, user: str = "bob", **fields: Any) -> Approval:
    made = Approval(
        id=change_id * 10 + sum(user.encode()) * 100_000,
        change_id=change_id,
        patch_set=1,
        user=user,
        created_at=0.0,
    )
    return replace(made, **fields)


def draft(*rows: Row, approvals: int = 1, self_approval: bool = True) -> Draft:
    policy = Policy(approvals=approvals, self_approval=self_approval)
    project = Project(id=1, name="p", branches=("main",), policy=policy, created_at=0.0)
    return Draft([project, *rows], now=1.0, ids=itertools.count(1000))


def stack(*ids: int, **fields: Any) -> list[Row]:
    """Changes on top of each other, each approved and wanting to land."""
    rows: list[Row] = []
    below: int | None = None
    for number in ids:
        parent = "head" if below is None else f"c{below}.1"
        wanted = {"wants_land": True, "land_asked_at": 0.0} | fields
        rows.append(change(number, **wanted))
        rows.append(patch_set(number, needs_change=below, parent=parent))
        rows.append(approval(number))
        below = number
    return rows


def entered(found: Draft) -> list[int | None]:
    admission.plan(found)
    return [item.change_id for item in found.live_items(Pipeline.GATE)]


@pytest.mark.parametrize(
    ("needed", "given", "expected"),
    [
        (0, [], True),
        (1, [], False),
        (1, [approval(7)], True),
        (1, [approval(7, withdrawn_at=1.0)], False),
        (1, [approval(7, patch_set=2)], False),
        (2, [approval(7)], False),
        (2, [approval(7), approval(7, id=5)], False),
        (2, [approval(7), approval(7, "eve")], True),
    ],
)
def test_enough_people_approve_the_present_patch_set(
    needed: int, given: list[Approval], expected: bool
) -> None:
    found = draft(change(7), patch_set(7), *given, approvals=needed)
    assert admission.is_approved(found, found.get(Change, 7)) is expected


@pytest.mark.parametrize("allowed", [True, False])
def test_an_owners_own_approval_counts_where_it_may(allowed: bool) -> None:
    found = draft(change(7), approval(7, "ada"), self_approval=allowed)
    assert admission.is_approved(found, found.get(Change, 7)) is allowed


def test_a_stack_enters_from_below_whatever_was_asked_first() -> None:
    rows = stack(9, 8, 7)
    assert entered(draft(*rows)) == [9, 8, 7]


def test_requests_are_honoured_in_their_order() -> None:
    rows = [*stack(7, land_asked_at=2.0), *stack(8, land_asked_at=1.0)]
    assert entered(draft(*rows)) == [8, 7]


@pytest.mark.parametrize(
    "unfit",
    [{"wants_land": False}, {"state": ChangeState.ABANDONED}, {"patch_set": 2}],
)
def test_nothing_enters_above_what_may_not(unfit: dict[str, Any]) -> None:
    rows = [
        replace(row, **unfit) if isinstance(row, Change) and row.id == 8 else row
        for row in stack(7, 8, 9)
    ]
    assert entered(draft(*rows, patch_set(8, 2, parent="c7.1", needs_change=7))) == [7]


def test_what_needs_a_landed_change_needs_nothing() -> None:
    rows = [
        replace(row, state=ChangeState.LANDED, wants_land=False)
        if isinstance(row, Change) and row.id == 7
        else row
        for row in stack(7, 8)
    ]
    assert entered(draft(*rows)) == [8]


def test_what_stands_on_an_old_patch_set_waits() -> None:
    rows = [
        replace(row, patch_set=2) if isinstance(row, Change) and row.id == 7 else row
        for row in stack(7, 8)
    ]
    newer = [patch_set(7, 2), approval(7, "eve", patch_set=2)]
    assert entered(draft(*rows, *newer)) == [7]


def test_needs_that_go_round_in_a_circle_let_nobody_in() -> None:
    rows = [
        change(7, wants_land=True),
        change(8, wants_land=True),
        patch_set(7, needs_change=8, parent="c8.1"),
        patch_set(8, needs_change=7, parent="c7.1"),
        approval(7),
        approval(8),
    ]
    assert entered(draft(*rows)) == []


def test_nobody_enters_twice() -> None:
    found = draft(*stack(7))
    assert entered(found) == entered(found) == [7]


def test_up_and_down_a_stack() -> None:
    rows = [
        *stack(7, 8, 9),
        change(10),
        patch_set(10, needs_change=8, parent="c8.1"),
        *stack(11),
        change(12, state=ChangeState.ABANDONED),
        patch_set(12, needs_change=9, parent="c9.1"),
    ]
    found = draft(*rows)
    members = admission.up_and_down(found, found.get(Change, 8))
    assert {member.id for member in members} == {7, 8, 9, 10}
