"""Rows in a line each, and a core that is stepped by hand: state in, event, state out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cupel.core import events, facts, intents, invariants, plan
from cupel.core.actions import Action, MakeMachine, RunBuild
from cupel.core.draft import Draft
from cupel.core.model import (
    Branch,
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Change,
    ChangeState,
    Event,
    Evidence,
    History,
    Item,
    ItemState,
    Job,
    Machine,
    PatchSet,
    Pipeline,
    Policy,
    Project,
    Queue,
    Row,
    Step,
    StepResult,
    Usage,
    Verdict,
)


def job(name: str = "tests", **fields: Any) -> Job:
    made = Job(name=name, base=name, label="debian-12", steps=(Step(name=name, run="true"),))
    return replace(made, **fields)


def queue(id: int = 3, **fields: Any) -> Queue:
    return replace(Queue(id=id, name="project", created_at=0.0), **fields)


def project(id: int = 1, **fields: Any) -> Project:
    """A project of queue 3 that guards `main`."""
    made = Project(
        id=id, name="project", queue_id=3, branches=("main",), policy=Policy(), created_at=0.0
    )
    return replace(made, **fields)


def change(id: int, **fields: Any) -> Change:
    made = Change(
        id=id,
        project_id=1,
        branch="main",
        key=f"I{id}",
        topic=None,
        title=f"change {id}",
        description="",
        author="ada",
        owner="ada",
        state=ChangeState.OPEN,
        patch_set=1,
        wants_land=False,
        land_asked_at=None,
        landed_commit=None,
        created_at=0.0,
        updated_at=0.0,
    )
    return replace(made, **fields)


def patch_set(change_id: int, number: int = 1, **fields: Any) -> PatchSet:
    made = PatchSet(
        id=1000 * change_id + number,
        change_id=change_id,
        number=number,
        commit=f"c{change_id}.{number}",
        tree=f"t{change_id}.{number}",
        parent="head",
        needs_change=None,
        pushed_by="ada",
        created_at=0.0,
    )
    return replace(made, **fields)


def item(id: int = 1, **fields: Any) -> Item:
    """The place in the gate of the change with the same number."""
    made = Item(
        id=id,
        pipeline=Pipeline.GATE,
        project_id=1,
        branch="main",
        change_id=id,
        patch_set=1,
        commit=f"c{id}.1",
        state=ItemState.LIVE,
        position=id,
        buildset_id=None,
        enqueued_at=0.0,
    )
    return replace(made, **fields)


def buildset(**fields: Any) -> Buildset:
    made = Buildset(
        id=1,
        item_id=1,
        number=1,
        onto="head",
        state=BuildsetState.READY,
        commit="merged",
        tree="tree",
        jobs=(job(),),
        detail=None,
        notice=None,
        created_at=0.0,
    )
    return replace(made, **fields)


def build(id: int = 1, **fields: Any) -> Build:
    """A build; with a `verdict` it has finished."""
    made = Build(
        id=id,
        buildset_id=1,
        item_id=1,
        project_id=1,
        pipeline=Pipeline.GATE,
        job="tests",
        label="debian-12",
        attempt=1,
        voting=True,
        state=BuildState.QUEUED,
        verdict=None,
        reason=None,
        machine_id=None,
        steps=(),
        usage=Usage(),
        queued_at=0.0,
    )
    if fields.get("verdict") is not None:
        made = replace(made, state=BuildState.FINISHED, finished_at=1.0)
    return replace(made, **fields)


def evidence(id: int = 1, **fields: Any) -> Evidence:
    """A pass of build 1 for the key `key`."""
    made = Evidence(id=id, key="key", build_id=1, project_id=1, job="tests", created_at=0.0)
    return replace(made, **fields)


def history(subject: str = "job tests", **fields: Any) -> History:
    return replace(History(id=1, project_id=1, subject=subject), **fields)


class Core:
    """The core alone, over every row at once; each transaction is checked."""

    def __init__(self, *, approvals: int = 1, head: str | None = "head", slots: int = 8) -> None:
        self.ids: Iterator[int] = itertools.count(100)
        self.now = 0.0
        self.rows: dict[tuple[type[Row], int], Row] = {}
        self.told: list[Event] = []
        self._keep(
            [
                queue(),
                project(policy=Policy(approvals=approvals)),
                Branch(id=2, project_id=1, name="main", head=head),
            ]
        )
        self.hear(self.hello(slots=slots))

    @staticmethod
    def hello(**fields: Any) -> events.HostConnected:
        made = events.HostConnected(name="host", slots=8, labels=(), machines=(), detail=None)
        return replace(made, **fields)

    def _keep(self, rows: list[Row]) -> None:
        self.rows |= {(type(row), row.id): row for row in rows}

    def draft(self) -> Draft:
        return Draft(self.rows.values(), now=self.now, ids=self.ids)

    def hear(self, *happened: events.Fact) -> list[Event]:
        """Apply facts in one transaction; what was told of them."""
        draft = self.draft()
        for fact in happened:
            facts.apply(draft, fact)
        return self._commit(draft)

    def step(self) -> list[Action]:
        """Plan; what is outstanding."""
        draft = self.draft()
        plan.decide(draft)
        self._commit(draft)
        assert invariants.plan(self.draft()) == []
        return intents.outstanding(draft)

    def _commit(self, draft: Draft) -> list[Event]:
        self.now += 1.0
        assert invariants.changes(invariants.compare(self.draft(), draft), draft) == []
        self._keep(draft.changed)
        self.told += draft.events
        return draft.events

    def push(self, id: int, *, land: bool = False, number: int = 1, **fields: Any) -> None:
        pushed = change(id, patch_set=number)
        version = patch_set(id, number, **fields)
        approved_by = "bob" if land else None
        self.hear(events.ChangePushed(change=pushed, patch_set=version, approved_by=approved_by))

    def prepare(self, *jobs: Job) -> None:
        """Answer every request for a state, as if nothing ever conflicted."""
        for action in self.step():
            if action.key[0] == "prepare":
                number = action.key[1]
                self.hear(
                    events.StatePrepared(
                        buildset_id=number,
                        commit=f"m{number}",
                        tree=f"mt{number}",
                        jobs=jobs or (job(),),
                        notice=None,
                    )
                )

    def runs(self) -> list[RunBuild]:
        """What is to run, once every machine that is asked for is ready."""
        actions = self.step()
        while making := [each for each in actions if isinstance(each, MakeMachine)]:
            for action in making:
                self.ready(action.machine.id)
            actions = self.step()
        return [action for action in actions if isinstance(action, RunBuild)]

    def finish(
        self, machine_id: int, verdict: Verdict = Verdict.SUCCESS, reason: str | None = None
    ) -> list[Event]:
        return self.hear(
            events.BuildFinished(
                machine_id=machine_id,
                verdict=verdict,
                reason=reason,
                steps=(),
                usage=Usage(),
                artefacts=(),
            )
        )

    def ready(self, machine_id: int) -> list[Event]:
        return self.hear(events.MachineReady(machine_id=machine_id, image="sha256:image"))

    def begin(self, machine_id: int) -> list[Event]:
        """The first step of the build on a machine begins."""
        step = StepResult(name="x", started_at=self.now, finished_at=None, exit_status=None)
        return self.hear(events.StepsChanged(machine_id=machine_id, steps=(step,)))

    def change(self, id: int) -> Change:
        return self.draft().get(Change, id)

    def patch_sets(self, change_id: int) -> list[PatchSet]:
        return [each for each in self.draft().all(PatchSet) if each.change_id == change_id]

    def items(self, pipeline: Pipeline = Pipeline.GATE) -> list[Item]:
        return [item for item in self.draft().all(Item) if item.pipeline is pipeline]

    def item(self, change_id: int, pipeline: Pipeline = Pipeline.GATE) -> Item:
        """The change's newest item in a pipeline."""
        return [item for item in self.items(pipeline) if item.change_id == change_id][-1]

    def builds(self) -> list[Build]:
        return self.draft().all(Build)

    def machine(self, id: int) -> Machine:
        return self.draft().get(Machine, id)
