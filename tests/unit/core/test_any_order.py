"""The core alone, told anything in any order: every transaction keeps the invariants."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cupel.core import events, invariants
from cupel.core.actions import (
    Action,
    CancelBuild,
    DestroyMachine,
    Land,
    MakeMachine,
    PrepareState,
    RunBuild,
)
from cupel.core.model import (
    Change,
    ChangeState,
    Landing,
    Machine,
    Verdict,
)
from unit.core.making import Core, job

CHANGES = st.integers(1, 6)
VERDICTS = st.sampled_from([Verdict.SUCCESS, Verdict.SUCCESS, Verdict.FAILURE, Verdict.INFRA])
JOBS = (job("tests"), job("lint", voting=False), job("package", needs=("tests",)), job("own"))
IMAGES = (("debian-12", "sha256:image"),)
A_WHILE = 700.0
"""Seconds after which hosts are trusted again and a broken branch is looked at again."""


class AnyOrder(RuleBasedStateMachine):
    """People, git and hosts at random; what the core asks for is done, failed or left undone."""

    @initialize(
        approvals=st.integers(0, 2),
        slots=st.integers(1, 3),
        born=st.booleans(),
        landing=st.sampled_from(Landing),
        planner=st.sampled_from(["expected-value", "optimistic"]),
        window=st.none() | st.integers(1, 3),
    )
    def begin(
        self,
        approvals: int,
        slots: int,
        born: bool,
        landing: Landing,
        planner: str,
        window: int | None,
    ) -> None:
        self.core = Core(approvals=approvals, slots=slots, head="head" if born else None)
        self.queue = events.QueueSet(
            name="project",
            landing=landing,
            planner=planner,
            window=window,
            window_floor=1,
            window_ceiling=None,
            cycles=True,
            closed=None,
            user="ada",
        )
        self.core.hear(self.queue, self.core.hello(slots=slots, images=IMAGES))
        self.slots = slots
        self.heads = 0
        self.outstanding: list[Action] = []

    def known(self, id: int) -> Change | None:
        return self.core.draft().find(Change, id)

    @rule(id=CHANGES, below=st.none() | CHANGES, land=st.booleans())
    def push(self, id: int, below: int | None, land: bool) -> None:
        change = self.known(id)
        if change is not None and change.state is ChangeState.LANDED:
            return
        under = self.known(below) if below is not None and below < id else None
        self.core.push(
            id,
            number=1 if change is None else max(p.number for p in self.core.patch_sets(id)) + 1,
            land=land,
            needs_change=None if under is None else under.id,
            parent="head" if under is None else f"c{under.id}.{under.patch_set}",
        )

    @rule(id=CHANGES, user=st.sampled_from(["bob", "eve"]), what=st.integers(0, 4))
    def ask(self, id: int, user: str, what: int) -> None:
        change = self.known(id)
        if change is None:
            return
        requests: list[events.Fact] = [
            events.Approved(change_id=id, patch_set=change.patch_set, user=user),
            events.ApprovalWithdrawn(change_id=id, user=user),
            events.LandAsked(change_id=id, user=user),
            events.DequeueAsked(change_id=id, user=user),
            events.Abandoned(change_id=id, user=user),
        ]
        self.core.hear(requests[what])

    @rule()
    def move_the_branch(self) -> None:
        self.heads += 1
        self.core.hear(events.HeadSeen(project_id=1, branch="main", head=f"h{self.heads}"))

    @rule(id=CHANGES, other=CHANGES)
    def need_each_other(self, id: int, other: int) -> None:
        """Two changes that can only land together, at least if both are approved."""
        pair = [self.known(number) for number in (id, other)]
        if id == other or any(each and each.state is not ChangeState.OPEN for each in pair):
            return
        for number, needs in ((id, other), (other, id)):
            version = 1 + max((p.number for p in self.core.patch_sets(number)), default=0)
            self.core.push(number, number=version, land=True, depends_on=(needs,))

    @rule(closed=st.none() | st.just("release"))
    def close_the_tree(self, closed: str | None) -> None:
        self.core.hear(replace(self.queue, closed=closed))

    @rule(id=CHANGES, urgent=st.booleans())
    def hurry(self, id: int, urgent: bool) -> None:
        if self.known(id) is not None:
            self.core.hear(events.UrgencySet(change_id=id, urgent=urgent, user="ada"))

    @rule(ids=st.lists(CHANGES, min_size=1, max_size=2, unique=True))
    def promote(self, ids: list[int]) -> None:
        if all(self.known(number) is not None for number in ids):
            self.core.hear(events.PromoteAsked(change_ids=tuple(ids), user="ada"))

    @rule(seconds=st.sampled_from([10.0, 60.0, A_WHILE]))
    def time_passes(self, seconds: float) -> None:
        self.core.now += seconds

    @rule()
    def plan(self) -> None:
        self.outstanding = self.core.step()

    @precondition(lambda self: self.outstanding)
    @rule(data=st.data(), good=st.booleans(), verdict=VERDICTS)
    def act(self, data: st.DataObject, good: bool, verdict: Verdict) -> None:
        """Something that was asked for, perhaps long ago, is done or fails."""
        self.answer(data.draw(st.sampled_from(self.outstanding)), good, verdict)

    def answer(self, action: Action, good: bool, verdict: Verdict) -> None:
        match action:
            case PrepareState():
                number = action.buildset.id
                self.core.hear(
                    events.StatePrepared(
                        buildset_id=number,
                        commit=f"m{number}",
                        tree=f"mt{number}",
                        jobs=JOBS,
                        notice=None,
                        keys=(("own", f"own {action.item.commit}"),),
                    )
                    if good
                    else events.StateConflicted(buildset_id=number, paths=("file",))
                )
            case Land():
                self.core.hear(self.landing(action, good))
            case MakeMachine() if good:
                self.core.ready(action.machine.id)
            case MakeMachine():
                number, reason = action.machine.id, "no space left"
                self.core.hear(events.MachineFailed(machine_id=number, reason=reason))
            case RunBuild():
                self.core.begin(action.machine.id)
                self.core.finish(action.machine.id, verdict)
            case CancelBuild():
                self.core.finish(action.machine_id, Verdict.CANCELLED if good else verdict)
            case DestroyMachine():
                self.core.hear(events.MachineGone(machine_id=action.machine_id))

    def landing(self, action: Land, good: bool) -> events.Fact:
        items = tuple(item.id for _, item, _ in action.steps)
        if good:
            return events.Landed(item_ids=items)
        self.heads += 1
        return events.LandingRefused(item_ids=items, head=f"h{self.heads}")

    @rule(data=st.data(), lost=st.booleans())
    def a_host_starts_anew(self, data: st.DataObject, lost: bool) -> None:
        if lost:
            self.core.hear(events.HostLost(name="host", reason="silence"))
        there = [machine.id for machine in self.core.draft().all(Machine)]
        kept = data.draw(st.lists(st.sampled_from(there), unique=True)) if there else []
        self.core.hear(self.core.hello(slots=self.slots, machines=tuple(kept), images=IMAGES))

    @rule(data=st.data(), verdict=VERDICTS)
    def a_machine_speaks_out_of_turn(self, data: st.DataObject, verdict: Verdict) -> None:
        there = [machine.id for machine in self.core.draft().all(Machine)]
        if there:
            self.core.finish(data.draw(st.sampled_from(there)), verdict)

    @invariant()
    def events_have_their_own_numbers(self) -> None:
        if hasattr(self, "core"):
            numbers = [event.id for event in self.core.told]
            assert len(numbers) == len(set(numbers))

    def teardown(self) -> None:
        """When everything is done that is asked for, nothing is left over."""
        if not hasattr(self, "core"):
            return
        self.core.hear(self.queue)
        for _ in range(200):
            asked = self.core.step()
            for action in asked:
                self.answer(action, True, Verdict.SUCCESS)
            if not asked and not invariants.rest(self.core.draft()):
                break
            if not asked:
                self.core.now += A_WHILE
        assert invariants.rest(self.core.draft()) == []


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
