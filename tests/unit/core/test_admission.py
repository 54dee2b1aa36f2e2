"""Which changes may enter the gate, and in which order."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from cupel.core import admission
from cupel.core.draft import Draft
from cupel.core.model import (
    Approval,
    Change,
    ChangeState,
    ItemState,
    Pipeline,
    Policy,
    Row,
)
from unit.core.making import change, patch_set, project, queue


def approval(change_id: int, user: str = "bob", **fields: Any) -> Approval:
    made = Approval(
        id=change_id * 10 + sum(user.encode()) * 100_000,
        change_id=change_id,
        patch_set=1,
        user=user,
        created_at=0.0,
    )
    return replace(made, **fields)


def draft(
    *rows: Row, approvals: int = 1, self_approval: bool = True, cycles: bool = False
) -> Draft:
    """Project 1 and project 2 share queue 3; project 4 goes through queue 5."""
    policy = Policy(approvals=approvals, self_approval=self_approval)
    standing = [
        queue(3, name="shared", cycles=cycles),
        queue(5, name="other"),
        project(1, policy=policy),
        project(2, policy=policy, name="second"),
        project(4, policy=policy, name="third", queue_id=5),
    ]
    return Draft([*standing, *rows], now=1.0, ids=itertools.count(1000))


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


def one(
    number: int, *depends_on: int, version: dict[str, Any] | None = None, **fields: Any
) -> list[Row]:
    """A change that wants to land, approved; `fields` are the change's."""
    wanted = {"wants_land": True, "land_asked_at": 0.0} | fields
    return [
        change(number, **wanted),
        patch_set(number, depends_on=depends_on, **version or {}),
        approval(number),
    ]


def but(rows: list[Row], number: int, **fields: Any) -> list[Row]:
    """The same with other fields of one change."""
    return [
        replace(row, **fields) if isinstance(row, Change) and row.id == number else row
        for row in rows
    ]


def of(found: Draft, number: int) -> Change:
    return found.get(Change, number)


def ids(changes: list[Change] | None) -> list[int] | None:
    return None if changes is None else [each.id for each in changes]


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
    found = draft(*rows)
    assert entered(found) == []
    assert "7 → 8 → 7" in (admission.why_not(found, of(found, 7)) or "")


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


# Across projects.


def test_what_another_project_has_to_land_first_enters_first() -> None:
    rows = [*one(7, 8), *one(8, project_id=2)]
    assert entered(draft(*rows)) == [8, 7]


def test_needs_are_the_change_below_and_then_those_named() -> None:
    rows = [*stack(6, 7), *one(8), *one(9, state=ChangeState.LANDED)]
    rows = [r for r in rows if r.id != 7001]
    found = draft(*rows, patch_set(7, needs_change=6, parent="c6.1", depends_on=(9, 8, 6, 7)))
    assert ids(admission.needed(found, of(found, 7))) == [6, 8]


def test_a_triangle_enters_once_each_in_order() -> None:
    """9 stands on 8 and names 7 of another project, which names 8."""
    rows = [*stack(8, 9), *one(7, 8, project_id=2)]
    rows = [row for row in rows if row.id != 9001]
    rows.append(patch_set(9, needs_change=8, parent="c8.1", depends_on=(7,)))
    for first in (7, 8, 9):
        assert entered(draft(*but(rows, first, land_asked_at=-1.0))) == [8, 7, 9]


def test_a_long_chain_of_dependencies_enters_in_order() -> None:
    rows = [row for number in range(1, 3000) for row in one(number, *[number + 1][: number < 2999])]
    assert entered(draft(*rows)) == list(range(2999, 0, -1))


