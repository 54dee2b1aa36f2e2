"""A queue's rows read as a lattice: what is shared, what is beneath, what runs adrift."""

from __future__ import annotations

from cupel.core import events
from cupel.core.draft import Draft
from cupel.core.lane import Lane, place_of
from cupel.core.model import (
    Branch,
    Buildset,
    BuildsetState,
    ItemState,
    Job,
    Pipeline,
    Queue,
    Verdict,
)
from cupel.core.speculation.lattice import State
from unit.core.gating import Gate
from unit.core.making import job


def own_part(definition: Job, held: tuple[int, ...]) -> str | None:
    return f"own {held[-1:]}" if definition.name == "own" else f"{definition.name} {held}"


def lane_of(gate: Gate, draft: Draft | None = None) -> Lane:
    draft = draft or gate.draft()
    items = draft.live_items(Pipeline.GATE)
    landing = [item for item in items if item.state is ItemState.LANDING]
    waiting = [item for item in items if item.state is not ItemState.LANDING]
    return Lane(draft, draft.get(Queue, 3), waiting, landing)


def state(lane: Lane, *changes: int) -> State:
    """The state with these changes on top of each other."""
    at = lane.lattice.root
    for number in changes:
        item = next(item for item in lane.items.values() if item.change_id == number)
        entry = lane.entry_of(item)
        assert entry is not None
        at = at.children[entry.id]
    return at


def test_a_state_is_found_by_what_is_beneath_it() -> None:
    gate = Gate()
    gate.enter(1, 2)
    lane = lane_of(gate)
    both = state(lane, 1, 2)
    [proof] = place_of(both).proofs
    assert gate.holds[proof.commit] == (1, 2)
    assert [step[0].change_id for step in place_of(both).steps] == [2]
    assert both.members == 0b11
    assert set(both.trials or ()) == {"1:tests"}


def test_states_whose_foundation_has_gone_are_not_found() -> None:
    gate = Gate()
    gate.enter(1, 2)
    gate.holds["elsewhere"] = ()
    gate.hear(events.HeadSeen(project_id=1, branch="main", head="elsewhere"))
    assert list(lane_of(gate).lattice.states()) == []


def test_a_job_that_sees_the_same_in_two_states_is_one_trial() -> None:
    gate = Gate(job("tests"), job("own"), keys=own_part)
    gate.enter(1, 2)
    gate.all_fail(1)
    lane = lane_of(gate)
    behind, alone = state(lane, 1, 2), state(lane, 2)
    assert behind.trials is not None
    assert alone.trials is not None
    assert behind.trials["1:own"] is alone.trials["1:own"]
    assert behind.trials["1:tests"] is not alone.trials["1:tests"]
    assert alone.trials["1:own"].members == alone.members
    assert len(alone.trials["1:own"].runs) == 1


def test_a_pass_counts_where_it_is_the_states_own() -> None:
    gate = Gate(job("tests"), job("own"), keys=own_part)
    gate.enter(1, 2)
    gate.all_fail(1)
    machine = gate.going()["own", (1, 2)]
    gate.finish(machine)
    lane = lane_of(gate)
    behind, alone = state(lane, 1, 2), state(lane, 2)
    assert behind.trials is not None
    assert alone.trials is not None
    assert behind.trials["1:own"].passed
    assert not alone.trials["1:own"].passed
    gate.settle()
    alone = state(lane_of(gate), 2)
    assert alone.trials is not None
    assert alone.trials["1:own"].passed


def test_what_runs_adrift_is_a_run_of_what_it_proves() -> None:
    gate = Gate(job("tests"), job("own"), keys=own_part)
    gate.enter(1, 2)
    gate.going()
    gate.hear(events.Abandoned(change_id=1, user="ada"))
    gate.settle()
    lane = lane_of(gate)
    [adrift] = lane.adrift
    assert gate.holds[adrift.commit] == (1, 2)
    alone = state(lane, 2)
    assert alone.trials is not None
    trial = alone.trials["1:own"]
    assert len(trial.runs) == 1
    assert lane.runs_at[trial.key] == adrift.id


def test_failures_and_lost_runs_are_told_apart() -> None:
    gate = Gate()
    gate.enter(1)
    gate.fails(1)
    gate.end((1,), Verdict.TIMEOUT)
    trials = state(lane_of(gate), 1).trials
    assert trials is not None
    assert len(trials["1:tests"].failed_at) == 1
    assert trials["1:tests"].refused is None


def test_a_landing_is_the_head_of_those_behind_it() -> None:
    gate = Gate()
    gate.enter(1, 2)
    gate.passes(1)
    assert gate.landing() is not None
    lane = lane_of(gate)
    assert gate.holds[lane.heads[1]] == (1,)
    assert state(lane, 2).depth == 1


def test_what_conflicts_is_broken_and_nothing_grows_on_it() -> None:
    gate = Gate(conflicts=[(1, 2)])
    gate.enter(1, 2)
    broken = state(lane_of(gate), 1, 2)
    assert broken.broken == "conflicts in a.py"
    assert broken.failing
    assert not broken.children


def test_a_state_that_is_lacking_says_which_buildset_to_make() -> None:
    gate = Gate()
    gate.push_only(1)
    gate.step()
    draft = gate.draft()
    lane = lane_of(gate, draft)
    first = state(lane, 1)
    assert first.trials is None
    [asked] = place_of(first).proofs
    assert asked.state is BuildsetState.PREPARING


def test_items_that_need_each_other_are_one_entry() -> None:
    gate = Gate(cycles=True)
    for number, other in ((1, 2), (2, 1)):
        gate.push_only(number, project_id=number, needs=(other,))
    gate.settle()
    lane = lane_of(gate)
    [entry] = lane.lattice.entries
    assert {member.change_id for member in lane.members(entry)} == {1, 2}
    assert entry.needs == 0
    together = lane.lattice.root.children[entry.id]
    assert set(together.trials or ()) == {"1:tests", "2:tests"}
    assert place_of(together).heads == {1: "project (1,)", 2: "other (2,)"}


def test_what_another_needs_is_beneath_it() -> None:
    gate = Gate()
    gate.enter(1)
    gate.enter(2, needs=(1,))
    first, second = lane_of(gate).lattice.entries
    assert second.needs == first.bit


def test_failures_from_before_the_head_was_well_again_count_no_more() -> None:
    gate = Gate()
    gate.enter(1)
    for _ in range(2):
        gate.all_fail(1)
        gate.fails()
    gate.settle()
    gate.now += 601.0
    gate.passes()
    trials = state(lane_of(gate), 1).trials
    assert trials is not None
    assert trials["1:tests"].failed_at == []


def test_the_head_as_it_stands_is_looked_at_once_it_was_asked_for() -> None:
    gate = Gate()
    gate.enter(1)
    gate.all_fail(1)
    gate.going()
    lane = lane_of(gate)
    assert {found.id for found in lane.bases.values()} == {
        each.id for each in gate.draft().all(Buildset) if each.role == "base"
    }
    assert len(lane.lattice.base("1:tests").runs) == 1
    assert {branch.head for branch in gate.draft().all(Branch)} == {"head", "other"}
