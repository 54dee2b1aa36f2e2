"""What operators say: who goes first, what a queue's rules are, whether its tree is open."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from cupel.core import admission, events, facts
from cupel.core.draft import Draft
from cupel.core.model import (
    Change,
    ItemState,
    Landing,
    MergeMethod,
    Pipeline,
    Policy,
    Project,
    Queue,
)
from unit.core.making import change, patch_set, project, queue


def gate(*changes: int, needs: dict[int, int] | None = None) -> Draft:
    """A gate with these changes in it, all live."""
    rows = [queue(), project(policy=Policy(approvals=0))]
    found = Draft(rows, now=1.0, ids=itertools.count(100))
    for number in changes:
        needed = (needs or {}).get(number)
        found.put(change(number, wants_land=True, land_asked_at=float(number)))
        found.put(patch_set(number, depends_on=() if needed is None else (needed,)))
    admission.plan(found)
    return found


def order(found: Draft) -> list[int | None]:
    return [item.change_id for item in found.live_items(Pipeline.GATE)]


def places(found: Draft) -> dict[int | None, int]:
    return {item.change_id: item.position for item in found.live_items(Pipeline.GATE)}


def promote(found: Draft, *numbers: int) -> None:
    facts.apply(found, events.PromoteAsked(change_ids=numbers, user="ada"))


@pytest.mark.parametrize(
    ("promoted", "expected"),
    [
        ((4,), [4, 1, 2, 3, 5]),
        ((4, 2), [4, 2, 1, 3, 5]),
        ((2, 4), [2, 4, 1, 3, 5]),
        ((1,), [1, 2, 3, 4, 5]),
        ((5, 5), [5, 1, 2, 3, 4]),
    ],
)
def test_promoted_changes_go_first_in_the_order_given(
    promoted: tuple[int, ...], expected: list[int]
) -> None:
    found = gate(1, 2, 3, 4, 5)
    before = {item.change_id: item for item in found.live_items(Pipeline.GATE)}
    promote(found, *promoted)
    assert order(found) == expected
    after = {item.change_id: item for item in found.live_items(Pipeline.GATE)}
    same = {n: replace(item, position=after[n].position) for n, item in before.items()}
    assert after == same, "nothing but positions changes"


def test_an_unchanged_prefix_is_not_disturbed() -> None:
    found = gate(1, 2, 3, 4)
    before = places(found)
    promote(found, 1, 2, 4)
    assert order(found) == [1, 2, 4, 3]
    after = places(found)
    assert (after[1], after[2]) == (before[1], before[2])


def test_promotion_brings_what_is_needed_ahead_of_it() -> None:
    found = gate(1, 2, 3, 4, needs={4: 3})
    promote(found, 4, 2)
    assert order(found) == [3, 4, 2, 1]


def test_nothing_is_promoted_ahead_of_what_is_landing() -> None:
    found = gate(1, 2, 3)
    item = found.gate_item(1)
    assert item is not None
    found.put(replace(item, state=ItemState.LANDING))
    promote(found, 3)
    assert order(found) == [1, 3, 2]


def test_only_what_is_in_the_gate_is_promoted() -> None:
    found = gate(1, 2)
    found.put(change(9))
    found.put(patch_set(9))
    promote(found, 9)
    assert order(found) == [1, 2]
    assert [event.kind for event in found.events if event.change_id == 9] == []


def test_each_queue_has_its_own_first_ones() -> None:
    found = gate(1, 2)
    found.put(queue(5, name="other"))
    found.put(project(4, name="other", queue_id=5, policy=Policy(approvals=0)))
    for number in (7, 8):
        found.put(change(number, project_id=4, wants_land=True, land_asked_at=float(number)))
        found.put(patch_set(number))
    admission.plan(found)
    promote(found, 8, 2)
    assert order(found) == [2, 1, 8, 7]


def urgent(found: Draft, number: int, yes: bool = True) -> None:
    facts.apply(found, events.UrgencySet(change_id=number, urgent=yes, user="ada"))


def test_a_queued_change_that_becomes_urgent_goes_behind_those_that_are() -> None:
    found = gate(1, 2, 3, 4, needs={4: 2})
    urgent(found, 3)
    urgent(found, 4)
    assert order(found) == [3, 2, 4, 1]
    assert found.get(Change, 3).urgent


def test_what_is_not_urgent_any_more_stays_where_it_is() -> None:
    found = gate(1, 2)
    urgent(found, 2)
    urgent(found, 2, yes=False)
    assert order(found) == [2, 1]
    assert not found.get(Change, 2).urgent
    assert [e.kind for e in found.events if e.user] == ["change.urgent", "change.not-urgent"]


def rules(**fields: Any) -> events.QueueSet:
    made = events.QueueSet(
        name="shared",
        landing=Landing.SET,
        planner="optimistic",
        window=5,
        window_floor=2,
        window_ceiling=9,
        cycles=True,
        closed=None,
        user="ada",
    )
    return replace(made, **fields)


def test_a_queue_is_made_and_changed_by_its_name() -> None:
    found = Draft([], now=1.0, ids=itertools.count(1))
    facts.apply(found, rules())
    facts.apply(found, rules(cycles=False, window=None))
    (made,) = found.all(Queue)
    assert (made.landing, made.planner, made.cycles) == (Landing.SET, "optimistic", False)
    assert (made.window, made.window_floor, made.window_ceiling) == (None, 2, 9)
    assert made.created_at == 1.0


def test_a_tree_is_closed_with_a_reason_and_a_name_and_opened() -> None:
    found = Draft([], now=1.0, ids=itertools.count(1))
    facts.apply(found, rules(closed="the power is out"))
    facts.apply(found, rules(closed="the power is out", user="eve", cycles=False))
    assert (found.all(Queue)[0].closed, found.all(Queue)[0].closed_by) == (
        "the power is out",
        "ada",
    )
    facts.apply(found, rules(user="bob"))
    assert (found.all(Queue)[0].closed, found.all(Queue)[0].closed_by) == (None, None)
    assert [event.kind for event in found.events] == ["queue.closed", "queue.set", "queue.opened"]


def added(name: str, queue: str | None = None) -> events.ProjectAdded:
    return events.ProjectAdded(
        name=name, queue=queue, branches=("main",), heads=(None,), policy=Policy()
    )


def test_a_project_has_a_queue_of_its_own_or_joins_one() -> None:
    found = Draft([], now=1.0, ids=itertools.count(1))
    facts.apply(found, added("one"))
    facts.apply(found, added("two", queue="one"))
    facts.apply(found, added("three"))
    names = {each.name: found.queue(each.id).name for each in found.all(Project)}
    assert names == {"one": "one", "two": "one", "three": "three"}
    assert len(found.all(Queue)) == 2


def test_a_policy_is_set() -> None:
    found = gate()
    policy = Policy(merge=MergeMethod.SQUASH, keep_check=True)
    facts.apply(found, events.PolicySet(project_id=1, policy=policy, user="ada"))
    assert found.get(Project, 1).policy == policy