@pytest.mark.parametrize(
    ("elsewhere", "where"),
    [({"project_id": 4}, "queue other"), ({"branch": "stable"}, "branch stable")],
)
def test_a_dependency_of_another_queue_has_to_land_first(
    elsewhere: dict[str, Any], where: str
) -> None:
    rows = [*one(7, 8), *one(8, **elsewhere)]
    found = draft(*rows)
    why = admission.why_not(found, of(found, 7))
    assert why == f"needs #8, which has to land first, as it goes through another queue ({where})"
    assert entered(found) == [8]
    assert ids(admission.way_in(found, of(found, 7))) is None
    landed = draft(*but(rows, 8, state=ChangeState.LANDED))
    assert admission.why_not(landed, of(landed, 7)) is None
    assert entered(landed) == [7]


def test_an_abandoned_dependency_is_said() -> None:
    found = draft(*one(6, 7), *one(7, 8), *one(8, state=ChangeState.ABANDONED))
    assert entered(found) == []
    assert admission.why_not(found, of(found, 7)) == "needs #8, which was abandoned"
    assert admission.why_not(found, of(found, 6)) == "#7 needs #8, which was abandoned"
    assert admission.never(found, of(found, 6)) == "#7 needs #8, which was abandoned"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"patch_set": 2}, "needs #8, which lacks approval"),
        ({"wants_land": False}, "needs #8, which nobody has asked to land"),
    ],
)
def test_a_dependency_that_is_not_ready_is_said(fields: dict[str, Any], why: str) -> None:
    found = draft(*one(7, 8), *but(one(8), 8, **fields), patch_set(8, 2))
    assert admission.why_not(found, of(found, 7)) == why
    assert admission.never(found, of(found, 7)) is None
    assert entered(found) == []


def test_what_is_built_on_an_old_patch_set_is_said() -> None:
    rows = but(stack(7, 8), 7, patch_set=2)
    found = draft(*rows, *one(9, 8), patch_set(7, 2), approval(7, "eve", patch_set=2))
    why = "built on an outdated patch set of #7: rebase onto its newest and push again"
    assert admission.why_not(found, of(found, 8)) == why
    assert admission.why_not(found, of(found, 9)) == f"#8 is {why}"


def test_nothing_keeps_out_what_is_in() -> None:
    found = draft(*one(7))
    assert entered(found) == [7]
    assert admission.why_not(found, of(found, 7)) is None
    assert admission.way_in(found, of(found, 7)) == []


def test_nothing_enters_behind_an_item_that_is_about_to_leave() -> None:
    found = draft(*one(8))
    assert entered(found) == [8]
    for row in [*one(7, 8), replace(of(found, 8), patch_set=2), patch_set(8, 2)]:
        found.put(row)
    assert entered(found) == [8]
    assert not admission.enters(found, of(found, 7))


def test_a_new_patch_set_enters_by_its_own_needs() -> None:
    found = draft(*one(7), *one(8))
    assert entered(found) == [7, 8]
    newer = [
        replace(of(found, 7), patch_set=2),
        patch_set(7, 2, depends_on=(9,)),
        approval(7, "eve", patch_set=2),
    ]
    for row in [*newer, *one(9)]:
        found.put(row)
    assert admission.enters(found, of(found, 7))
    item = found.gate_item(7)
    assert item is not None
    found.put(replace(item, state=ItemState.REMOVED))
    assert entered(found) == [8, 9, 7]


CIRCLE = [*one(12, 15), *one(15, 12, project_id=2), *one(13, 12)]


def test_a_circle_is_spelled_out_where_the_queue_does_not_allow_it() -> None:
    found = draft(*CIRCLE)
    assert entered(found) == []
    assert ids(admission.cycle(found, of(found, 15))) == [12, 15]
    assert admission.cycle(found, of(found, 13)) is None
    why = admission.why_not(found, of(found, 12))
    assert why == "needs itself, which is not allowed: 12 → 15 → 12"
    why = admission.why_not(found, of(found, 13))
    assert why == "#12 needs itself, which is not allowed: 12 → 15 → 12"
    assert admission.bundle(found, of(found, 12)) == {12}


def test_a_circle_enters_as_one_where_the_queue_allows_it() -> None:
    found = draft(*CIRCLE, *one(14, land_asked_at=-1.0), cycles=True)
    assert entered(found) == [14, 12, 15, 13]
    assert admission.bundle(found, of(found, 12)) == {12, 15}
    assert admission.bundle(found, of(found, 15)) == {12, 15}
    assert admission.bundle(found, of(found, 13)) == {13}


def test_a_circle_with_a_stack_in_it_lands_from_below() -> None:
    """9 stands on 8, and 8 names 9: nothing but both at once can be."""
    rows = [*stack(8, 9)]
    rows = [row for row in rows if row.id != 8001]
    found = draft(*rows, patch_set(8, depends_on=(9,)), cycles=True)
    assert entered(found) == [8, 9]


def test_a_circle_of_two_queues_never_enters() -> None:
    found = draft(*one(12, 15), *one(15, 12, project_id=4), cycles=True)
    assert entered(found) == []
    assert admission.bundle(found, of(found, 12)) == {12}
    assert "12 → 15 → 12" in (admission.why_not(found, of(found, 12)) or "")


def test_a_circle_waits_for_all_of_its_members() -> None:
    found = draft(*but(CIRCLE, 15, wants_land=False), cycles=True)
    assert entered(found) == []


def test_up_and_down_across_projects_of_one_queue() -> None:
    found = draft(
        *one(7, 8), *one(8, project_id=2), *one(9, 7), *one(10, 7, project_id=4), *one(11, 9)
    )
    assert ids(admission.up_and_down(found, of(found, 7))) == [8, 7, 9, 11]


# Who goes first.


def test_what_is_urgent_goes_to_the_front_with_what_it_needs() -> None:
    found = draft(*one(7), *one(8))
    assert entered(found) == [7, 8]
    before = {item.change_id: item for item in found.live_items(Pipeline.GATE)}
    for row in [*one(9, 10, urgent=True), *one(10, project_id=2), *one(11)]:
        found.put(row)
    assert entered(found) == [10, 9, 7, 8, 11]
    for number in (7, 8):
        assert found.gate_item(number) == before[number]
    for row in one(12, urgent=True):
        found.put(row)
    assert entered(found) == [10, 9, 12, 7, 8, 11]


def test_what_an_urgent_change_needs_goes_ahead_of_the_rest_with_it() -> None:
    found = draft(*one(7), *one(8))
    assert entered(found) == [7, 8]
    for row in one(9, 8, urgent=True):
        found.put(row)
    assert entered(found) == [8, 9, 7]


def test_nothing_urgent_goes_ahead_of_what_is_landing() -> None:
    found = draft(*one(7), *one(8))
    entered(found)
    item = found.gate_item(7)
    assert item is not None
    found.put(replace(item, state=ItemState.LANDING))
    for row in one(9, urgent=True):
        found.put(row)
    assert entered(found) == [7, 9, 8]


def test_other_queues_are_not_disturbed() -> None:
    found = draft(*one(7), *one(8, project_id=4), *one(9, branch="stable"))
    entered(found)
    before = {item.change_id: item for item in found.live_items(Pipeline.GATE)}
    for row in one(10, urgent=True):
        found.put(row)
    entered(found)
    present = {item.change_id: item for item in found.live_items(Pipeline.GATE)}
    assert {number: present[number] for number in before} == before
    assert present[10].position < before[7].position


def test_positions_stay_apart_however_many_are_urgent() -> None:
    found = draft(*one(7))
    for number in range(20, 30):
        for row in one(number, *[number - 10][: number % 2], urgent=True):
            found.put(row)
        for row in one(number - 10):
            found.put(row)
        entered(found)
        positions = [item.position for item in found.live_items(Pipeline.GATE)]
        assert len(set(positions)) == len(positions)
    urgent = [item.change_id for item in found.live_items(Pipeline.GATE)]
    assert [n for n in urgent if n and n >= 20] == list(range(20, 30))


def test_what_needs_an_urgent_change_is_not_urgent_itself() -> None:
    found = draft(*one(7))
    entered(found)
    for row in [*one(8, 9, land_asked_at=-1.0), *one(9, urgent=True)]:
        found.put(row)
    assert entered(found) == [9, 7, 8]
